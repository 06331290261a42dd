/**
 * Native stacks read like source code: function, file, line and inlined calls
 * of a C++ and a Rust program against perf, which unwinds and reads debug
 * information by other code, over the same time; and code of packages whose
 * debug information lies in separate files.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { JsonFrame, JsonSample } from '../harness/chains.ts';
import { buildProgram, type ProgramName } from '../harness/programs.ts';
import { execute, ofPid, pause, record } from '../harness/record.ts';
import {
  compareSources,
  PERF_SOURCE_FIELDS,
  parsePerfSource,
  type SourceStack,
  sourceStacks,
  upTo,
} from '../harness/source-stacks.ts';
import { PERF_RECORD } from '../peers/perf.ts';

const HZ = 499;
const SECONDS = 5;
const folder = mkdtempSync(join(tmpdir(), 'native-truth-'));
const running = new Set<ChildProcess>();
after(() => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

function start(command: readonly string[]): number {
  const child = spawn(command[0]!, command.slice(1), { stdio: 'ignore' });
  running.add(child);
  return child.pid!;
}

async function perfStacks(pid: number): Promise<SourceStack[]> {
  const data = join(folder, `${pid}.data`);
  const how = ['-F', String(HZ), '--call-graph', 'dwarf,16384'];
  const perf = ['perf', ...PERF_RECORD, ...how, '-p', String(pid), '-o', data];
  const recorded = await execute([...perf, '--', 'sleep', String(SECONDS)]);
  assert.equal(recorded.code, 0, recorded.stderr);
  const script = await execute(['perf', 'script', '-i', data, ...PERF_SOURCE_FIELDS]);
  assert.equal(script.code, 0, script.stderr);
  return parsePerfSource(script.stdout);
}

for (const [language, name] of [
  ['C++', 'inlined'],
  ['Rust', 'inlined-rs'],
] as const satisfies [string, ProgramName][]) {
  test(`${language}: stacks, lines, inlined calls and self time are those of perf`, async () => {
    const pid = start([buildProgram(name, { debugInfo: true }), '60']);
    await pause(300);
    let theirs: SourceStack[] = [];
    const recording = await record({
      hz: HZ,
      options: ['--pid', String(pid), '--duration', `${SECONDS}s`],
      during: async () => {
        theirs = upTo(await perfStacks(pid), 'main');
      },
    });
    const ours = upTo(sourceStacks(ofPid(recording, pid)), 'main');
    const compared = compareSources(ours, theirs);
    assert.ok(compared.ours > 150 && compared.theirs > 150, JSON.stringify(compared));
    assert.ok(compared.heavyInlined >= 2, `few inlined: ${JSON.stringify(compared)}`);
    // What says why names are missing, if they are.
    const problems = JSON.stringify(recording.tally.problems);
    assert.deepEqual(compared.disagreements, [], problems);
  });
}

/** Frames of a function, from all samples. */
function framesOf(samples: readonly JsonSample[], name: RegExp): JsonFrame[] {
  return samples.flatMap(({ stack }) => stack.filter((frame) => name.test(frame.name)));
}

test('python3 and libc, stripped: names, files, lines and inlined calls come from Debian debug packages', async () => {
  // Large enough for malloc itself, and zeroed by memset.
  const loop = 'while True:\n  for i in range(1000): bytearray(2000 + i)';
  const pid = start(['/usr/bin/python3', '-S', '-c', loop]);
  await pause(300);
  const recording = await record({ hz: HZ, options: ['--pid', String(pid), '--duration', '3s'] });
  const samples = ofPid(recording, pid);
  for (const [name, file, first, last] of [
    [/^_PyEval_EvalFrameDefault$/, 'Python/ceval.c', 1, 10_000],
    [/^bytearray___init___impl$/, 'Objects/bytearrayobject.c', 1, 3_000],
    [/^_int_malloc$/, 'malloc/malloc.c', 3_000, 6_000],
    [/^_int_free$/, 'malloc/malloc.c', 3_000, 6_000],
  ] as const) {
    const frames = framesOf(samples, name);
    assert.ok(frames.length > 0, `${name} is in no stack`);
    for (const frame of frames) {
      const told = `${frame.name} in ${frame.file}; ${JSON.stringify(recording.tally.problems)}`;
      assert.ok(frame.file.endsWith(file), told);
      assert.ok(frame.line >= first && frame.line <= last, `${frame.file}:${frame.line}`);
    }
  }
  const named = samples.flatMap(({ stack }) => stack.filter(({ type }) => type === 'native'));
  assert.ok(
    named.some(({ inlined }) => inlined),
    'no inlined call',
  );
  const withLine = named.filter(({ line }) => line > 0).length;
  assert.ok(withLine > 0.9 * named.length, `${withLine} of ${named.length} frames have a line`);
});
