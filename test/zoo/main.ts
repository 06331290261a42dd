/**
 * `npm run zoo -- [--minutes 40] [--only a,b] [--together] [--alone]`: each trick by itself, then
 * all at once; prints a table, ends with 1 when something is not well. `--alone` samples only what
 * the zoo starts, where others work on the same machine.
 */
import { parseArgs } from 'node:util';
import { GARBAGE_SEED } from './programs.ts';
import { showVerdict } from './table.ts';
import { TRICKS } from './tricks.ts';
import { judgeRun } from './verdict.ts';
import { type Plan, Zoo } from './zoo.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '40' },
    only: { type: 'string' },
    alone: { type: 'boolean', default: false },
    together: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});

const only = values.only?.split(',');
const tricks = only ? TRICKS.filter(({ name }) => only.includes(name)) : TRICKS;
if (tricks.length === 0)
  throw new Error(`--only: the tricks are ${TRICKS.map(({ name }) => name)}`);

/** Seconds that a trick has to begin with, and most that it takes until its credit is used up. */
const BEGINNING = 20;
const LONGEST_BEGINNING = 90;

/** Each trick has its beginning and its window; five of them share a calm. */
function planFor(seconds: number): Plan {
  const warmUpSeconds = Math.min(30, seconds / 4);
  const togetherSeconds = tricks.length > 1 ? Math.max(15, seconds / 6) : 0;
  const left = seconds - warmUpSeconds - togetherSeconds;
  const calms = Math.ceil(tricks.length / 5) + 2;
  const each = left / (tricks.length + calms / 2);
  const settleSeconds = values.together ? 2 : Math.min(BEGINNING, each * 0.4);
  return {
    tricks,
    intervalSeconds: 3,
    warmUpSeconds,
    windowSeconds: Math.max(6, values.together ? left / 2 : each - settleSeconds),
    settleSeconds,
    longestSettleSeconds: Math.max(settleSeconds, Math.min(LONGEST_BEGINNING, each * 1.5)),
    togetherSeconds,
    isAlone: values.alone,
    isOneByOne: !values.together,
    awaitsProfiles: false,
  };
}

const plan = planFor(Number(values.minutes) * 60);
console.log(`seed of damaged files ${GARBAGE_SEED}; ${plan.windowSeconds.toFixed(0)} s for each`);
const zoo = new Zoo(plan, (line) => console.log(line));
// An interrupted run leaves nothing behind either.
process.once('exit', () => {
  if (values.keep) console.log(zoo.folder);
  else zoo.clean();
});
const verdict = judgeRun(await zoo.run());
console.log(`\n${showVerdict(verdict)}`);
const faults = verdict.rows.flatMap((row) => row.faults).length + verdict.faults.length;
process.exitCode = faults === 0 ? 0 : 1;
