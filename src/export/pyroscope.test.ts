import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { Profile as Pprof } from 'pprof-format';
import protobuf from 'protobufjs';
import { fuzz, hostileText, rawSamples } from '../profile/arbitrary-samples.test-support.ts';
import { buildProfile, fixtureFacts, plainSample } from '../profile/fixture.test-support.ts';
import type { Profile } from '../profile/model.ts';
import { decodePush, encodePush } from './push-message.ts';
import { encodeRequests, PUSH_LIMITS, type PushLimits, splitPush } from './pyroscope.ts';
import type { SeriesOptions } from './series-labels.ts';

const plain: SeriesOptions = { pid: false, labels: {} };

const encode = (
  profile: Profile,
  options: Partial<SeriesOptions> = {},
  limits: Partial<PushLimits> = {},
): Uint8Array[] => [
  ...encodeRequests(profile, { ...plain, ...options }, { ...PUSH_LIMITS, ...limits }),
];

interface Stored {
  readonly labels: Readonly<Record<string, string>>;
  readonly time: bigint;
  /** `frame;frame labels` leaf first, and nanoseconds. */
  readonly samples: readonly (readonly [stack: string, value: number])[];
}

/** Every profile of the requests. */
function stored(requests: readonly Uint8Array[]): Stored[] {
  return requests.flatMap(decodePush).map(({ labels, profile }) => {
    const pprof = Pprof.decode(profile);
    const text = (index: number | bigint): string => pprof.stringTable.strings[Number(index)]!;
    const functions = new Map(pprof.function.map((one) => [Number(one.id), text(one.name)]));
    const locations = new Map(
      pprof.location.map((one) => [
        Number(one.id),
        one.line.map((line) => functions.get(Number(line.functionId))!).join(';'),
      ]),
    );
    const samples = pprof.sample.map(({ locationId, value, label }) => {
      assert.equal(value.length, 1);
      const stack = locationId.map((id) => locations.get(Number(id))!).join(';');
      const said = label.map(({ key, str, num }) => ` ${text(key)}=${text(str) || num}`);
      return [stack + said.join(''), Number(value[0])] as const;
    });
    return { labels: Object.fromEntries(labels), time: BigInt(pprof.timeNanos), samples };
  });
}

function totals(profiles: readonly Stored[]): Map<string, number> {
  const sums = new Map<string, number>();
  for (const { labels, samples } of profiles) {
    for (const [stack, value] of samples) {
      const key = `${JSON.stringify(labels)} ${stack}`;
      sums.set(key, (sums.get(key) ?? 0) + value);
    }
  }
  return new Map([...sums].sort());
}

const period = fixtureFacts.period;
const twoPrograms = buildProfile([
  { ...plainSample, pid: 1, comm: 'web', weight: 3 },
  { ...plainSample, pid: 2, comm: 'web', weight: 4, kernel: [7] },
  { ...plainSample, pid: 3, comm: 'db', weight: 5, labels: 1 },
]);

test('one series of each service and process name, CPU time only', () => {
  assert.deepEqual(stored(encode(twoPrograms)), [
    {
      labels: { __name__: 'process_cpu', host: 'web-1', process: 'web', service_name: 'web' },
      time: fixtureFacts.startTime,
      samples: [
        ['f4097;inlined4098;f4098', 3 * period],
        ['f7;f4097;inlined4098;f4098', 4 * period],
      ],
    },
    {
      labels: { __name__: 'process_cpu', host: 'web-1', process: 'db', service_name: 'db' },
      time: fixtureFacts.startTime,
      samples: [
        [
          'f4097;inlined4098;f4098 trace_id=0123456789abcdef0123456789abcdef span_id=0123456789abcdef',
          5 * period,
        ],
      ],
    },
  ]);
});

