/** How far the clocks of this process's time namespace are from the machine's (time_namespaces(7), Linux 5.6). */
import { readFileSync, readlinkSync } from 'node:fs';

/** Nanoseconds that are added to the machine's clocks before this process reads them. */
export interface ClockOffsets {
  readonly monotonic: bigint;
  readonly boot: bigint;
}

const NONE: ClockOffsets = { monotonic: 0n, boot: 0n };

/**
 * The kernel side knows the machine's own clocks; `/proc/PID/stat` adds the reader's offset
 * to the start of any process, whatever namespace that is in (fs/proc/array.c).
 */
export function ownClockOffsets(): ClockOffsets {
  try {
    // What the file has is of the namespace that children will be in.
    const isOwn =
      readlinkSync('/proc/self/ns/time') === readlinkSync('/proc/self/ns/time_for_children');
    return isOwn ? parseClockOffsets(readFileSync('/proc/self/timens_offsets', 'latin1')) : NONE;
  } catch {
    // Linux before 5.6, or without CONFIG_TIME_NS.
    return NONE;
  }
}

/** @param text of `/proc/PID/timens_offsets`: clock, seconds and nanoseconds in each line */
export function parseClockOffsets(text: string): ClockOffsets {
  const of = (clock: string): bigint => {
    const match = new RegExp(`^${clock}\\s+(-?\\d+)\\s+(\\d+)$`, 'm').exec(text);
    return match ? BigInt(match[1]!) * 1_000_000_000n + BigInt(match[2]!) : 0n;
  };
  return { monotonic: of('monotonic'), boot: of('boottime') };
}

/** CLOCK_MONOTONIC in nanoseconds as records carry it, whatever our time namespace. */
export function machineClock(): () => number {
  const { monotonic } = ownClockOffsets();
  return () => Number(process.hrtime.bigint() - monotonic);
}
