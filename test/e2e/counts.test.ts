/** How many samples there are, whose they are, and that none is lost without a word. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { whenUsed } from '../harness/cpu-time.ts';
import { expectCount, expectTally, reportOf, withoutRefusedCopies } from '../harness/expect.ts';
import { buildProgram } from '../harness/programs.ts';
import { countOf, ofPid, record } from '../harness/record.ts';

// 20 s of one thread at 99 Hz are 1,980 ticks; they are periodic, so no 1/sqrt(n) noise.
test('samples agree with CPU time', async () => {
  const recording = await record({ hz: 99, command: [buildProgram('recurse'), '20', '10'] });
  expectCount(recording, reportOf(recording, 'recurse'));
  expectTally(recording);
});

// Two threads on two CPUs at once count twice.
test('samples of two threads agree with CPU time', async () => {
  const recording = await record({ hz: 199, command: [buildProgram('chain'), '8', '2'] });
  expectCount(recording, reportOf(recording, 'chain'));
  expectTally(recording);
});

// At 1,000 Hz the sampler itself must not lose samples.
test('a high rate loses nothing', async () => {
  const recording = await record({ hz: 997, command: [buildProgram('chain'), '6', '2'] });
  expectCount(recording, reportOf(recording, 'chain'));
  expectTally(recording);
  assert.equal(
    recording.tally.taken,
    recording.tally.exported,
    JSON.stringify(recording.tally.lost),
  );
});

// The whole machine: each program's frames are only in its own processes.
test('pids never mix', async () => {
  const programs = ['recurse', 'vdso', 'frames', 'chain'] as const;
  const own = { recurse: 'descend', vdso: 'ask', frames: 'shape_alloca', chain: 'a1' };
  const children = programs.map((name) => spawn(buildProgram(name), ['300'], { stdio: 'ignore' }));
  const pids = children.map(({ pid }) => pid!);
  await whenUsed(pids, 0.1);
  const recording = await record({ hz: 499, until: () => whenUsed(pids, 0.4) });
  for (const child of children) child.kill();
  for (const [index, name] of programs.entries()) {
    const samples = withoutRefusedCopies(ofPid(recording, pids[index]!));
    assert.ok(countOf(samples) > 50, `${name}: ${countOf(samples)} samples`);
    for (const sample of samples) {
      assert.equal(sample.process, name);
      for (const frame of sample.stack) {
        for (const other of programs) {
          assert.ok(other === name || frame.name !== own[other], `${frame.name} in ${name}`);
        }
      }
    }
    const marked = samples.filter((one) => one.stack.some((frame) => frame.name === own[name]));
    const [seen, all] = [countOf(marked), countOf(samples)];
    assert.ok(seen > 0.9 * all, `${own[name]} is in ${seen} of ${all} samples of ${name}`);
  }
  expectTally(recording);
});

// --pid leaves out everybody else, before unwinding and in the tally.
test('scope by pid', async () => {
  const inside = spawn(buildProgram('recurse'), ['300'], { stdio: 'ignore' });
  const outside = spawn(buildProgram('vdso'), ['300'], { stdio: 'ignore' });
  const pids = [inside.pid!, outside.pid!];
  const options = ['--pid', String(inside.pid)];
  const recording = await record({ hz: 199, options, until: () => whenUsed(pids, 0.5) });
  inside.kill();
  outside.kill();
  // of 99
  assert.ok(countOf(recording.samples) > 50, `${countOf(recording.samples)} samples`);
  assert.ok(recording.samples.every((sample) => sample.pid === inside.pid));
  expectTally(recording);
});

// --comm takes in every process of that name and nobody else.
test('scope by comm', async () => {
  const inside = spawn(buildProgram('recurse'), ['300'], { stdio: 'ignore' });
  const outside = spawn(buildProgram('vdso'), ['300'], { stdio: 'ignore' });
  const pids = [inside.pid!, outside.pid!];
  const options = ['--comm', 'recurse'];
  const recording = await record({ hz: 199, options, until: () => whenUsed(pids, 0.5) });
  inside.kill();
  outside.kill();
  // of 99
  assert.ok(countOf(recording.samples) > 50, `${countOf(recording.samples)} samples`);
  assert.ok(recording.samples.every((sample) => sample.process === 'recurse'));
});

// News of processes must not wait for the very load that is recorded; what is recorded runs as it would.
test('only the profiler itself is in a hurry', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nice-'));
  try {
    const nice = (pid: string): string =>
      `sed 's/.*) //' /proc/${pid}/task/*/stat | cut -d' ' -f17 | sort -n | head -n1`;
    const script = `${nice('$PPID')} > ${folder}/ours; ${nice('$$')} > ${folder}/theirs`;
    await record({ command: ['sh', '-c', script] });
    assert.equal(readFileSync(join(folder, 'ours'), 'utf8').trim(), '-10');
    assert.equal(readFileSync(join(folder, 'theirs'), 'utf8').trim(), String(getPriority()));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
