import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CopyBudget } from './copy-budget.ts';

const LIMITS = { share: 0.1, creditMs: 1000, ownShare: 0.01, ownCreditMs: 50 };

test('over budget those who have cost much wait, others do not; time pays back', () => {
  let now = 0;
  const budget = new CopyBudget(LIMITS, () => now);
  const [greedy, modest] = [7, 8];
  budget.spent(900, new Map([[greedy, 1]]));
  assert.ok(budget.allows(greedy), 'within the credit');
  budget.spent(
    110,
    new Map([
      [greedy, 9],
      [modest, 1],
    ]),
  );
  assert.ok(!budget.allows(greedy));
  assert.ok(budget.allows(modest) && budget.allows(9));
  now += 1_000;
  assert.ok(budget.allows(greedy), '100 ms are paid back');
});

test('in the long run a greedy process gets its share and no more', () => {
  let now = 0;
  let spent = 0;
  const budget = new CopyBudget(LIMITS, () => now);
  for (; now < 100_000; now += 10) {
    if (!budget.allows(7)) continue;
    spent += 5;
    budget.spent(5, new Map([[7, 1]]));
  }
  const most = LIMITS.creditMs + 100_000 * LIMITS.share;
  assert.ok(spent > most * 0.9 && spent < most * 1.1, `${spent} of ${most}`);
});

test('what cost nothing for copies is not counted', () => {
  const budget = new CopyBudget(LIMITS, () => 0);
  budget.spent(1e6, new Map());
  assert.ok(budget.allows(7));
});
