/** Time as queue and sender see it, so that tests can make an hour pass. */

export interface Clock {
  /** Milliseconds since 1970; people and NTP may set it. */
  now(): number;
  /** Milliseconds from any start; never jumps. */
  monotonic(): number;
  /** Calls back once. @returns what cancels it */
  after(ms: number, callback: () => void): () => void;
}

/** setTimeout takes a longer time for 1 ms. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(ms, 0), LONGEST_TIMER_MS));
    return () => clearTimeout(timer);
  },
};
