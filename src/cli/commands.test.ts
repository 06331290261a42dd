import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { folder, run, said, start } from './command-runs.test-support.ts';

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
