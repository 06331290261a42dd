/** The short form: every trick at once, beside ordinary loads. The long one, with what each costs: npm run zoo. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GARBAGE_SEED } from './programs.ts';
import { showVerdict } from './table.ts';
import { TRICKS } from './tricks.ts';
import { judgeRun, SINGLE, TOGETHER } from './verdict.ts';
import { Zoo } from './zoo.ts';

/** Between one crowded machine and another CPU time says nothing; memory does. */
const anyCpu = <Limits extends object>(limits: Limits) => ({
  ...limits,
  cpuRatio: Number.POSITIVE_INFINITY,
});

test('with all tricks at once the agent lives, names and ids are right, and the sums are', async (t) => {
  const zoo = new Zoo(
    {
      tricks: TRICKS,
      intervalSeconds: 2,
      warmUpSeconds: 8,
      windowSeconds: 6,
      settleSeconds: 1,
      togetherSeconds: 25,
      isAlone: false,
      isOneByOne: false,
    },
    (line) => t.diagnostic(line),
  );
  try {
    const verdict = judgeRun(await zoo.run(), anyCpu(SINGLE), anyCpu(TOGETHER));
    const shown = `seed of damaged files ${GARBAGE_SEED}\n${showVerdict(verdict)}`;
    for (const line of shown.split('\n')) t.diagnostic(line);
    assert.deepEqual(
      [verdict.faults, verdict.rows.flatMap(({ faults }) => faults)],
      [[], []],
      shown,
    );
    assert.ok(verdict.exported > 1000, shown);
  } finally {
    zoo.clean();
  }
});
