import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  countNamed,
  countShapes,
  countTolerance,
  hasShape,
  type JsonSample,
  LIBRARY_TAIL,
  MAIN_ROOT,
  type Shape,
  showStack,
} from './chains.ts';

/** A sample from `name@module` words, root first; `*name` is a marker, `+name` a kernel frame. */
function sample(text: string, count = 1): JsonSample {
  const stack = text
    .split(' ')
    .map((word) => {
      const [name, module] = word.replace(/^[*+]/, '').split('@');
      const type = word.startsWith('*') ? 'marker' : word.startsWith('+') ? 'kernel' : 'native';
      return { name: name!, file: '', line: 0, module: module ?? '/p/prog', type, inlined: false };
    })
    .reverse();
  return { process: 'prog', pid: 1, thread: 'prog', stack, count };
}

const shape: Shape = {
  steps: [...MAIN_ROOT, 'main', 'a1', 'a2', 'leaf'],
  least: MAIN_ROOT.length + 1,
  tail: LIBRARY_TAIL,
};
const ROOT = '_start @/lib/libc.so.6 __libc_start_main_impl@/lib/libc.so.6 main';

// Stacks may end at any frame of the chain, but may not miss or invent one.
test('exact chains', () => {
  assert.ok(hasShape(sample(`${ROOT} a1 a2 leaf`), shape));
  assert.ok(hasShape(sample(`${ROOT} a1 a2 leaf +irq@[kernel] +tick@[kernel]`), shape));
  assert.ok(hasShape(sample(ROOT), shape));
  assert.ok(hasShape(sample(`${ROOT} a1 a2 leaf clock_gettime@/lib/libc.so.6 @[vdso]`), shape));
  assert.ok(!hasShape(sample(`${ROOT} a2 leaf`), shape), 'a lost caller');
  assert.ok(!hasShape(sample(`${ROOT} a1 a1 a2 leaf`), shape), 'a frame twice');
  assert.ok(!hasShape(sample(`main a1 a2 leaf`), shape), 'root missing');
  assert.ok(!hasShape(sample(`*truncated ${ROOT} a1 a2 leaf`), shape), 'a marker');
  assert.ok(!hasShape(sample(`${ROOT} a1 a2 leaf other`), shape), 'a frame too many');
});

// Samples are sorted by what they are; wrong ones are shown.
test('counting shapes', () => {
  const counts = countShapes(
    [
      sample(`${ROOT} a1 a2 leaf`, 90),
      sample(`${ROOT} a1`, 5),
      sample('_start@/lib/ld-linux-x86-64.so.2 _dl_start@/lib/ld-linux-x86-64.so.2', 2),
      sample('+do_exit@[kernel]', 1),
      sample('*no_table main a1', 2),
    ],
    [shape],
  );
  assert.deepEqual(
    { ...counts, examples: counts.examples.length },
    { total: 100, exact: 95, outside: 3, wrong: 2, complete: [90], examples: 1 },
  );
  assert.match(counts.examples[0]!, /^2 x no_table > main > a1$/);
});

// A frame without a name counts as one; a marker does not count at all.
test('counting names', () => {
  assert.deepEqual(countNamed([sample('*cut @/lib/x.so 0x1234@/lib/x.so x.so+0x12@x main', 3)]), {
    named: 3,
    total: 12,
  });
});

// 20 s of one quiet thread at 99 Hz: 1 % is nearly all of the allowance.
test('tolerance of counts', () => {
  assert.ok(countTolerance(1980, 4) < 27);
  assert.ok(countTolerance(1980, 1e6) < 90, 'bounded however often it is interrupted');
});

// Long stacks stay readable.
test('long stacks are shortened', () => {
  assert.match(showStack(sample(Array(100).fill('f').join(' '))), /78 more/);
});
