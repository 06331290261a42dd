import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gunzipSync } from 'node:zlib';

const main = join(import.meta.dirname, 'stand-in-main.test-support.ts');
const folder = mkdtempSync(join(tmpdir(), 'flametap-commands-'));
after(() => rmSync(folder, { recursive: true, force: true }));

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(
  args: readonly string[],
  standIn = '',
): { child: ChildProcess; ended: Promise<Ran> } {
  const child = spawn(process.execPath, [main, ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, FLAMETAP_STAND_IN: standIn },
  });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (data: string) => {
      texts[name] += data;
    });
  const ended = new Promise<Ran>((resolve) => {
    child.once('close', (code) => resolve({ code, ...texts }));
  });
  return { child, ended };
}

const run = (args: readonly string[], standIn = '') => start(args, standIn).ended;

/** Resolves when the program has said something on a stream. */
function said(child: ChildProcess, stream: 'stdout' | 'stderr', what: string): Promise<void> {
  let text = '';
  return new Promise((resolve, reject) => {
    child[stream]?.on('data', (data: string) => {
      text += data;
      if (text.includes(what)) resolve();
    });
    child.once('close', () => reject(new Error(`never said '${what}': ${text}`)));
  });
}

test('every command has a manual with examples and exit codes on standard output', async () => {
  for (const name of ['agent', 'record', 'view', 'config', 'doctor']) {
    const { code, stdout } = await run([name, '--help']);
    assert.equal(code, 0);
    for (const part of [`Usage: flametap ${name}`, 'Options:', 'Examples:', 'Exit codes:'])
      assert.ok(stdout.includes(part), `${name}: ${part}`);
    assert.ok(Math.max(...stdout.split('\n').map((line) => line.length)) <= 110);
  }
});

test('--help and --version answer; a bare call is wrong usage', async () => {
  const help = await run(['--help']);
  assert.deepEqual([help.code, help.stdout.startsWith('Usage: flametap COMMAND')], [0, true]);
  const version = await run(['--version']);
  assert.match(version.stdout, /^flametap \d+\.\d+\.\d+\n$/);
  assert.equal((await run([])).code, 2);
});

test('wrong usage ends with 2 and names what is allowed', async () => {
  const cases: [string[], RegExp][] = [
    [['recrod'], /unknown command 'recrod'; did you mean 'record'\?/],
    [['record', '--durration', '1s'], /did you mean '--duration'\?/],
    [['record', '--duration', '10'], /--duration: '10' is not a duration: write 500ms/],
    [['record', 'ls'], /write -- before a command: flametap record -- ls/],
    [['record', '--'], /no command after --/],
    [['record', '--pid', '1', '--comm', 'x'], /--pid and --comm exclude each other/],
    [['record', '--comm', 'x', '--', 'ls'], /--comm and -- CMD exclude each other/],
    [['record', '--no-children'], /--no-children goes with --pid or -- CMD only/],
    [['record', '--comm', 'a-name-of-17-byte'], /longer than the 15 bytes/],
    [['record', '--format', 'svg'], /--format: 'svg' is not one of pprof, folded/],
    [['record', '--replay', 'x', '--hz', '9'], /--hz does not go with it/],
    [['record', '--go-pgo', '--format', 'json'], /--go-pgo writes pprof: --format json/],
    [['record', '--ids'], /--ids goes with --format folded; pprof has the ids anyway/],
    [['view', '--trace-id', 'x'], /--trace-id: 'x' is no trace id: 32 hex digits/],
    [['record', '--go-pgo', '--threads'], /--go-pgo and --threads exclude each other/],
    [['agent', '--listen', 'localhost'], /--listen: 'localhost' is not HOST:PORT/],
    [['agent', '--listen', '127.0.0.1:70000'], /is not HOST:PORT/],
    [['agent', 'now'], /agent takes no 'now'/],
    [['agent', '--hz', '0'], /--hz: '0' is not a whole number from 1 to 10000/],
    [['agent', '--set', 'captur.hz=1'], /captur: unknown key; did you mean 'capture'\?/],
    [['agent', '--config', '/nonexistent/x'], /\/nonexistent\/x: there is no such file/],
    [['config'], /config needs an action: write config check or config print/],
    [['config', 'prin'], /takes no 'prin': .*; did you mean 'print'\?/],
    [['config', 'check', '--set', 'log.level=x'], /--set log\.level: 'x' is not one of trace/],
    [['doctor', 'now'], /doctor takes no 'now'/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr, stdout } = await run(args);
    assert.match(stderr, message);
    assert.deepEqual([code, stdout], [2, ''], args.join(' '));
  }
});

