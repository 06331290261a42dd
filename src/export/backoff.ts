/** How long to wait before the next attempt. */

export interface RetryLimits {
  /** Before the second attempt, at most. */
  readonly initialMs: number;
  /** Before any attempt, at most. */
  readonly maxMs: number;
  /** From the first attempt until a request is given up; 0 = never. */
  readonly maxElapsedMs: number;
}

/**
 * Full jitter: anything up to the exponential step, so that many agents do not
 * come back at once. @param failures in a row, at least 1. @param random in [0, 1)
 */
export function backoffMs(limits: RetryLimits, failures: number, random: number): number {
  // 2 ** 1000 is still a number.
  const step = limits.initialMs * 2 ** Math.min(failures - 1, 1000);
  return Math.min(limits.maxMs, step) * random;
}
