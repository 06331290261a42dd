/** When to look anew at what may be wrong: at once, and while it goes on less and less often. */
export class RepairPauses {
  readonly #shortestMs: number;
  readonly #longestMs: number;
  readonly #clock: () => number;
  #isPending = false;
  #pauseMs: number;
  #nextAt = Number.NEGATIVE_INFINITY;

  /** @param clock milliseconds that never go back */
  constructor(shortestMs: number, longestMs: number, clock: () => number) {
    this.#shortestMs = shortestMs;
    this.#longestMs = longestMs;
    this.#clock = clock;
    this.#pauseMs = shortestMs;
  }

  /** Something may be wrong from now on. */
  ask(): void {
    this.#isPending = true;
  }

  /** Milliseconds until take() says yes; undefined when nothing is wrong. */
  get due(): number | undefined {
    return this.#isPending ? Math.max(0, this.#nextAt - this.#clock()) : undefined;
  }

  /** Whether it is time; then whoever asked is served. */
  take(): boolean {
    const now = this.#clock();
    if (!this.#isPending || now < this.#nextAt) return false;
    this.#isPending = false;
    const isCalm = now - this.#nextAt > 4 * this.#pauseMs;
    this.#pauseMs = isCalm ? this.#shortestMs : Math.min(2 * this.#pauseMs, this.#longestMs);
    this.#nextAt = now + this.#pauseMs;
    return true;
  }
}
