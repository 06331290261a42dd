/** Shapes of stack that unwinders get wrong, one program each. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  hasShape,
  type JsonSample,
  LIBRARY_TAIL,
  MAIN_ROOT,
  markerOf,
  type Shape,
  type Step,
  userFrames,
} from '../harness/chains.ts';
import {
  expectCount,
  expectNames,
  expectShapes,
  expectTally,
  reportOf,
  withoutRefusedCopies,
  withoutShortCopies,
} from '../harness/expect.ts';
import { buildProgram, type ProgramName, type Variant } from '../harness/programs.ts';
import { countOf, ofPid, type Recording, record } from '../harness/record.ts';

const HZ = 499;
const SECONDS = '2';

const fromMain = (chain: readonly Step[], tail: RegExp = LIBRARY_TAIL): Shape => ({
  steps: [...MAIN_ROOT, ...chain],
  least: MAIN_ROOT.length + 1,
  tail,
});

interface Taken {
  readonly recording: Recording;
  readonly samples: readonly JsonSample[];
  readonly chains: readonly (readonly string[])[];
}

/** Records one program until it ends. */
async function take(
  name: ProgramName,
  args: readonly string[] = [],
  variant: Variant = {},
  environment: Record<string, string> = {},
): Promise<Taken> {
  const command = [buildProgram(name, variant), SECONDS, ...args];
  const recording = await record({ hz: HZ, command, environment });
  const report = reportOf(recording, name.replace('-avx', ''));
  expectTally(recording);
  const samples = withoutRefusedCopies(ofPid(recording, report.pid));
  return { recording, samples, chains: report.chains };
}

for (const alternate of ['0', '1']) {
  // A handler's callers are the interrupted function and its callers, through the
  // signal frame, which is libc's __restore_rt (unnamed without its debug file).
  test(`signal handler, ${alternate === '1' ? 'own stack' : 'same stack'}`, async () => {
    const { samples, recording } = await take('signals', [alternate]);
    // a copy holds one stack: the handler's own
    const judged = alternate === '1' ? withoutShortCopies(recording, samples) : samples;
    const restore: Step = { any: /^__restore_rt|@.*\blibc[.-]/, min: 1, max: 1 };
    const handler = fromMain(['main', 'interrupted', restore, 'on_alarm', 'handle']);
    // the timer also hits the vDSO or libc below `interrupted`, rarely
    const elsewhere: Step = { any: LIBRARY_TAIL, min: 0, max: 3 };
    const nested = fromMain(['main', 'interrupted', elsewhere, restore, 'on_alarm', 'handle']);
    const counts = expectShapes(judged, [handler, nested, fromMain(['main', 'interrupted'])]);
    assert.ok(
      counts.complete[0]! > 0.1 * counts.total,
      `${counts.complete[0]!} of ${counts.total}: the handler is hardly ever seen`,
    );
    expectNames(samples);
  });
}

// The library is mapped in mid-run: its frames are whole from its first sample on.
test('library loaded late', async () => {
  const { samples, chains } = await take('latelib');
  const shapes = chains.map((chain) => fromMain(chain));
  const counts = expectShapes(samples, shapes);
  assert.ok(
    counts.complete[1]! > 0.3 * counts.total,
    `${counts.complete[1]!} of ${counts.total}: the library is hardly ever seen`,
  );
  expectNames(samples);
});

// A stub has no frame of its own: its caller is `calls`, whether it pushed yet or not.
test('PLT stubs, lazily bound', async () => {
  const { samples } = await take('stubs');
  const tiny: Step = { any: /^(tiny\d\d(@plt)?|\.?plt\S*|stubs\+0x[0-9a-f]+) @/, min: 0, max: 1 };
  expectShapes(samples, [fromMain(['main', 'calls', tiny])]);
});

// The vDSO is no file: its rules come from process memory.
test('vDSO', async () => {
  const { samples } = await take('vdso');
  const shape: Shape = fromMain(['main', 'ask']);
  const counts = expectShapes(samples, [shape]);
  const inside = samples.filter((sample) => /vdso/.test(userFrames(sample).at(-1)?.module ?? ''));
  assert.ok(
    countOf(inside) > 0.3 * counts.total,
    `${countOf(inside)} of ${counts.total}: the vDSO is hardly ever seen`,
  );
  expectNames(samples);
});

for (const shape of ['alloca', 'vla', 'realigned', 'vector']) {
  // Sizes known at run time only, and frames realigned through a saved r10.
  test(`frame with ${shape}`, async () => {
    const program = shape === 'vector' ? 'frames-avx' : 'frames';
    const { samples, chains } = await take(program, [shape]);
    expectShapes(samples, [fromMain(chains[0]!)]);
  });
}

