import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RepairPauses } from './repair-pauses.ts';

test('at once when something is wrong, then less and less often while it goes on', () => {
  let now = 0;
  const repairs = new RepairPauses(1_000, 60_000, () => now);
  assert.equal(repairs.due, undefined);
  assert.equal(repairs.take(), false);
  repairs.ask();
  assert.equal(repairs.due, 0);
  assert.equal(repairs.take(), true);
  assert.equal(repairs.due, undefined);
  const taken: number[] = [];
  for (; now < 600_000; now += 200) {
    repairs.ask();
    if (repairs.take()) taken.push(now);
  }
  assert.ok(taken.length < 16, `${taken}`);
  assert.ok(taken[0]! <= 2_000, `${taken}`);
  // Calm for a while: prompt again.
  now += 600_000;
  repairs.ask();
  assert.equal(repairs.take(), true);
  now += 1_000;
  repairs.ask();
  assert.equal(repairs.take(), true);
});
