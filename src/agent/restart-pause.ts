/** How long a thread that failed stays down: nothing at first, ever longer while it fails again and again. */

const FIRST_MS = 1_000;
/** A start costs 0.3 s of CPU time: 0.5 % of one CPU. */
const MOST_MS = 60_000;
/** After so long without a failure it counts as well again. */
const WELL_MS = 120_000;

export class RestartPause {
  readonly #clock: () => number;
  #failures = 0;
  #failedAt = Number.NEGATIVE_INFINITY;

  /** @param clock milliseconds that never go back */
  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
  }

  /** It has failed. @returns milliseconds until it may be started again */
  failed(): number {
    const now = this.#clock();
    if (now - this.#failedAt > WELL_MS) this.#failures = 0;
    this.#failedAt = now;
    const pause = this.#failures === 0 ? 0 : FIRST_MS * 2 ** (this.#failures - 1);
    this.#failures++;
    return Math.min(pause, MOST_MS);
  }
}