for (const depth of [50, 150, 500, 1000]) {
  // Every frame down to the root: peers stop at 145 or 200.
  test(`recursion of ${depth}`, async () => {
    const { samples, chains } = await take('recurse', [String(depth)]);
    const whole = fromMain(chains[0]!);
    expectShapes(samples, [{ ...whole, least: MAIN_ROOT.length + 1 }]);
    const complete = samples.filter((sample) => userFrames(sample).length >= depth + 4);
    const [reached, all] = [countOf(complete), countOf(samples)];
    assert.ok(reached > 0.9 * all, `${reached} of ${all} stacks are whole`);
  });
}

// Deeper than the limit of 1,024: the leaf side is kept, the cut is marked and counted.
test('recursion of 2000 is cut honestly', async () => {
  const { samples: taken, recording } = await take('recurse', ['2000']);
  const samples = withoutShortCopies(recording, taken);
  const cut = samples.filter((sample) => markerOf(sample) !== undefined);
  assert.ok(
    countOf(cut) > 0.98 * countOf(samples),
    `${countOf(cut)} of ${countOf(samples)}: stacks of 2000 frames claim to be whole`,
  );
  for (const sample of cut) {
    assert.match(markerOf(sample)!, /depth/);
    assert.equal(sample.stack.at(-1)!.type, 'marker', 'the marker is at the root');
    const frames = userFrames(sample).filter((frame) => frame.type !== 'marker');
    assert.ok(frames.length >= 1000, `${frames.length} frames`);
    assert.ok(frames.slice(0, 900).every((frame) => frame.name === 'descend'));
  }
  const counted = Object.entries(recording.tally.truncated).find(([reason]) =>
    /depth/.test(reason),
  );
  assert.ok((counted?.[1] ?? 0) >= countOf(cut), 'the tally names the cut');
});

// clone() without the thread library: the root is clone itself, then the thread's function.
test('threads made with clone', async () => {
  const { samples } = await take('clones');
  const clone: Step = { any: /^_*clone3? |@.*\blibc[.-]/, min: 1, max: 1 };
  const thread: Shape = { steps: [clone, 'body', 'work'], least: 2 };
  expectShapes(samples, [thread, fromMain(['main'])]);
});

// JIT code has no rules: frame pointers lead through it, and the perf map names it.
test('JIT code with frame pointers', async () => {
  const { samples, chains } = await take('jit', ['framed'], {}, { TEST_KEEP_MAP: '1' });
  const counts = expectShapes(samples, [fromMain(chains[0]!)], 0.01);
  assert.ok(
    counts.complete[0]! > 0.9 * counts.total,
    `${counts.complete[0]!} of ${counts.total}: jit_inner is hardly ever seen`,
  );
  const jit = samples.find((sample) => sample.stack.some((frame) => frame.name === 'jit_inner'))!;
  assert.equal(jit.stack.find((frame) => frame.name === 'jit_inner')!.type, 'jit');
});

// No rule and no frame pointer: nobody can know the caller, so the stack says why it
// ends. The leaf is right, and nothing is invented below it.
test('JIT code without frame pointers ends with a reason', async () => {
  const { samples } = await take('jit', ['frameless'], {}, { TEST_KEEP_MAP: '1' });
  const inside = samples.filter((sample) => userFrames(sample).at(-1)?.name === 'jit_inner');
  assert.ok(
    countOf(inside) > 0.9 * countOf(samples),
    `${countOf(inside)} of ${countOf(samples)}: jit_inner is hardly ever seen`,
  );
  for (const sample of inside) {
    assert.ok(markerOf(sample) !== undefined, 'a stack without a root claims to be whole');
    assert.ok(userFrames(sample).filter((frame) => frame.type !== 'marker').length === 1);
  }
});

// The same page of the program mapped 10,000 times: each is found, by its file offset.
test('10,000 executable mappings', async () => {
  const { samples, chains } = await take('pieces', ['10000']);
  const counts = expectShapes(samples, [fromMain(chains[0]!)]);
  assert.ok(
    counts.complete[0]! > 0.9 * counts.total,
    `${counts.complete[0]!} of ${counts.total}: the pieces are hardly ever seen`,
  );
  expectNames(samples);
});

// Two text segments 2.5 GiB apart in one file: offsets beyond 2^31.
test('text that spans more than 2 GiB', async () => {
  const { samples, chains, recording } = await take('far-text');
  expectShapes(samples, [fromMain(chains[0]!)]);
  expectNames(samples);
  expectCount(recording, reportOf(recording, 'far-text'));
});

// A stripped program: no names of its own, yet every stack whole.
test('stripped program', async () => {
  const { samples } = await take('chain', [], { stripped: true });
  const own: Step = { any: /\/chain$/, min: 1, max: 33 };
  const shape: Shape = {
    steps: [{ any: /\/chain$/, min: 1, max: 1 }, MAIN_ROOT[2]!, own],
    least: 3,
    tail: LIBRARY_TAIL,
  };
  expectShapes(samples, [shape]);
  const deep = samples.filter(
    (sample) => hasShape(sample, shape) && userFrames(sample).length === 35,
  );
  assert.ok(
    countOf(deep) > 0.5 * countOf(samples),
    `${countOf(deep)} of ${countOf(samples)}: the leaf is hardly ever seen`,
  );
});
