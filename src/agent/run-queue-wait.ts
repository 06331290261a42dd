/**
 * How long a thread was ready to run and got no CPU. A hundred busy processes of any user on two
 * CPUs leave it so little that it seems to hang.
 */
import { readFileSync, readlinkSync } from 'node:fs';

/** Of the thread that asks, as `/proc/self/task` has it; undefined when /proc is not there. */
export function ownTask(): number | undefined {
  try {
    return Number(/\d+$/.exec(readlinkSync('/proc/thread-self'))?.[0]);
  } catch {
    return undefined;
  }
}

/** Milliseconds so far; 0 where the kernel does not count (CONFIG_SCHED_INFO) or the thread is gone. */
export function runQueueWaitMs(task: number): number {
  try {
    // Time on a CPU, time on a run queue, both in nanoseconds, number of time slices.
    const [, waited] = readFileSync(`/proc/self/task/${task}/schedstat`, 'latin1').split(' ');
    return Number(waited) / 1e6 || 0;
  } catch {
    return 0;
  }
}