test('what is not there ends with 1 before sampling', async () => {
  const cases: [string[], RegExp][] = [
    [['record', '--pid', '4194304'], /--pid: no process 4194304/],
    [
      ['record', '--cgroup', '/tmp'],
      /--cgroup: \/tmp is no folder of the unified cgroup hierarchy/,
    ],
    [['record', '--', 'no-such-program'], /cannot run 'no-such-program': not found in PATH/],
    [['record', '--', '/etc/passwd'], /cannot run '\/etc\/passwd': permission denied/],
    [['record', '--output', '/nonexistent/x'], /cannot write \/nonexistent\/x: no such file/],
    [['record', '--replay', '/nonexistent/x'], /--replay: cannot open \/nonexistent\/x/],
    [['record', '--save-records', '/'], /--save-records: \/ is not a file/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await run(args);
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /sampling at/);
    assert.equal(code, 1, args.join(' '));
  }
  assert.deepEqual(readdirSync(folder), []);
});

test('a machine that does not allow it ends with 3 and points to doctor', async () => {
  const { code, stderr, stdout } = await run(['record', '--', 'echo', 'ran'], 'machine');
  assert.equal(code, 3);
  assert.match(stderr, /perf events are denied\n.*flametap doctor/);
  assert.equal(stdout, '', 'the command never ran');
  assert.deepEqual(readdirSync(folder), []);
});

test('an unforeseen error ends with 1 and its stack', async () => {
  const { code, stderr } = await run(['record', '--duration', '1ms'], 'bug');
  assert.equal(code, 1);
  assert.match(stderr, /TypeError: a bug\n\s+at .*startProfiler/);
});

test('record writes pprof to flametap.pb.gz and says so on standard error', async () => {
  const { code, stdout, stderr } = await run(['record', '--duration', '50ms']);
  assert.deepEqual([code, stdout], [0, '']);
  assert.match(
    stderr,
    /7 samples, none lost; 100\.0 % of frames named\n.*written to flametap\.pb\.gz \(pprof, \d+ B\)/,
  );
  assert.ok(gunzipSync(readFileSync(join(folder, 'flametap.pb.gz'))).includes('stand-in'));
  assert.deepEqual(readdirSync(folder), ['flametap.pb.gz']);
  rmSync(join(folder, 'flametap.pb.gz'));
});

test('each format has its default file', async () => {
  for (const [format, file] of [
    ['folded', 'flametap.folded'],
    ['json', 'flametap.json'],
    ['otlp', 'flametap.otlp'],
  ] as const) {
    assert.equal((await run(['record', '--duration', '1ms', '--format', format])).code, 0);
    assert.ok(readFileSync(join(folder, file), 'utf8').includes('main'));
    rmSync(join(folder, file));
  }
});

test('--go-pgo writes default.pgo and says of which programs and whether it is enough', async () => {
  const { code, stderr } = await run(['record', '--go-pgo', '--duration', '1ms'], 'go');
  assert.equal(code, 0);
  assert.match(stderr, /written to default\.pgo \(pprof, \d+ B\)/);
  assert.match(stderr, /Go profile of \/srv\/app \(7 samples of 1 process\)/);
  assert.match(stderr, /7 samples are few: .* record for longer/);
  assert.ok(gunzipSync(readFileSync(join(folder, 'default.pgo'))).includes('main'));
  rmSync(join(folder, 'default.pgo'));
});

test('--go-pgo without Go code fails, tells what to do and writes nothing', async () => {
  const { code, stderr } = await run(['record', '--go-pgo', '--duration', '1ms']);
  assert.equal(code, 1);
  assert.match(stderr, /--go-pgo: no Go code in 7 samples \(of stand-in\): choose a Go program/);
  assert.deepEqual(readdirSync(folder), []);
});

