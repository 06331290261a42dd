import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzz, hostileText, rawSamples } from './arbitrary-samples.test-support.ts';
import { buildProfile, plainSample, sourceLine } from './fixture.test-support.ts';
import { buildFlameTree, type FlameTree, flameTreeJson } from './flame-tree.ts';

const samples = [
  { ...plainSample, kernel: [7], user: [3, 8], end: 5, weight: 2 },
  { ...plainSample, user: [8] },
  { ...plainSample, user: [1, 8], pid: 43, comm: 'other', thread: 'main', weight: 3 },
];

test('small golden', () => {
  const tree = buildFlameTree(buildProfile(samples), { title: 'golden' });
  assert.deepEqual(outline(tree), [
    'all 6/0',
    ' app 3/0',
    '  [stack cut: no unwind information] 2/0',
    '   f8 2/0',
    '    f3 2/0',
    '     inlined3 2/0',
    '      f7 2/2',
    '  f8 1/1',
    ' other 3/0',
    '  f8 3/0',
    '   f1 3/3',
  ]);
  assert.deepEqual(tree.frames[0], { name: 'all', type: 'root', module: '', file: '', line: 0 });
  assert.deepEqual(
    tree.frames.find((frame) => frame.name === 'inlined3'),
    {
      name: 'inlined3',
      type: 'native',
      module: '/usr/bin/app-42',
      file: 'app.h',
      line: 1,
      inlined: true,
    },
  );
  assert.equal(tree.title, 'golden');
  assert.equal(tree.startTimeMs, 1_790_000_000_000);
  assert.equal(tree.total, 6);
});

test('one process only', () => {
  const tree = buildFlameTree(buildProfile(samples), { process: ({ pid }) => pid === 43 });
  assert.deepEqual(outline(tree), ['all 3/0', ' other 3/0', '  f8 3/0', '   f1 3/3']);
  assert.equal(tree.frames.length, 4, 'no frames of others');
});

test('hidden kernel time is its caller’s', () => {
  const tree = buildFlameTree(buildProfile(samples), { hideKernel: true });
  assert.ok(outline(tree).includes('     inlined3 2/2'));
  assert.ok(tree.frames.every((frame) => frame.type !== 'kernel'));
  assert.equal(tree.total, 6);
});

test('threads are a level below the process', () => {
  const tree = buildFlameTree(buildProfile(samples, { threads: true }), { threads: true });
  assert.ok(outline(tree).includes('  worker 3/0') && outline(tree).includes('  main 3/0'));
});

test('lines of a function are one frame, or told apart on request', () => {
  const profile = buildProfile(
    [
      { ...plainSample, user: [1] },
      { ...plainSample, user: [2] },
    ],
    undefined,
    (low) => [sourceLine('f', 10 + low, 'f.c')],
  );
  assert.deepEqual(outline(buildFlameTree(profile)), ['all 2/0', ' app 2/0', '  f 2/2']);
  const apart = buildFlameTree(profile, { lines: true });
  assert.deepEqual(
    apart.frames.slice(2).map((frame) => frame.line),
    [11, 12],
  );
});

test('an empty profile is a root alone', () => {
  assert.deepEqual(outline(buildFlameTree(buildProfile([]))), ['all 0/0']);
});

test('the promises of the format hold for any samples', () => {
  fc.assert(
    fc.property(rawSamples, fc.boolean(), fc.boolean(), (raw, threads, hideKernel) => {
      const tree = buildFlameTree(buildProfile(raw, { threads }), { threads, hideKernel });
      const { frame, parent, self, total } = tree.nodes;
      const sums = Array.from(self);
      for (let node = frame.length - 1; node > 0; node--) {
        assert.ok(parent[node]! < node, 'parents first');
        assert.ok(parent[node]! >= parent[node - 1]!, 'siblings adjacent, level by level');
        if (parent[node] === parent[node - 1]) {
          assert.ok(
            tree.frames[frame[node - 1]!]!.name <= tree.frames[frame[node]!]!.name,
            'siblings sorted',
          );
          assert.notEqual(frame[node], frame[node - 1]);
        }
        assert.ok(total[node]! > 0);
        sums[parent[node]!]! += sums[node]!;
      }
      assert.deepEqual(sums, total);
      assert.equal(total[0], tree.total);
      assert.equal(
        tree.total,
        raw.reduce((sum, sample) => sum + sample.weight, 0),
      );
      const texts = tree.frames.map((value) => JSON.stringify(value));
      assert.equal(new Set(texts).size, texts.length, 'frames are unique');
    }),
    fuzz,
  );
});

test('the text cannot end a script element and reads back the same', () => {
  fc.assert(
    fc.property(hostileText, (name) => {
      const profile = buildProfile([{ ...plainSample, comm: '</script>' }], undefined, () => [
        sourceLine(`${name}x`, 1, name),
      ]);
      const tree = buildFlameTree(profile, { title: name });
      const text = flameTreeJson(tree);
      assert.ok(text.isWellFormed() && !/[<\u2028\u2029\n]/.test(text));
      assert.deepEqual(JSON.parse(text), tree);
    }),
    fuzz,
  );
});

test('a stack of 1,000 frames and a name of a megabyte', () => {
  const user = Array.from({ length: 1000 }, (_, i) => i);
  const built = buildProfile([{ ...plainSample, user }]);
  const functions = built.functions.map((called) => ({
    ...called,
    name: called.name === 'f1' ? 'f'.repeat(2 ** 20) : called.name,
  }));
  const tree = buildFlameTree({ ...built, functions });
  assert.ok(tree.nodes.frame.length > 1000);
  assert.ok(flameTreeJson(tree).length > 2 ** 20);
});

/** Depth as blanks, name, total/self; depth first. */
function outline({ frames, nodes }: FlameTree): string[] {
  const lines: string[] = [];
  const visit = (node: number, depth: number): void => {
    const name = frames[nodes.frame[node]!]!.name;
    lines.push(`${' '.repeat(depth)}${name} ${nodes.total[node]}/${nodes.self[node]}`);
    nodes.parent.forEach((parent, child) => {
      if (parent === node) visit(child, depth + 1);
    });
  };
  visit(0, 0);
  return lines;
}