test('what processes state of themselves tells series apart, but not one instance from another', () => {
  const resource = (version: string, instance: string) =>
    Object.entries({
      'service.name': 'shop',
      'service.namespace': 'north',
      'service.version': version,
      'service.instance.id': instance,
      'deployment.environment.name': 'prod',
      'telemetry.sdk.language': 'go',
    }).map(([key, value]) => ({ key, value }));
  const [web, web2, db] = twoPrograms.processes;
  const encoded = (version: string) =>
    stored(
      encode({
        ...twoPrograms,
        processes: [
          { ...web!, resource: resource('1', 'a') },
          { ...web2!, resource: resource(version, 'b') },
          db!,
        ],
      }),
    );
  const known = { __name__: 'process_cpu', host: 'web-1' };
  assert.deepEqual(
    encoded('1').map(({ labels }) => labels),
    [
      {
        ...known,
        process: 'web',
        service_name: 'shop',
        service_namespace: 'north',
        service_version: '1',
        deployment_environment_name: 'prod',
      },
      { ...known, process: 'db', service_name: 'db' },
    ],
  );
  assert.equal(encoded('2').length, 3);
});

test('a series of each process when asked for', () => {
  const pids = stored(encode(twoPrograms, { pid: true })).map(({ labels }) => labels.pid);
  assert.deepEqual(pids, ['1', '2', '3']);
});

test('labels of the configuration are on every series and win; names become valid ones', () => {
  const labels = {
    'k8s.pod.name': 'web-0',
    host: 'mine',
    service_name: 'shop',
    '1st': 'x',
    __type__: 'own',
    '': 'nameless',
  };
  const [series] = stored(encode(twoPrograms, { labels }));
  assert.deepEqual(series!.labels, {
    __name__: 'process_cpu',
    _: 'nameless',
    _1st: 'x',
    _type__: 'own',
    host: 'mine',
    k8s_pod_name: 'web-0',
    process: 'web',
    service_name: 'shop',
  });
});

const goroutines: Profile = {
  ...twoPrograms,
  labelSets: [
    [],
    [
      { key: 'goroutine', value: '17' },
      { key: 'goroutine_kind', value: 'user' },
      { key: 'trace_id', value: '0123456789abcdef0123456789abcdef' },
      { key: 'endpoint/name', value: '/cart' },
      { key: 'process', value: 'hidden by the series' },
      { key: 'span_id', value: 'no hex' },
    ],
  ],
};

test('goroutines, which would be series, are not sent; other labels and ids are', () => {
  const samples = stored(encode(goroutines)).at(-1)!.samples;
  assert.match(
    samples[0]![0],
    /f4098 trace_id=0123456789abcdef0123456789abcdef endpoint_name=\/cart$/,
  );
});

test('only the labels that are chosen make series; the ids of requests are always sent', () => {
  const chosen = (names: string[]) =>
    stored(encode(goroutines, { sampleLabels: new Set(names) })).at(-1)!.samples[0]![0];
  assert.match(chosen([]), /f4098 trace_id=0123456789abcdef0123456789abcdef$/);
  assert.match(chosen(['endpoint/name', 'nothing']), / endpoint_name=\/cart$/);
});

test('goroutines as texts when asked for: Pyroscope drops numbers', () => {
  const samples = stored(encode(goroutines, { sampleLabels: 'all' })).at(-1)!.samples;
  assert.match(samples[0]![0], / goroutine=17 goroutine_kind=user /);
});

test('no more labels and no longer ones than Pyroscope takes', () => {
  const labels = Object.fromEntries(
    Array.from({ length: 40 }, (_, i) => [`l${i}${'n'.repeat(2000)}`, 'ä'.repeat(2000)]),
  );
  const [series] = stored(encode(goroutines, { labels, sampleLabels: 'all' }));
  assert.equal(Object.keys(series!.labels).length, 30);
  for (const [name, value] of Object.entries(series!.labels)) {
    assert.ok(Buffer.byteLength(name) <= 1024);
    assert.ok(Buffer.byteLength(value) <= 2048);
  }
  assert.equal(series!.labels.service_name, 'web');
  assert.match(
    stored(encode(goroutines, { labels, sampleLabels: 'all' })).at(-1)!.samples[0]![0],
    /f4098 trace_id=0123456789abcdef0123456789abcdef$/,
  );
});

const many = buildProfile(
  Array.from({ length: 100 }, (_, i) => ({
    ...plainSample,
    comm: i % 3 === 0 ? 'web' : 'db',
    pid: i % 3 === 0 ? 1 : 2,
    user: [0x1000 + 7 * i, 0x2000 + i],
    weight: 1 + i,
  })),
);

