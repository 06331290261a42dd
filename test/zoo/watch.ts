/** What an agent costs while something happens: CPU time, memory, descriptors, read from /proc. */
import { readdirSync, readFileSync } from 'node:fs';
import { mapMemory } from '../bench/meter.ts';

const TICKS_PER_SECOND = 100;
const PAGE = 4096;
const SAMPLE_MS = 500;

export interface Watched {
  /** Milliseconds of the wall clock. */
  readonly from: number;
  readonly to: number;
  /** CPU seconds per second, all threads. */
  readonly cpu: number;
  /** Most of all readings, of resident memory and BPF maps together. */
  readonly memory: number;
  readonly descriptors: number;
}

/** CPU seconds of a process since its start, of threads that have ended too. */
export function cpuSeconds(pid: number): number {
  const fields = statFields(pid);
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Start time in ticks: with the pid, the identity of a process. @throws Error when it is gone */
export const startTicks = (pid: number): number => Number(statFields(pid)[19]);

function statFields(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

export const residentBytes = (pid: number): number =>
  Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * PAGE;

export const descriptorCount = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

/** Watches for so long. @throws Error when the process is gone */
export async function watch(pid: number, seconds: number): Promise<Watched> {
  const from = Date.now();
  const began = performance.now();
  const cpu = cpuSeconds(pid);
  let [memory, descriptors] = [0, 0];
  while (performance.now() - began < seconds * 1000) {
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    memory = Math.max(memory, residentBytes(pid) + mapMemory(pid));
    descriptors = Math.max(descriptors, descriptorCount(pid));
  }
  const took = (performance.now() - began) / 1000;
  return { from, to: Date.now(), cpu: (cpuSeconds(pid) - cpu) / took, memory, descriptors };
}
