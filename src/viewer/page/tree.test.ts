import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTree, TreeError } from './tree.ts';

const frames = [
  { name: 'all', type: 'root' },
  { name: 'a', type: 'native' },
];
const tree = (frame: unknown, parent: unknown, self: unknown, more = {}) => ({
  frames,
  nodes: { frame, parent, self, total: [] },
  ...more,
});

test('totals come from self counts, whatever the file claims', () => {
  const read = readTree(tree([0, 1, 1], [-1, 0, 1], [0, 2, 3]));
  assert.deepEqual([...read.total], [5, 5, 3]);
});

test('trees that would loop, point outside or have no shape are refused', () => {
  const bad: unknown[] = [
    null,
    [],
    {},
    tree([], [], []),
    tree([0, 1], [-1, 1], [0, 1]),
    tree([0, 1], [-1, 7], [0, 1]),
    tree([0, 1], [-1, -1], [0, 1]),
    tree([0, 1], [-1, 'x'], [0, 1]),
    tree([0, 1], [-1, 0.5], [0, 1]),
    tree([0, 9], [-1, 0], [0, 1]),
    tree([0, '__proto__'], [-1, 0], [0, 1]),
    tree([0, 1], [-1], [0, 1]),
    tree('01', [-1, 0], [0, 1]),
  ];
  for (const value of bad) assert.throws(() => readTree(value), TreeError, JSON.stringify(value));
});

test('numbers that are none count nothing, and odd fields become empty text', () => {
  const read = readTree(
    tree([0, 1], [-1, 0], [Number.NaN, -4], {
      title: 7,
      tally: { lost: { __proto__: 1, x: 'y' } },
    }),
  );
  assert.deepEqual([...read.total], [0, 0]);
  assert.equal(read.title, '');
  assert.deepEqual({ ...read.tally.lost }, { x: 0 });
});
