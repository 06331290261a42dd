/** Processes that live 50 ms: all seen, with whole stacks, the first sample included. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { countTolerance, isNamed, markerOf, showStack, userFrames } from '../harness/chains.ts';
import { expectTally } from '../harness/expect.ts';
import { copyWithNewBuildId } from '../harness/new-binary.ts';
import { buildProgram } from '../harness/programs.ts';
import { countOf, ofPid, type Recording, record } from '../harness/record.ts';

const HZ = 99;
const MILLISECONDS = '50';
const folder = mkdtempSync(join(tmpdir(), 'brief-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A script that runs the commands one after the other. */
function script(name: string, commands: readonly string[]): string[] {
  const path = join(folder, name);
  writeFileSync(path, `${commands.join('\n')}\n`);
  return ['sh', path];
}

/**
 * Every process was seen, its samples are as many as its CPU time says, and
 * `share` of them have named frames of the program. Ticks in exec and exit,
 * where there is no user stack, are not held against it.
 */
function expectSeen(recording: Recording, processes: number, share: number): void {
  const { reports } = recording;
  assert.equal(reports.length, processes);
  assert.equal(new Set(reports.map((report) => report.pid)).size, processes);
  let [expected, total, good, empty, unseen, switches] = [0, 0, 0, 0, 0, 0];
  for (const { pid, cpuNs, switches: own } of reports) {
    const samples = ofPid(recording, pid);
    if (samples.length === 0) unseen++;
    expected += (cpuNs / 1e9) * HZ;
    // each process starts and ends at a random point between two ticks
    switches += own + 2;
    total += countOf(samples);
    for (const sample of samples) {
      const frames = userFrames(sample);
      if (frames.length === 0) empty += sample.count;
      else if (markerOf(sample) === undefined && frames.some(isNamed)) {
        good += sample.count;
      }
    }
  }
  assert.equal(unseen, 0, `${unseen} of ${processes} processes were not seen`);
  assert.ok(
    Math.abs(total - expected) <= countTolerance(expected, switches),
    `${total} samples, ${expected.toFixed(0)} expected`,
  );
  assert.ok(empty <= 0.03 * total, `${empty} of ${total} samples without user frames`);
  assert.ok(
    good >= share * (total - empty),
    `${good} of ${total - empty} samples have whole stacks with names`,
  );
  expectTally(recording);
}

// The same binary again and again: known after the first run.
test('100 runs of one binary', async () => {
  const program = buildProgram('brief');
  const command = script('known', Array(100).fill(`${program} ${MILLISECONDS}`));
  expectSeen(await record({ hz: HZ, command }), 100, 0.99);
});

// A binary that nobody has seen before, each time.
test('60 new binaries', async () => {
  const commands: string[] = [];
  for (let i = 0; i < 60; i++) {
    const copy = join(folder, `new${i}`);
    copyWithNewBuildId(buildProgram('brief'), copy, i + 1);
    commands.push(`${copy} ${MILLISECONDS}`);
  }
  expectSeen(await record({ hz: HZ, command: script('new', commands) }), 60, 0.95);
});

// fork without exec: the child has its parent's mappings from the first instant.
test('60 forked children', async () => {
  const command = [buildProgram('brief'), MILLISECONDS, '60'];
  expectSeen(await record({ hz: HZ, command }), 60, 0.99);
});

// Between the old image and the new one there is no user stack: none is made up, none is called cut.
test('inside exec', async () => {
  const command = script('exec', Array(1000).fill('/bin/true'));
  const recording = await record({ hz: 1997, command });
  const inside = recording.samples.filter(({ stack }) =>
    stack.some((frame) => frame.name === 'load_elf_binary'),
  );
  const cut = inside.filter((sample) => markerOf(sample) !== undefined);
  assert.ok(countOf(inside) > 20, `${countOf(inside)} samples inside exec`);
  assert.ok(
    countOf(cut) <= 0.1 * countOf(inside),
    `${countOf(cut)} of ${countOf(inside)} are cut:\n${cut.slice(0, 5).map(showStack).join('\n')}`,
  );
  expectTally(recording);
});
