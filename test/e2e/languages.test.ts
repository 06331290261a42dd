/** C++, Rust and Go: names as their authors know them, stacks down to the root. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  isNamed,
  type JsonSample,
  MAIN_ROOT,
  markerOf,
  type Shape,
  showStack,
  userFrames,
} from '../harness/chains.ts';
import {
  expectNames,
  expectShapes,
  expectTally,
  reportOf,
  withoutShortCopies,
} from '../harness/expect.ts';
import { buildProgram } from '../harness/programs.ts';
import { countOf, ofPid, record } from '../harness/record.ts';

const HZ = 499;

/** Samples in which these names appear in this order, root first, perhaps with others between. */
function withSequence(samples: readonly JsonSample[], names: readonly RegExp[]): number {
  return countOf(
    samples.filter((sample) => {
      let next = 0;
      for (const frame of userFrames(sample)) if (names[next]?.test(frame.name)) next++;
      return next === names.length;
    }),
  );
}

// Templates, lambdas, virtual calls and a deep throw; anything may lie below main's callees.
test('C++', async () => {
  const recording = await record({ hz: HZ, command: [buildProgram('shapes'), '3'] });
  const samples = ofPid(recording, reportOf(recording, 'shapes').pid);
  const shape: Shape = { steps: [...MAIN_ROOT, 'main'], least: MAIN_ROOT.length + 1, tail: /./ };
  expectShapes(samples, [shape]);
  const total = countOf(samples);
  const levels = [6, 5, 4, 3, 2, 1, 0].map(
    (n) => new RegExp(`^(unsigned long )?shapes::Level<${n}>::down\\b`),
  );
  const chain = [/^main$/, /^shapes::apply\b/, /lambda|_M_invoke/, ...levels];
  assert.ok(
    withSequence(samples, chain) > 0.05 * total,
    `${withSequence(samples, chain)} of ${total}: templates through a lambda`,
  );
  assert.ok(
    withSequence(samples, [/^main$/, /^shapes::sorted\b/]) > 0.1 * total,
    `${withSequence(samples, [/^main$/, /^shapes::sorted\b/])} of ${total}: std::sort`,
  );
  const thrown = [/^main$/, /^shapes::Thrower::work\b/, /throw_deep/, /__cxa_throw|_Unwind_/];
  assert.ok(withSequence(samples, thrown) > 0, 'inside a throw');
  expectNames(samples);
  expectTally(recording);
});

// A thread with closures and generics. Rust's own frames between clone3 and ours are many, all named.
test('Rust', async () => {
  const recording = await record({ hz: HZ, command: [buildProgram('crab'), '3'] });
  const { samples } = recording;
  const spending = withSequence(samples, [/^crab::spend$/]);
  assert.ok(spending > 0.95 * countOf(samples), `${spending} of ${countOf(samples)} in spend`);
  const whole = [
    /^_*clone3?$/,
    /^start_thread$/,
    /std::sys|std::thread|thread_start/,
    /^crab::spend$/,
  ];
  assert.ok(
    withSequence(samples, whole) >= 0.995 * spending,
    `${withSequence(samples, whole)} of ${spending}: down to the root of the thread`,
  );
  const step = [/^crab::spend$/, /^crab::generic/, /crab::Mixer<.*>.*::step$/, /^crab::grind$/];
  assert.ok(
    withSequence(samples, step) > 0.2 * spending,
    `${withSequence(samples, step)} of ${spending}: generics`,
  );
  const closure = [/^crab::through_closure$/, /closure/, /^crab::generic/];
  assert.ok(
    withSequence(samples, closure) > 0.2 * spending,
    `${withSequence(samples, closure)} of ${spending}: closures`,
  );
  for (const { stack } of samples) {
    for (const { name } of stack) assert.doesNotMatch(name, /17h[0-9a-f]{16}E?$|^_R/);
  }
  expectNames(samples);
});

// Goroutines end in runtime.goexit, threads in mstart or clone. The scheduler runs for
// nobody below mcall and below a morestack that gave its goroutine back: the runtime's
// own traceback (topofstack) ends there too. 40 frames of recursion.
test('Go', async () => {
  const recording = await record({ hz: HZ, command: [buildProgram('deep-go'), '4', '40', '2'] });
  // of the first samples, copies of one stack, some are on a system stack
  const samples = withoutShortCopies(recording, recording.samples, 0.25);
  const total = countOf(samples);
  assert.ok(total > 300, `only ${total} samples`);
  const isRoot =
    /^(runtime\.(goexit|mstart|rt0_go|mcall|morestack|clone)|gogo|_rt0_amd64_linux|_*clone3?)(\.abi0)?$/;
  const rooted = samples.filter(
    (sample) => markerOf(sample) === undefined && isRoot.test(userFrames(sample)[0]?.name ?? ''),
  );
  const userMode = samples.filter((sample) => userFrames(sample).length > 0);
  const lost = userMode.filter((sample) => !rooted.includes(sample)).map(showStack);
  assert.ok(
    countOf(rooted) >= 0.995 * countOf(userMode),
    `${countOf(rooted)} of ${countOf(userMode)} reach a root, not:\n${lost.slice(0, 9).join('\n')}`,
  );
  const recursing = samples.filter((sample) =>
    sample.stack.some((frame) => frame.name === 'main.leaf'),
  );
  assert.ok(
    countOf(recursing) > 0.2 * total,
    `${countOf(recursing)} of ${total}: main.leaf is hardly ever seen`,
  );
  const expected = [
    'runtime.goexit',
    'main.worker',
    ...Array(40).fill('main.recurse'),
    'main.leaf',
  ];
  const exact = recursing.filter((sample) => {
    const names = userFrames(sample).map((frame) => frame.name.replace(/\.(abi0|gowrap1)$/, ''));
    const kept = names.filter((name) => !/^main\.main/.test(name)).slice(0, expected.length);
    return kept.join() === expected.join();
  });
  assert.ok(
    countOf(exact) >= 0.995 * countOf(recursing),
    `${countOf(exact)} of ${countOf(recursing)} have every frame of the recursion`,
  );
  const goFrames = samples.flatMap((sample) => sample.stack.filter((frame) => frame.type === 'go'));
  assert.ok(goFrames.length > 0 && goFrames.every(isNamed), 'all named');
  assert.ok(
    goFrames.every((frame) => frame.line > 0 && frame.file !== ''),
    'with file and line',
  );
  expectNames(samples);
  expectTally(recording);
});
