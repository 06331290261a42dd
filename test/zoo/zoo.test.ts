/**
 * The short form: a trick of each kind, all at once, beside ordinary loads, and what must hold at any
 * load of the machine. All tricks, what they cost, and what needs a quiet machine to be seen: npm run zoo.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GARBAGE_SEED } from './programs.ts';
import { showVerdict } from './table.ts';
import { TRICKS } from './tricks.ts';
import { judgeRun } from './verdict.ts';
import { Zoo } from './zoo.ts';

/** Twice of what the agent has on a large machine: growth without end is beyond it within seconds. */
const MOST_MEMORY = 1 << 30;

/** More at once leave two CPUs, on which other tests may be at work too, no time for the loads. */
const OF_EACH_KIND: ReadonlySet<string> = new Set([
  'mappings',
  'rewritten-map',
  'secret-map',
  'fifo-map',
  'truncated',
  'in-place',
  'elf-damaged',
  'fork-storm',
  'names',
  'contexts',
  'wild-stack',
  'invented-callers',
]);

test('with tricks of each kind at once the agent lives, no name or id is wrong, and the sums are right', async (t) => {
  const zoo = new Zoo(
    {
      tricks: TRICKS.filter(({ name }) => OF_EACH_KIND.has(name)),
      intervalSeconds: 2,
      warmUpSeconds: 5,
      windowSeconds: 4,
      settleSeconds: 1,
      longestSettleSeconds: 1,
      togetherSeconds: 15,
      // Others may work on the machine: their samples say nothing here.
      isAlone: true,
      isOneByOne: false,
      awaitsProfiles: true,
    },
    (line) => t.diagnostic(line),
  );
  try {
    const verdict = judgeRun(await zoo.run());
    const shown = `seed of damaged files ${GARBAGE_SEED}\n${showVerdict(verdict)}`;
    for (const line of shown.split('\n')) t.diagnostic(line);
    const wrong = verdict.rows.flatMap((row) => row.wrong);
    assert.deepEqual([verdict.faults, wrong], [[], []], shown);
    const names = verdict.rows.map(({ name }) => name);
    assert.deepEqual(names, ['calm', 'all', 'calm'], shown);
    for (const { memory } of verdict.rows) assert.ok(memory < MOST_MEMORY, `${memory}\n${shown}`);
    const crowd = verdict.rows[1]!;
    assert.ok(crowd.samples > 0, shown);
    assert.ok(Object.keys(crowd.problems).length > 0, `nothing was refused\n${shown}`);
    assert.ok(verdict.exported > 0, shown);
  } finally {
    zoo.clean();
  }
});