test('the options reach the profiler', async () => {
  const { stderr } = await run(
    [
      'record',
      '--duration',
      '1ms',
      '--output',
      '/dev/null',
      '--hz',
      '49',
      '--threads',
      '--no-kernel',
      '--pid',
      '1',
      '--pid',
      '2',
      '--no-children',
    ],
    'print',
  );
  assert.deepEqual(JSON.parse(/^options (.*)$/m.exec(stderr)?.[1] ?? ''), {
    hz: 49,
    scope: { pids: [1, 2], followChildren: false },
    threads: true,
    addresses: false,
    kernelStacks: false,
    maxDepth: 1024,
  });
});

test('record -- CMD passes its output on, says its exit status, and ends with 0', async () => {
  const { code, stdout, stderr } = await run([
    'record',
    '--output',
    '/dev/null',
    '--',
    'sh',
    '-c',
    'echo out; echo err >&2; exit 3',
  ]);
  assert.deepEqual([code, stdout], [0, 'out\n']);
  assert.match(stderr, /err\n/);
  assert.match(stderr, /sh exited with 3/);
});

test('with the profile on standard output, the command’s output goes to standard error', async () => {
  const { stdout, stderr } = await run([
    'record',
    '--format',
    'folded',
    '--output',
    '-',
    '--',
    'echo',
    'out',
  ]);
  assert.equal(stdout, 'stand-in;main 7\n');
  assert.match(stderr, /^out$/m);
});

test('the command keeps its pid from before its first instruction', async () => {
  const { stdout, stderr } = await run(
    ['record', '--output', '/dev/null', '--', 'sh', '-c', 'echo $$'],
    'print',
  );
  const { scope } = JSON.parse(/^options (.*)$/m.exec(stderr)?.[1] ?? '');
  assert.deepEqual(scope, { pids: [Number(stdout)], followChildren: true });
});

test('when the time is over, the command is ended', async () => {
  const { code, stderr } = await run([
    'record',
    '--duration',
    '100ms',
    '--output',
    '/dev/null',
    '--',
    'sleep',
    '60',
  ]);
  assert.equal(code, 0);
  assert.match(stderr, /sleep was ended by SIGTERM/);
});

test('SIGINT reaches the command, and what there is gets written', async () => {
  const { child, ended } = start([
    'record',
    '--output',
    '/dev/null',
    '--',
    'sh',
    '-c',
    'trap "echo caught; exit 7" INT; echo ready; while :; do sleep 0.05; done',
  ]);
  await said(child, 'stdout', 'ready');
  child.kill('SIGINT');
  const { code, stdout, stderr } = await ended;
  assert.deepEqual([code, stdout], [0, 'ready\ncaught\n']);
  assert.match(stderr, /sh exited with 7/);
  assert.match(stderr, /7 samples, none lost/);
});

test('a second SIGINT gives up: exit 1, nothing written', async () => {
  const { child, ended } = start(['record', '--duration', '1m'], 'slow');
  await said(child, 'stderr', 'sampling at');
  child.kill('SIGINT');
  await new Promise((resolve) => setTimeout(resolve, 500));
  child.kill('SIGINT');
  const { code, stderr } = await ended;
  assert.equal(code, 1);
  assert.match(stderr, /given up; nothing was written/);
  assert.deepEqual(readdirSync(folder), []);
});

test('one Ctrl-C that comes twice, as under npm, is one', async () => {
  const { child, ended } = start(['record', '--duration', '1m', '--output', '/dev/null']);
  await said(child, 'stderr', 'sampling at');
  child.kill('SIGINT');
  child.kill('SIGTERM');
  const { code, stderr } = await ended;
  assert.equal(code, 0, stderr);
});

test('the agent serves, writes pprof files, and ends with 0 at SIGTERM', async () => {
  const { child, ended } = start([
    'agent',
    '--listen',
    '127.0.0.1:0',
    '--interval',
    '100ms',
    '--write-pprof',
    'profiles',
  ]);
  await said(child, 'stderr', '"taken":7');
  child.kill('SIGTERM');
  const { code, stderr } = await ended;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /open http:\/\/127\.0\.0\.1:\d+/);
  const files = readdirSync(join(folder, 'profiles'));
  assert.ok(files.length >= 2, 'one per interval and the last');
  assert.ok(
    files.every((file) => /^flametap-[\dTZ.-]+\.pb\.gz$/.test(file)),
    files.join(),
  );
  rmSync(join(folder, 'profiles'), { recursive: true });
});

