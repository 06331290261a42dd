/**
 * `npm run zoo -- [--minutes 10] [--only a,b] [--together] [--alone]`: each trick by itself, then
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
    minutes: { type: 'string', default: '10' },
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

/** Each trick has its window and the time to begin and end; five of them share a calm. */
function planFor(seconds: number): Plan {
  const settleSeconds = 2;
  const warmUpSeconds = Math.min(30, seconds / 4);
  const togetherSeconds = tricks.length > 1 ? Math.max(15, seconds / 6) : 0;
  const left = seconds - warmUpSeconds - togetherSeconds;
  const windows = values.together ? 2 : tricks.length + Math.ceil(tricks.length / 5) + 2;
  const pauses = values.together ? 0 : tricks.length * 2 * settleSeconds;
  return {
    tricks,
    intervalSeconds: 3,
    warmUpSeconds,
    windowSeconds: Math.max(6, (left - pauses) / windows),
    settleSeconds,
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
