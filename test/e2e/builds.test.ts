/** One known chain, built in every way that changes how it must be unwound. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type JsonFrame,
  type JsonSample,
  LIBRARY_TAIL,
  MAIN_ROOT,
  type Shape,
  type Step,
  THREAD_ROOT,
} from '../harness/chains.ts';
import {
  expectCount,
  expectNames,
  expectShapes,
  expectTally,
  reportOf,
} from '../harness/expect.ts';
import { buildProgram, type Variant } from '../harness/programs.ts';
import { countOf, ofPid, record } from '../harness/record.ts';

const HZ = 499;
const SECONDS = '2';

const VARIANTS: Readonly<Record<string, Variant>> = {
  '-O0': { optimize: 0 },
  '-O1': { optimize: 1 },
  '-O2': { optimize: 2 },
  '-O3': { optimize: 3 },
  'frame pointers': { framePointers: true },
  'fixed address': { pie: false },
  'static glibc': { libc: 'static' },
  'static-pie glibc': { libc: 'static', pie: true },
  'only .debug_frame': { rules: 'debug_frame' },
};

const shapeOf = (root: readonly Step[], chain: readonly Step[]): Shape => ({
  steps: [...root, ...chain],
  least: root.length + 1,
  tail: LIBRARY_TAIL,
});

for (const [name, variant] of Object.entries(VARIANTS)) {
  // 30 frames of 24 to 500 bytes: every one of them, in order, down to _start.
  test(`30 frames, ${name}`, async () => {
    const program = buildProgram('chain', variant);
    const recording = await record({ hz: HZ, command: [program, SECONDS] });
    const report = reportOf(recording, 'chain');
    const samples = ofPid(recording, report.pid);
    // a static program's libc frames carry the program's own module
    const root: readonly Step[] =
      variant.libc === 'static' ? ['_start', { any: /libc_start/, min: 1, max: 2 }] : MAIN_ROOT;
    const shapes = [shapeOf(root, report.chains[0]!)];
    if (variant.libc === 'static') {
      // What is libc's own elsewhere: main asks for its CPU time between rounds and opens
      // its report, and before it the program makes itself ready.
      const library: Step = { any: /clock_gettime|open|_IO_/, min: 1, max: 6 };
      shapes.push(shapeOf(root, ['main', library]));
      shapes.push(shapeOf(root, [{ any: /^(?!main )/, min: 1, max: 6 }]));
    }
    const counts = expectShapes(samples, shapes);
    assert.ok(
      counts.complete[0]! > 0.5 * counts.total,
      `${counts.complete[0]!} of ${counts.total}: the leaf is hardly ever seen`,
    );
    expectNames(samples);
    expectCount(recording, report);
    expectTally(recording);
  });
}

// musl's own code has no unwind rules at all (Debian builds it without), so main's
// caller is the last frame that can be known: the stack is exact up to there and
// says that rules are missing. A profiler that goes on by guessing fails here
// only if it guesses wrong.
test('30 frames, static musl', async () => {
  const program = buildProgram('chain', { libc: 'static-musl' });
  const recording = await record({ hz: HZ, command: [program, SECONDS] });
  const report = reportOf(recording, 'chain');
  const isReason = (frame: JsonFrame): boolean =>
    frame.type === 'marker' && /no unwind information|frame pointers ended/.test(frame.name);
  const samples = ofPid(recording, report.pid);
  // its clock_gettime has none either: callers are lost below it, with the reason
  const isInClock = ({ stack }: JsonSample): boolean =>
    stack.some(isReason) && stack.at(-2)?.name === '__clock_gettime';
  const inClock = countOf(samples.filter(isInClock));
  assert.ok(inClock <= 0.02 * countOf(samples), `${inClock} in clock_gettime`);
  const judged = samples
    .filter((sample) => !isInClock(sample))
    .map((sample) => ({
      ...sample,
      stack: sample.stack.filter((frame) => !isReason(frame)),
    }));
  const root: readonly Step[] = [{ any: /^(_start|_start_c|_*libc_start\w*) /, min: 1, max: 4 }];
  expectShapes(judged, [shapeOf(root, report.chains[0]!)]);
  expectCount(recording, report);
});

// Threads end in clone3 and start_thread instead of main.
test('30 frames in each of two threads', async () => {
  const recording = await record({ hz: HZ, command: [buildProgram('chain'), SECONDS, '2'] });
  const report = reportOf(recording, 'chain');
  const samples = ofPid(recording, report.pid);
  expectShapes(samples, [shapeOf(THREAD_ROOT, report.chains[0]!)]);
  expectNames(samples);
  expectTally(recording);
});
