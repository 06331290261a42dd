/**
 * When the intervals of profiles were, by the wall clock, and how long they lasted, by one
 * that nobody sets. Both stay plausible when somebody sets the wall clock or the machine
 * is suspended, and it is told.
 */
import { type Nanoseconds, nanoseconds, type UnixTime, unixTime } from '../units/units.ts';

/** `Addon.clocks`: [monotonic, real, boot, monotonic again]. */
export type ReadClocks = () => ArrayLike<bigint>;

export interface IntervalTime {
  /** By the wall clock as it is at the interval's end. */
  readonly startTime: UnixTime;
  /** Without time in suspension. */
  readonly duration: Nanoseconds;
  /** Of it the machine was suspended, beside `duration`. */
  readonly suspended: Nanoseconds;
  /** By how much the wall clock was set, forward or (negative) back. */
  readonly clockSet: Nanoseconds;
}

interface Reading {
  readonly monotonic: bigint;
  /** The kernel keeps both as offsets, which change in no other way. */
  readonly realOffset: bigint;
  readonly bootOffset: bigint;
}

/** What a change of an offset must exceed: clocks are not read at the same moment. */
const NOISE_NS = 1_000_000n;
/** When a thread is kept waiting between two clocks, they are read again. */
const ATTEMPTS = 8;

export class IntervalClock {
  readonly #read: ReadClocks;
  #last: Reading;

  /** The first interval begins now. */
  constructor(read: ReadClocks) {
    this.#read = read;
    this.#last = reading(read);
  }

  /** When the present interval began, by the wall clock of then. */
  get startTime(): UnixTime {
    return unixTime(this.#last.monotonic + this.#last.realOffset);
  }

  /**
   * Ends an interval and begins the next. No two overlap, unless the clock was set back:
   * then it passes the same time twice.
   */
  next(): IntervalTime {
    const last = this.#last;
    const now = reading(this.#read);
    const suspended = change(last.bootOffset, now.bootOffset);
    const clockSet = change(last.realOffset + suspended, now.realOffset);
    // As they were: small errors of reading would add up otherwise.
    const realOffset = clockSet === 0n ? last.realOffset + suspended : now.realOffset;
    const bootOffset = suspended === 0n ? last.bootOffset : now.bootOffset;
    this.#last = { monotonic: now.monotonic, realOffset, bootOffset };
    return {
      startTime: unixTime(last.monotonic + realOffset - suspended),
      duration: nanoseconds(Number(now.monotonic - last.monotonic)),
      suspended: nanoseconds(Number(suspended)),
      clockSet: nanoseconds(Number(clockSet)),
    };
  }
}

function reading(read: ReadClocks): Reading {
  let best: Reading | undefined;
  let least = 0n;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const [before = 0n, real = 0n, boot = 0n, after = 0n] = Array.from(read());
    const spread = after - before;
    if (best && spread >= least) continue;
    const monotonic = before + spread / 2n;
    best = { monotonic, realOffset: real - monotonic, bootOffset: boot - monotonic };
    least = spread;
    if (spread < NOISE_NS / 4n) break;
  }
  return best!;
}

function change(from: bigint, to: bigint): bigint {
  const difference = to - from;
  return difference > NOISE_NS || difference < -NOISE_NS ? difference : 0n;
}
