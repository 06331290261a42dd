import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CpuDebt } from './cpu-debt.ts';

test('What was taken is paid back with a share of the time that passes, and never saved up', () => {
  let now = 1_000;
  const debt = new CpuDebt(0.01, 100, () => now);
  now += 1_000_000;
  assert.equal(debt.ms, 0);
  debt.owe(30);
  debt.owe(20);
  assert.equal(debt.ms, 50);
  now += 3_000;
  assert.equal(Math.round(debt.ms), 20);
  debt.owe(10);
  now += 2_999;
  assert.ok(debt.ms > 0);
  now += 2;
  assert.equal(debt.ms, 0);
});

test('More than the most is forgiven', () => {
  let now = 0;
  const debt = new CpuDebt(0.01, 100, () => now);
  debt.owe(5_000);
  assert.equal(debt.ms, 100);
  now += 10_000;
  assert.equal(debt.ms, 0);
});
