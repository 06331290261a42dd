/** One kept profile without its tables. */
import type { Tally } from '../profile/model.ts';
import type { Nanoseconds, UnixTime } from '../units/units.ts';

export interface Segment {
  readonly startMs: number;
  readonly endMs: number;
  /** When it came, in milliseconds of a clock that nobody sets. */
  readonly addedMs: number;
  readonly start: UnixTime;
  readonly duration: Nanoseconds;
  readonly period: Nanoseconds;
  /** Columns of table indices: process, thread, stack, label set; then the count; five per row. */
  readonly rows: Uint32Array;
  readonly tally: Tally;
  readonly host: string;
}

export const ROW = 5;
export const PROCESS = 0;
export const THREAD = 1;
export const STACK = 2;
export const LABELS = 3;
export const COUNT = 4;
