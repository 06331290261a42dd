/** Where a program's file is, or is no more, must not matter. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { LIBRARY_TAIL, MAIN_ROOT, type Shape } from '../harness/chains.ts';
import { whenUsed } from '../harness/cpu-time.ts';
import { expectNames, expectShapes, expectTally } from '../harness/expect.ts';
import { buildProgram } from '../harness/programs.ts';
import { countOf, ofPid, record } from '../harness/record.ts';

const HZ = 499;
const folder = mkdtempSync(join(tmpdir(), 'places-'));
const running = new Set<ChildProcess>();
after(() => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

const links = Array.from({ length: 30 }, (_, i) => `a${i + 1}`);
const shape: Shape = {
  steps: [...MAIN_ROOT, 'main', ...links, 'leaf'],
  least: MAIN_ROOT.length + 1,
  tail: LIBRARY_TAIL,
};

/** Starts a command that runs long enough; it is killed at the end. */
async function start(command: readonly string[]): Promise<number> {
  const child = spawn(command[0]!, command.slice(1), { stdio: 'ignore' });
  running.add(child);
  // What leads to it, such as unshare, uses less.
  await whenUsed([child.pid!], 0.2);
  return child.pid!;
}

async function expectWhole(pid: number): Promise<void> {
  const options = ['--pid', String(pid)];
  const recording = await record({ hz: HZ, options, until: () => whenUsed([pid], 1) });
  const samples = ofPid(recording, pid);
  assert.equal(countOf(samples), countOf(recording.samples), 'only the process asked for');
  const counts = expectShapes(samples, [shape]);
  assert.ok(
    counts.complete[0]! > 0.5 * counts.total,
    `${counts.complete[0]!} of ${counts.total}: the leaf is hardly ever seen`,
  );
  expectNames(samples);
  expectTally(recording);
  process.kill(pid, 'SIGKILL');
}

// The mapped file is still there, though no path leads to it.
test('program deleted after start', async () => {
  const path = join(folder, 'deleted');
  cpSync(buildProgram('chain'), path);
  const pid = await start([path, '10']);
  rmSync(path);
  await expectWhole(pid);
});

// Another program lies at the path now: its rules and names would be wrong ones.
test('program replaced after start', async () => {
  const path = join(folder, 'replaced');
  cpSync(buildProgram('chain'), path);
  const pid = await start([path, '10']);
  const other = join(folder, 'other');
  cpSync(buildProgram('chain', { optimize: 0 }), other);
  renameSync(other, path);
  await expectWhole(pid);
});

// The file exists only in a file system that only this process sees, under its own root.
test('other mount namespace and root', async () => {
  const room = mkdtempSync(join(folder, 'root-'));
  const program = buildProgram('chain');
  const script = [
    'set -e',
    `mount -t tmpfs none ${room}`,
    // the loader and libc at the paths that the program asks for
    `for f in ${program} $(ldd ${program} | grep -o '/[^ ]*'); do mkdir -p ${room}/$(dirname $f); cp -L $f ${room}/$f; done`,
    `exec chroot ${room} ${program} 10`,
  ];
  const pid = await start(['unshare', '--mount', 'sh', '-c', script.join('\n')]);
  await expectWhole(pid);
});

// Inside it is process 1; outside it has another number, and that is the one to show.
test('other pid namespace', async () => {
  const command = ['unshare', '--pid', '--fork', '--mount-proc', buildProgram('chain'), '2'];
  const recording = await record({ hz: HZ, command });
  const samples = recording.samples.filter((sample) => sample.process === 'chain');
  const pids = new Set(samples.map((sample) => sample.pid));
  assert.equal(pids.size, 1);
  assert.ok(!pids.has(1) && !pids.has(recording.reports[0]!.pid), 'a host pid');
  expectShapes(samples, [shape]);
  expectNames(samples);
});

// Fixed, low addresses instead of randomized ones.
test('without address randomization', async () => {
  const pid = await start(['setarch', '-R', buildProgram('chain'), '10']);
  await expectWhole(pid);
});

// Two builds of one program at once: neither takes the other's rules or names.
test('two builds side by side', async () => {
  const first = await start([buildProgram('chain', { optimize: 1 }), '10']);
  const second = await start([buildProgram('chain', { pie: false }), '10']);
  const pids = ['--pid', String(first), '--pid', String(second)];
  const until = () => whenUsed([first, second], 1);
  const recording = await record({ hz: HZ, options: pids, until });
  for (const pid of [first, second]) {
    expectShapes(ofPid(recording, pid), [shape]);
    process.kill(pid, 'SIGKILL');
  }
});