test('config print shows what is in force on standard output', async () => {
  const { code, stdout, stderr } = await run(['config', 'print', '--set', 'capture.hz=49']);
  assert.deepEqual([code, stderr], [0, '']);
  assert.match(stdout, /^capture:\n {2}hz: 49 +# --set capture\.hz\n/);
});

test('config check says that all is right, or everything that is wrong with 2', async () => {
  const file = join(folder, 'flametap.yaml');
  writeFileSync(file, 'log: { level: debug }\n');
  const right = await run(['config', 'check', '--config', file]);
  assert.deepEqual([right.code, right.stdout], [0, '']);
  assert.match(right.stderr, /flametap\.yaml is valid/);
  writeFileSync(file, 'log: { level: loud }\ncaptur: {}\n');
  const wrong = await run(['config', 'check', '--config', file]);
  assert.deepEqual([wrong.code, wrong.stdout], [2, '']);
  assert.match(wrong.stderr, /flametap\.yaml:1: log\.level: .*\n.*flametap\.yaml:2: captur: /);
  rmSync(file);
});

test('the configuration reaches the profiler, options beat it', async () => {
  const file = join(folder, 'flametap.yaml');
  writeFileSync(
    file,
    [
      'capture: { hz: 19, max_depth: 100, ring_bytes_per_cpu: 1MiB, scope: { include: [pid=1, comm: x], exclude: [comm: y, comm: z, pid: 2] } }',
      'symbols: { debuginfod_urls: [http://127.0.0.1:1/], cache_dir: /cache, max_cache_bytes: 1MiB }',
      'profile: { labels: [goroutine], max_label_sets: 100, max_label_bytes: 1MiB }',
    ].join('\n'),
  );
  const more = ['--no-kernel', '--hz', '29', '--listen', '127.0.0.1:0'];
  const { child, ended } = start(['agent', '--config', file, ...more], 'print');
  await said(child, 'stderr', 'open http');
  child.kill('SIGTERM');
  const { code, stderr } = await ended;
  assert.equal(code, 0, stderr);
  assert.deepEqual(JSON.parse(/^options (.*)$/m.exec(stderr)?.[1] ?? ''), {
    hz: 29,
    scope: {
      pids: [1],
      followChildren: true,
      comm: 'x',
      exclude: { pids: [2], comms: ['y', 'z'], cgroupPaths: [] },
    },
    threads: false,
    addresses: false,
    kernelStacks: false,
    maxDepth: 100,
    ringBytes: 2 ** 20,
    labels: ['goroutine'],
    labelLimits: { sets: 100, bytes: 2 ** 20 },
    symbols: {
      debuginfodUrls: ['http://127.0.0.1:1/'],
      cacheDir: '/cache',
      maxCacheBytes: 2 ** 20,
    },
    steady: true,
  });
  rmSync(file);
});

test('the agent follows its file: sampling anew, the rest as it goes, a wrong file changes nothing', async () => {
  const file = join(folder, 'flametap.yaml');
  const kept = join(folder, 'kept');
  writeFileSync(file, 'capture: { hz: 19 }\n');
  const { child, ended } = start(
    ['agent', '--config', file, '--listen', '127.0.0.1:0', '--interval', '50ms'],
    'print',
  );
  await said(child, 'stderr', 'open http');
  writeFileSync(
    file,
    `capture: { hz: 29 }\nexporters: [files: { directory: ${kept}, max_bytes: 1MiB }]\n`,
  );
  const anew = said(child, 'stderr', 'sampling at 29 Hz');
  child.kill('SIGHUP');
  await anew;
  writeFileSync(file, 'capture: { hz: many }\n');
  const refused = said(child, 'stderr', 'the old one stays in force');
  // Not within the time in which two signals are one: the file's own change is enough.
  await refused;
  writeFileSync(
    file,
    'capture: { hz: 29 }\nlog: { level: error }\nviewer: { listen: "127.0.0.1:1" }\n',
  );
  const applied = said(child, 'stderr', '"changed":["log.level","exporters.0"]');
  await applied;
  child.kill('SIGTERM');
  const { code, stderr } = await ended;
  assert.equal(code, 0, stderr);
  assert.equal(stderr.match(/^options /gm)?.length, 2, 'sampling was started twice');
  assert.doesNotMatch(stderr, /stopping/, 'that is below the level in force');
  assert.ok(readdirSync(kept).some((name) => name.endsWith('.pb.gz')));
  rmSync(kept, { recursive: true });
  rmSync(file);
});

test('a full disk keeps no agent from starting: what to do is told, and profiles wait', async () => {
  const full = join(folder, 'full');
  mkdirSync(full);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', full]);
  assert.equal(mounted.status, 0, String(mounted.stderr));
  try {
    writeFileSync(join(full, 'hog'), Buffer.alloc(64 * 1024));
    const set = `exporters.0.files.directory=${full}`;
    const { child, ended } = start([
      'agent',
      '--listen',
      '127.0.0.1:0',
      '--interval',
      '20ms',
      '--set',
      set,
    ]);
    await said(child, 'stderr', 'no space left on the device; make room there');
    child.kill('SIGTERM');
    const { code, stderr } = await ended;
    assert.equal(code, 0, stderr);
    assert.match(
      stderr,
      /"keys":\["exporters\.0\.files\.max_bytes","exporters\.0\.files\.directory"\]/,
    );
  } finally {
    spawnSync('umount', ['-l', full]);
  }
});

test('without a file SIGHUP ends the agent as a terminal that goes away does', async () => {
  const { child, ended } = start(['agent', '--listen', '127.0.0.1:0']);
  await said(child, 'stderr', 'open http');
  child.kill('SIGHUP');
  const { code, stderr } = await ended;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /SIGHUP: stopping/);
});

