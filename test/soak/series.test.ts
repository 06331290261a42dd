import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flatness, median } from './series.ts';

test('a median is in the middle', () => {
  assert.deepEqual(
    [median([]), median([3]), median([4, 1, 9]), median([1, 2, 3, 10])],
    [0, 3, 4, 2.5],
  );
});

test('what grows is told from what is noisy, has peaks, or grew at the beginning only', () => {
  const grows = Array.from({ length: 100 }, (_, at) => 100 + at * 0.2);
  const { change, perHour } = flatness(grows, 10);
  assert.ok(change > 0.08 && change < 0.12, `${change}`);
  assert.ok(Math.abs(perHour - 72) < 0.01, `${perHour}`);
  const flat = Array.from({ length: 100 }, (_, at) =>
    at < 20 ? at * 5 : at % 10 === 0 ? 180 : 100 + (at % 3),
  );
  assert.ok(Math.abs(flatness(flat, 10).change) < 0.02);
  assert.ok(Math.abs(flatness(flat, 10).perHour) < 10);
});
