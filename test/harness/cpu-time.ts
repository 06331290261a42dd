/** How much a process has run: what a recording waits for, since seconds say little on a busy machine. */
import { readFileSync } from 'node:fs';
import { pause } from './record.ts';

/** USER_HZ of every Linux ABI. */
const TICKS_PER_SECOND = 100;

/**
 * User and system time of all its threads, in steps of 10 ms.
 * @throws Error when the process is gone.
 */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z') throw new Error(`process ${pid} has ended: ${stat.slice(0, 60)}`);
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/**
 * Resolves once each of them has used so much CPU time from now on, however long that takes.
 * @throws Error when one is gone before
 */
export async function whenUsed(pids: readonly number[], seconds: number): Promise<void> {
  const ends = pids.map((pid) => [pid, cpuSeconds(pid) + seconds] as const);
  while (ends.some(([pid, end]) => cpuSeconds(pid) < end)) await pause(20);
}
