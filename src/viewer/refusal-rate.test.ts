import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RefusalRate } from './refusal-rate.ts';

test('a few refusals are told at once, a flood of them a second later, until it ebbs', () => {
  let now = 0;
  const rate = new RefusalRate(() => now);
  const waits = () => Array.from({ length: 100 }, () => rate.waitMs());
  assert.deepEqual(waits(), [...Array(20).fill(0), ...Array(80).fill(1_000)]);
  now += 999;
  assert.equal(rate.waitMs(), 1_000);
  now += 1;
  assert.equal(rate.waitMs(), 0);
});

test('so many wait, not more, however large the flood', () => {
  let now = 0;
  const rate = new RefusalRate(() => now);
  const waiting = () =>
    Array.from({ length: 100_000 }, () => rate.waitMs()).filter((ms) => ms !== undefined).length;
  assert.equal(waiting(), 220);
  now += 1_000;
  assert.equal(waiting(), 220);
});
