/** Whether a soak went well, and a table that says so. */
import { flatness } from './series.ts';
import type { Soaked } from './soak.ts';

/** What may change between the second quarter and the last one. */
export const FLAT = 0.05;

/** Empty = well. */
export function faultsOf(soaked: Soaked): string[] {
  const {
    series,
    readingSeconds,
    taken,
    exported,
    arrived,
    lost,
    queued,
    exitCode,
    death,
    errors,
  } = soaked;
  const faults: string[] = [];
  if (death) faults.push(`the agent did not live through it: ${death}`);
  if (exitCode !== 0) faults.push(`the agent ended with ${exitCode}`);
  for (const { name, values } of series) {
    const { change } = flatness(values, readingSeconds);
    if (change > FLAT) faults.push(`${name} grew by ${(change * 100).toFixed(1)} %`);
  }
  if (queued !== 0) faults.push(`${queued} requests still wait`);
  if (taken !== arrived + lost) {
    faults.push(`${taken} samples taken, ${arrived} arrived and ${lost} lost`);
  }
  if (exported !== arrived) faults.push(`${exported} samples exported, ${arrived} arrived`);
  for (const error of errors) faults.push(`the agent logs: ${error}`);
  return faults;
}

export function showSoak(soaked: Soaked): string {
  const rows = soaked.series.map(({ name, unit, values }) => {
    const { early, late, change, perHour } = flatness(values, soaked.readingSeconds);
    const show = (value: number): string => `${value.toFixed(unit === '' ? 0 : 1)} ${unit}`.trim();
    const [least, most] = [Math.min(...values), Math.max(...values)].map(show);
    const sign = change < 0 ? '' : '+';
    return `${name.padEnd(12)} ${show(early)} -> ${show(late)} (${sign}${(change * 100).toFixed(1)} %, ${perHour.toFixed(2)} per hour), ${least} to ${most}`;
  });
  const { taken, arrived, lost, queued, requests, repeated } = soaked;
  const faults = faultsOf(soaked);
  return [
    'medians of the second quarter and of the last one:',
    ...rows,
    `${taken} samples taken = ${arrived} arrived + ${lost} lost; ${requests} requests, ${repeated} of them again, ${queued} left`,
    ...faults,
    faults.length === 0 ? 'all is well' : `${faults.length} faults`,
  ].join('\n');
}
