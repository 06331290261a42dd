import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OwnerBudget } from './owner-budget.ts';

const LIMITS = { ownerMs: 100, allMs: 300, ownerShare: 0.01, allShare: 0.02 };

test('one owner in debt waits, others do not; what is owed is paid back with the share', () => {
  let now = 0;
  const budget = new OwnerBudget(LIMITS, () => now);
  budget.owe('a', 150);
  assert.deepEqual([budget.left('a'), budget.left('b'), budget.debt], [-50, 100, 150]);
  now = 5_000;
  assert.deepEqual([budget.debtOf('a'), budget.left('a'), budget.debt], [100, 0, 50]);
  budget.owe('a', 1_000);
  assert.equal(budget.debtOf('a'), 200, 'more is forgiven');
});

test('all together stop at the common limit, of which a charge may be a part', () => {
  const budget = new OwnerBudget(LIMITS, () => 0);
  budget.owe('a', 200, 100);
  budget.owe('b', 90);
  budget.owe('c', 90);
  assert.deepEqual([budget.debt, budget.left('d')], [280, 20]);
  budget.owe('d', 20);
  assert.equal(budget.left('e'), 0);
});

test('of many owners the least recently charged is forgotten', () => {
  const budget = new OwnerBudget(LIMITS, () => 0);
  budget.owe('first', 5);
  budget.owe('second', 5);
  for (let i = 0; i < 254; i++) budget.owe(`${i}`, 1);
  budget.owe('first', 1);
  budget.owe('another', 1);
  assert.deepEqual([budget.debtOf('first'), budget.debtOf('second')], [6, 0]);
});
