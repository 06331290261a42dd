import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { type Loaded, loadConfig, type OptionValue } from './load.ts';
import { ConfigError, originText, problemText } from './problem.ts';

const folder = mkdtempSync(join(tmpdir(), 'flametap-config-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const FILE = join(folder, 'flametap.yaml');

interface Given {
  readonly yaml?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly sets?: readonly string[];
  readonly options?: readonly OptionValue[];
}

function load({ yaml, environment = {}, sets = [], options = [] }: Given): Loaded {
  if (yaml !== undefined) writeFileSync(FILE, yaml);
  return loadConfig({ file: yaml === undefined ? undefined : FILE, environment, sets, options });
}

/** What is wrong, with the file's name cut to `:line`. */
function wrong(given: Given): string[] {
  try {
    load(given);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems.map((problem) => problemText(problem).replace(FILE, ''));
  }
  assert.fail('was right');
}

suite('precedence', () => {
  const layers: Required<Given> = {
    yaml: 'capture:\n  hz: 2\n',
    environment: { FLAMETAP_CAPTURE_HZ: '3' },
    sets: ['capture.hz=4'],
    options: [{ option: '--hz', path: 'capture.hz', text: '5' }],
  };
  const table: [string[], number, string][] = [
    [[], 99, 'default'],
    [['yaml'], 2, `${FILE}:2`],
    [['yaml', 'environment'], 3, 'FLAMETAP_CAPTURE_HZ'],
    [['yaml', 'environment', 'sets'], 4, '--set capture.hz'],
    [['yaml', 'environment', 'sets', 'options'], 5, '--hz'],
    [['yaml', 'options'], 5, '--hz'],
    [['yaml', 'sets'], 4, '--set capture.hz'],
    [['environment', 'sets'], 4, '--set capture.hz'],
  ];
  for (const [names, value, from] of table)
    test(`${names.join(' + ') || 'nothing'}: ${from.replace(FILE, 'file')}`, () => {
      const given = Object.fromEntries(
        Object.entries(layers).filter(([name]) => names.includes(name)),
      );
      const { config, origins } = load(given);
      const origin = origins.get('capture.hz');
      assert.deepEqual([config.capture.hz, origin ? originText(origin) : 'default'], [value, from]);
    });

  test('the last --set wins, and an empty variable is not set', () => {
    const { config } = load({
      environment: { FLAMETAP_PROFILE_INTERVAL: '' },
      sets: ['capture.hz=1', 'capture.hz=7'],
    });
    assert.deepEqual([config.capture.hz, config.profile.interval], [7, 10_000]);
  });

  test('maps are added to, lists are replaced', () => {
    const { config, origins } = load({
      yaml: [
        'resource: { attributes: { a: file, b: file } }',
        'symbols: { debuginfod_urls: [http://a/] }',
      ].join('\n'),
      environment: { FLAMETAP_RESOURCE_ATTRIBUTES: 'b=variable,c=variable' },
      sets: ['symbols.debuginfod_urls=http://b/,http://c/', 'resource.attributes.d.e=set'],
    });
    assert.deepEqual(config.resource.attributes, {
      a: 'file',
      b: 'variable',
      c: 'variable',
      'd.e': 'set',
    });
    assert.deepEqual(config.symbols.debuginfodUrls, ['http://b/', 'http://c/']);
    assert.equal(originText(origins.get('resource.attributes.a')!), `${FILE}:1`);
    assert.equal(
      originText(origins.get('resource.attributes.d.e')!),
      '--set resource.attributes.d.e',
    );
  });

  test('exporters are made and changed by variables and --set, by their number', () => {
    const { config } = load({
      yaml: 'exporters:\n  - otlp: { endpoint: http://a:4317 }\n',
      environment: { FLAMETAP_EXPORTERS_0_OTLP_TLS_CA_FILE: '/ca.pem' },
      sets: ['exporters.0.otlp.headers.x-a=b', 'exporters.1.files.directory=/profiles'],
    });
    const [first, second] = config.exporters;
    assert.ok(first?.kind === 'otlp' && second?.kind === 'files');
    assert.deepEqual(
      [first.endpoint, first.tls.caFile, first.headers, second.directory, second.name],
      ['http://a:4317', '/ca.pem', { 'x-a': 'b' }, '/profiles', 'files'],
    );
    const whole = load({ environment: { FLAMETAP_EXPORTERS: '[files: { directory: /x }]' } });
    assert.equal(whole.config.exporters[0]?.kind, 'files');
  });
});

test('what is written in units arrives in milliseconds and bytes', () => {
  const { config } = load({
    yaml: [
      'capture: { ring_bytes_per_cpu: 1MiB }',
      'profile: { interval: 1m30s }',
      'viewer: { max_bytes: 100000000, retention: 1.5h }',
      'exporters: [otlp: { endpoint: "x:1", timeout: 0, queue: { max_bytes: 1GB } }]',
    ].join('\n'),
  });
  const [otlp] = config.exporters;
  assert.ok(otlp?.kind === 'otlp');
  assert.deepEqual(
    [config.capture.ringBytesPerCpu, config.profile.interval, config.viewer.maxBytes],
    [2 ** 20, 90_000, 1e8],
  );
  assert.deepEqual(
    [config.viewer.retention, otlp.timeout, otlp.queue.maxBytes],
    [5_400_000, 0, 1e9],
  );
});

test('what is left out: any number of each', () => {
  const sets = ['capture.scope.exclude=comm=a,comm=b,pid=1,pid=2,cgroup=/a,cgroup=/b'];
  const { exclude, include } = load({ sets }).config.capture.scope;
  assert.deepEqual(exclude, ['comm=a', 'comm=b', 'pid=1', 'pid=2', 'cgroup=/a', 'cgroup=/b']);
  assert.deepEqual(include, []);
});

test('a scope is written as pairs or as texts', () => {
  const yaml =
    'capture: { scope: { include: [{ comm: a=b }, pid=7, { cgroup: /sys/fs/cgroup/x }] } }';
  assert.deepEqual(load({ yaml }).config.capture.scope.include, [
    'comm=a=b',
    'pid=7',
    'cgroup=/sys/fs/cgroup/x',
  ]);
});

suite('errors', () => {
  test('all at once, each with its line, key and what is allowed', () => {
    const yaml = [
      'capture:',
      '  hz: 0',
      '  hzz: 1',
      '  kernel_stacks: yes',
      'profile:',
      '  interval: 10',
      '  labels: [thread,',
      '    a-label-that-is-longer-than-32-bytes]',
      'limits: { cpu_percent: 1 }',
      'resource: { attributes: { a: 1 } }',
      'viewer: [1]',
      'log:',
      '  level: loud',
      'exporters:',
      '  - otlp: { endpoint: "collector:4317", protocol: http/protobuf }',
      '  - files: {}',
      '  - file: {}',
      '  - files: { directory: rel }',
    ].join('\n');
    assert.deepEqual(wrong({ yaml, sets: ['captur.hz=1', 'x'] }), [
      ":2: capture.hz: '0' is not a whole number from 1 to 10000",
      ":3: capture.hzz: unknown key; did you mean 'hz'?",
      ":4: capture.kernel_stacks: 'yes' is not true or false",
      ":6: profile.interval: '10' is not a duration: write 500ms, 10s or 1m30s, from 1ms to 24h",
      ":8: profile.labels: 'a-label-that-is-longer-than-32-bytes' is not one of thread, goroutine, goroutine_created_by, goroutine_kind, trace_id, span_id, or what programs set, at most 32 bytes",
      ':9: limits: is not supported yet',
      ':10: resource.attributes.a: is a number, not a text of at most 2048 bytes; write it in quotes',
      ':11: viewer: must be a map of listen, access, token_file, retention, max_bytes',
      ":13: log.level: 'loud' is not one of trace, debug, info, warn, error",
      ":17: exporters.2.file: unknown exporter; did you mean 'files'?",
      ":18: exporters.3.files.directory: 'rel' is not an absolute path",
      "--set captur.hz: captur: unknown key; did you mean 'capture'?",
      "--set: 'x' is not PATH=VALUE, such as capture.hz=49",
      ":15: exporters.0.otlp.endpoint: 'collector:4317' must start with http:// or https:// for http/protobuf",
      ':16: exporters.1.files.directory: is needed: an absolute path',
    ]);
  });

  const cases: [name: string, Given, RegExp][] = [
    [
      'not YAML',
      { yaml: 'log: {}\n- 1' },
      /^:2: is not YAML at column 1: .*list stands among keys/,
    ],
    ['a tab', { yaml: 'capture:\n\thz: 1' }, /^:2: is not YAML at column 1: a tab .*spaces/],
    ['two documents', { yaml: 'log: {}\n---\nlog: {}' }, /^:\d: is not YAML .*second document/],
    ['a tag', { yaml: 'log: { level: !x info }' }, /^:1: is not YAML .*begins with !.*in quotes/],
    ['no colon', { yaml: 'capture:\n  hz 2\n  x: 1' }, /^:2: is not YAML .*'key: value'/],
    ['an open quote', { yaml: 'log: "info' }, /^:1: is not YAML .*not closed/],
    ['a key twice', { yaml: 'log: {}\nlog: {}' }, /^:2: 'log' stands on line 1 already$/],
    ['no value', { yaml: 'capture:\n  hz:' }, /^:2: capture\.hz: has no value; allowed: a whole/],
    ['not a map', { yaml: '- 1' }, /^:1: must be a map of capture, symbols/],
    ['a planned key', { yaml: 'opamp: {}' }, /^:1: opamp: is not supported yet$/],
    [
      'a planned scope',
      { sets: ['capture.scope.include=exe=/x'] },
      /not supported yet; allowed: pid=/,
    ],
    [
      'too many labels',
      { sets: [`profile.labels=${Array.from({ length: 65 }, (_, at) => `l${at}`).join()}`] },
      /profile\.labels: at most 64 labels can be read, not 65$/,
    ],
    [
      'a planned exclusion',
      { sets: ['capture.scope.exclude=container=x'] },
      /exclude: 'container=x' is not supported yet; allowed: pid=/,
    ],
    [
      'more cgroups left out than the sampler can compare',
      { sets: [`capture.scope.exclude=${'cgroup=/a,'.repeat(9)}`] },
      /capture\.scope\.exclude: there can be 8 cgroups only$/,
    ],
    [
      'limits that nobody keeps yet',
      { sets: ['limits.memory_bytes=160MiB'] },
      /^--set limits\.memory_bytes: limits: is not supported yet$/,
    ],
    ['two cgroups', { sets: ['capture.scope.include=cgroup=/a,cgroup=/b'] }, /one cgroup only$/],
    [
      'a variable',
      { environment: { FLAMETAP_CAPTURE_HZ: 'x' } },
      /^FLAMETAP_CAPTURE_HZ: capture\.hz: 'x' is not/,
    ],
    ['a key of a key', { sets: ['capture.hz.x=1'] }, /capture\.hz has no keys of its own$/],
    [
      'a gap between exporters',
      { sets: ['exporters.1.files.directory=/x'] },
      /the next would be 0/,
    ],
    [
      'another type',
      { yaml: 'exporters: [files: { directory: /x }]', sets: ['exporters.0.otlp.name=x'] },
      /exporters\.0 is files: write exporters\.0\.files\.KEY/,
    ],
    [
      'two keys of one exporter',
      { yaml: 'exporters:\n  - otlp:\n    endpoint: x' },
      /^:2: exporters\.0: .*start 'endpoint' with a dash of its own, or indent it/,
    ],
    [
      'the same name',
      { yaml: 'exporters: [files: { name: a, directory: /x }, files: { name: a, directory: /y }]' },
      /'a' is the name of exporters\.0$/,
    ],
    [
      'half a certificate',
      { yaml: 'exporters: [otlp: { endpoint: "a:1", tls: { key_file: /x } }]' },
      /tls\.cert_file: is needed with key_file/,
    ],
    [
      'what config print hides',
      { sets: ['exporters=[pyroscope: { url: http://a, bearer_token: "[redacted]" }]'] },
      /bearer_token: its value \(not shown\) is not/,
    ],
    [
      'not a power of two',
      { sets: ['capture.ring_bytes_per_cpu=600KiB'] },
      /out of range: from 128KiB to 8MiB, a power of two/,
    ],
    [
      'a control character',
      { yaml: 'resource: { attributes: { a: "x\\u0007" } }' },
      /has control characters/,
    ],
  ];
  for (const [name, given, message] of cases)
    test(name, () => {
      const [first, ...more] = wrong(given);
      assert.match(first ?? '', message);
      assert.deepEqual(more, []);
    });

  test('a secret is never repeated', () => {
    const said = wrong({
      yaml: 'exporters: [pyroscope: { url: http://a, headers: { a: "s3cret\\n" }, bearer_token: "s3cret\\n" }]',
    });
    assert.equal(said.length, 2);
    assert.doesNotMatch(said.join(), /s3cret/);
  });

  test('a file that is none says so', () => {
    const said = (file: string) => {
      try {
        loadConfig({ file, environment: {}, sets: [] });
      } catch (error) {
        return String(error);
      }
      return '';
    };
    assert.match(said(join(folder, 'none')), /there is no such file/);
    assert.match(said('/dev/zero'), /is not a file/);
    writeFileSync(FILE, Buffer.of(0x61, 0xff));
    assert.match(said(FILE), /is not UTF-8/);
    writeFileSync(FILE, ' '.repeat(300_000));
    assert.match(said(FILE), /is larger than 256 KiB/);
  });
});

test('misspelt variables are told, those of Kubernetes are not', () => {
  const { warnings } = load({
    environment: {
      FLAMETAP_CAPTURE_HX: '1',
      FLAMETAP_SERVICE_HOST: '10.0.0.1',
      FLAMETAP_PORT_7099_TCP: 'tcp://10.0.0.1:7099',
      FLAMETAP_TOKEN: 'x',
    },
  });
  assert.deepEqual(warnings, [
    "FLAMETAP_CAPTURE_HX: is not known; did you mean 'FLAMETAP_CAPTURE_HZ'?",
  ]);
});

test('a port alone is one of this machine, as a number and as a text; what others reach needs a token', () => {
  const listen = (text: string): string => {
    const file = join(folder, 'listen.yaml');
    writeFileSync(file, `viewer: { listen: ${text} }\n`);
    return loadConfig({ file, environment: {}, sets: [] }).config.viewer.listen;
  };
  assert.equal(listen('7100'), '127.0.0.1:7100');
  assert.equal(listen('"7100"'), '127.0.0.1:7100');
  assert.equal(listen('"[::1]:7100"'), '[::1]:7100');
  assert.throws(() => listen('70000'), /'127\.0\.0\.1:70000' is not HOST:PORT/);
  assert.throws(() => listen('true'), /is a boolean, not HOST:PORT[^;]*$/, 'quotes would not help');
  assert.throws(() => listen('"0.0.0.0:7100"'), /viewer\.listen: others can reach.*FLAMETAP_TOKEN/);
  const sets = ['viewer.listen=0.0.0.0:7100'];
  const environment = { FLAMETAP_TOKEN: 'sixteen-characters' };
  assert.deepEqual(loadConfig({ file: undefined, environment, sets }).warnings, []);
});

test('what a URL lacks is said', () => {
  assert.throws(
    () =>
      loadConfig({
        file: undefined,
        environment: {},
        sets: ['exporters.0.pyroscope.url=pyroscope:4040'],
      }),
    /'pyroscope:4040' is not an http:\/\/ or https:\/\/ URL: write http:\/\/pyroscope:4040/,
  );
});
