/**
 * `npm run soak -- [--minutes 60] [--hotplug]`: prints a line for each reading and a table; ends
 * with 1 when something grew or is missing. `--hotplug` takes a CPU offline and back all the time.
 */
import { parseArgs } from 'node:util';
import { soak } from './soak.ts';
import { faultsOf, showSoak } from './verdict.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    hotplug: { type: 'boolean', default: false },
  },
});

const seconds = Number(values.minutes) * 60;
if (!(seconds >= 60)) throw new Error('--minutes: at least 1');
const soaked = await soak(
  {
    seconds,
    readingSeconds: 10,
    moodSeconds: Math.min(30, seconds / 16),
    renewSeconds: Math.min(60, seconds / 8),
    intervalSeconds: 10,
    hotplug: values.hotplug,
  },
  (line) => console.log(line),
);
console.log(`\n${showSoak(soaked)}`);
process.exitCode = faultsOf(soaked).length === 0 ? 0 : 1;