test('parts of a series have start times of their own and lose nothing', () => {
  const whole = stored(encode(many));
  for (const limits of [{ samples: 7 }, { requestBytes: 900 }, { samples: 1 }, { series: 1 }]) {
    const requests = encode(many, {}, limits);
    const parts = stored(requests);
    assert.ok(requests.length > 1 || parts.length > whole.length);
    assert.deepEqual(totals(parts), totals(whole));
    const keys = parts.map(({ labels, time }) => `${labels.service_name} ${time}`);
    assert.equal(new Set(keys).size, keys.length);
    for (const part of parts) assert.ok(part.samples.length <= (limits.samples ?? 16_000));
    for (const request of requests) {
      const alone = decodePush(request).length === 1 && stored([request])[0]!.samples.length === 1;
      assert.ok(alone || request.length <= (limits.requestBytes ?? PUSH_LIMITS.requestBytes));
      assert.ok(decodePush(request).length <= (limits.series ?? 200));
    }
  }
});

test('halves, and their halves, keep within the times of the part, down to single samples', () => {
  const parts = encode(many, {}, { samples: 11 });
  let rest = parts;
  const single: Uint8Array[] = [];
  while (rest.length > 0) {
    rest = rest.flatMap((request) => {
      const halves = splitPush(request);
      if (halves === undefined) single.push(request);
      return halves ?? [];
    });
  }
  const profiles = stored(single);
  assert.equal(profiles.length, 100);
  assert.deepEqual(totals(profiles), totals(stored(parts)));
  const keys = profiles.map(({ labels, time }) => `${labels.service_name} ${time}`);
  assert.equal(new Set(keys).size, 100);
  const late = fixtureFacts.startTime + 100n;
  for (const { time } of profiles) assert.ok(time >= fixtureFacts.startTime && time < late);
});

test('a half holds only what its samples use', () => {
  const [request] = encode(many);
  const [whole] = decodePush(request!);
  const [first] = splitPush(splitPush(request!)![0]!)!;
  assert.ok(decodePush(first!)[0]!.profile.length < 0.7 * whole!.profile.length);
});

test('the same profile gives the same bytes', () => {
  assert.deepEqual(encode(many, {}, { samples: 9 }), encode(many, {}, { samples: 9 }));
  const [request] = encode(many);
  assert.deepEqual(splitPush(request!), splitPush(request!));
});

test('no samples, no request', () => {
  assert.deepEqual(encode(buildProfile([])), []);
});

const proto = fileURLToPath(new URL('../../proto/pyroscope/push.proto', import.meta.url));

test('requests are what the published field numbers say', () => {
  const type = protobuf.loadSync(proto).lookupType('push.v1.PushRequest');
  const [request] = encode(twoPrograms);
  const decoded = type.toObject(type.decode(request!)) as {
    series: {
      labels: { name: string; value: string }[];
      samples: { rawProfile: Uint8Array; ID: string }[];
    }[];
  };
  const series = decodePush(request!);
  assert.deepEqual(
    decoded.series.map(({ labels }) => labels.map(({ name, value }) => [name, value])),
    series.map(({ labels }) => labels),
  );
  for (const [index, { samples }] of decoded.series.entries()) {
    assert.equal(samples.length, 1);
    assert.deepEqual(Uint8Array.from(samples[0]!.rawProfile), series[index]!.profile);
    assert.match(samples[0]!.ID, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  }
  assert.deepEqual(Buffer.from(encodePush(series)), Buffer.from(request!));
});

test('whatever names hold, samples add up and labels obey the rules', () => {
  fc.assert(
    fc.property(
      rawSamples,
      fc.dictionary(hostileText, hostileText, { maxKeys: 40 }),
      fc.record({
        samples: fc.integer({ min: 1, max: 9 }),
        series: fc.integer({ min: 1, max: 3 }),
      }),
      (samples, labels, limits) => {
        const profile = buildProfile(samples);
        const parts = stored(encode(profile, { labels }, limits));
        let sum = 0;
        for (const { labels: names, samples: values } of parts) {
          for (const [name, value] of Object.entries(names)) {
            assert.match(name, /^[a-zA-Z_][a-zA-Z0-9_]*$/);
            assert.ok(value !== '' && value.isWellFormed());
          }
          assert.ok(names.service_name);
          for (const [, value] of values) sum += value;
        }
        assert.equal(sum, profile.tally.exported * period);
      },
    ),
    fuzz,
  );
});