test('a receiver that is not there holds up nothing, and what it should have got waits on disk', async () => {
  const queue = join(folder, 'queue');
  const { child, ended } = start([
    'agent',
    '--listen',
    '127.0.0.1:0',
    '--interval',
    '100ms',
    '--set',
    'exporters.0.otlp.endpoint=http://127.0.0.1:1',
    '--set',
    'exporters.0.otlp.protocol=http/protobuf',
    '--set',
    `exporters.0.otlp.queue.directory=${queue}`,
  ]);
  await said(child, 'stderr', '"taken":7');
  child.kill('SIGTERM');
  const { code, stderr } = await ended;
  assert.equal(code, 0, stderr);
  assert.equal(stderr.match(/"cause":"send_failed"/g)?.length, 1, 'told once');
  assert.match(stderr, /"requests":\d+,"msg":"requests wait on disk for the next start"/);
  assert.ok(readdirSync(join(queue, 'otlp')).length > 0);
  rmSync(queue, { recursive: true });
});

test('an address that others can reach needs a token', async () => {
  const { code, stderr } = await run(['agent', '--listen', '0.0.0.0:0']);
  assert.equal(code, 2);
  assert.match(stderr, /--listen: others can reach 0\.0\.0\.0:0: .*FLAMETAP_TOKEN/);
});

test('a port in use ends the agent with 1 before sampling', async () => {
  const first = start(['agent', '--listen', '127.0.0.1:0']);
  const opened = new Promise<string>((resolve, reject) => {
    first.child.stderr?.on('data', (data: string) => {
      const port = /open http:\/\/127\.0\.0\.1:(\d+)/.exec(data)?.[1];
      if (port) resolve(port);
    });
    void first.ended.then(({ stderr }) => reject(new Error(stderr)));
  });
  const { code, stderr } = await run(['agent', '--listen', `127.0.0.1:${await opened}`]);
  first.child.kill('SIGTERM');
  assert.equal(code, 1);
  assert.match(
    stderr,
    /viewer\.listen: cannot serve the page: 127\.0\.0\.1:\d+ is in use.*another port/,
  );
  assert.equal((await first.ended).code, 0);
});
