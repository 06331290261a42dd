/** Files that change, fail or never answer cost their own frames, and nobody else's. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { LIBRARY_TAIL, MAIN_ROOT, type Shape } from '../harness/chains.ts';
import { whenUsed } from '../harness/cpu-time.ts';
import { expectNames, expectShapes } from '../harness/expect.ts';
import { type Fault, FaultyFileSystem } from '../harness/faulty-fs.ts';
import { buildProgram } from '../harness/programs.ts';
import { countOf, ofPid, type Recording, record } from '../harness/record.ts';

const HZ = 499;
const folder = mkdtempSync(join(tmpdir(), 'faulty-'));
const running = new Set<ChildProcess>();
const mounted = new Set<FaultyFileSystem>();
afterEach(async () => {
  for (const child of running) child.kill('SIGKILL');
  running.clear();
  for (const each of mounted) await each.end();
  mounted.clear();
});
after(() => rmSync(folder, { recursive: true, force: true }));

const links = Array.from({ length: 30 }, (_, i) => `a${i + 1}`);
const shape: Shape = {
  steps: [...MAIN_ROOT, 'main', ...links, 'leaf'],
  least: MAIN_ROOT.length + 1,
  tail: LIBRARY_TAIL,
};

function start(...command: string[]): number {
  const child = spawn(command[0]!, command.slice(1), { stdio: 'ignore' });
  running.add(child);
  assert.ok(child.pid);
  return child.pid;
}

const problemsOf = ({ tally }: Recording): Readonly<Record<string, number>> =>
  (tally as unknown as { problems: Record<string, number> }).problems;

/** That another program's samples are what they always are. */
function expectWhole(recording: Recording, pid: number): void {
  const samples = ofPid(recording, pid);
  expectShapes(samples, [shape]);
  expectNames(samples);
  const { taken, exported, lost } = recording.tally;
  assert.equal(taken, exported + Object.values(lost).reduce((sum, n) => sum + n, 0));
}

const CASES: readonly (readonly [what: string, fault: Fault | 'stopped', reason: RegExp])[] = [
  ['whose server is stopped', 'stopped', /^file_system_dead$/],
  ['whose server takes requests and never answers', 'hang', /^file_system_dead$/],
  ['that cannot be read any more (EIO)', 'eio', /^(read_failed|open_failed)$/],
  ['that is not the server’s any more (ESTALE)', 'estale', /^(file_stale|open_failed)$/],
];

for (const [what, fault, reason] of CASES) {
  test(`a program on a file system ${what}`, async () => {
    const system = await FaultyFileSystem.mount(buildProgram('chain'), join(folder, fault));
    mounted.add(system);
    const [faulty, good] = [start(system.program, '300'), start(buildProgram('chain'), '300')];
    // All its pages are there by then.
    await whenUsed([faulty], 0.1);
    if (fault === 'stopped') system.stop();
    else await system.be(fault);
    const options = ['--pid', String(faulty), '--pid', String(good)];
    const until = () => whenUsed([faulty, good], 0.6);
    // Nothing ends a process that waits for an answer to what a server has taken.
    const written = async () => {
      mounted.delete(system);
      await system.end();
    };
    const recording = await record({
      hz: HZ,
      options,
      until,
      ...(fault === 'hang' ? { written } : {}),
    });
    expectWhole(recording, good);
    assert.ok(countOf(ofPid(recording, faulty)) > 100, 'it is sampled all the same');
    const problems = Object.keys(problemsOf(recording));
    assert.ok(
      problems.some((problem) => reason.test(problem)),
      `${problems} has no ${reason}`,
    );
  });
}

test('another program copied over a program is profiled as what it is now', async () => {
  const path = join(folder, 'copied');
  copyFileSync(buildProgram('recurse'), path);
  const { ino } = statSync(path);
  const pids: number[] = [];
  const recording = await record({
    hz: HZ,
    until: async () => {
      for (const program of ['recurse', 'chain']) {
        copyFileSync(buildProgram(program), path);
        const child = spawn(path, ['0.5'], { stdio: 'ignore' });
        running.add(child);
        pids.push(child.pid!);
        await once(child, 'exit');
      }
    },
  });
  assert.equal(statSync(path).ino, ino, 'the same file');
  const [before, now] = pids.map((pid) => ofPid(recording, pid));
  expectShapes(now!, [shape]);
  expectNames(now!);
  const names = (samples: typeof now) =>
    new Set(samples!.flatMap(({ stack }) => stack.map(({ name }) => name)));
  assert.ok(names(before).has('descend') || countOf(before!) > 100);
  assert.ok(!names(now).has('descend'), 'no name of the program before');
});

test('a library that becomes shorter while it is mapped ends nothing but its process', async () => {
  const library = join(folder, 'plugin.so');
  const latelib = join(folder, 'latelib');
  copyFileSync(buildProgram('latelib'), latelib);
  copyFileSync(join(buildProgram('latelib'), '../plugin.so'), library);
  const good = start(buildProgram('chain'), '300');
  const recording = await record({
    hz: HZ,
    until: async () => {
      for (let i = 0; i < 3; i++) {
        copyFileSync(join(buildProgram('latelib'), '../plugin.so'), library);
        const child = spawn(latelib, ['2'], { stdio: 'ignore', cwd: folder });
        running.add(child);
        // It runs code of the library by then.
        await whenUsed([child.pid!], 1.3);
        truncateSync(library, 4096 * i);
        await whenUsed([good], 0.1);
        child.kill('SIGKILL');
      }
    },
  });
  expectWhole(recording, good);
});
