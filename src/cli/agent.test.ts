import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { folder, run, said, start } from './command-runs.test-support.ts';

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
