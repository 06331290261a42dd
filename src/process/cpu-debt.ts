/** Time, of a CPU or of the clock, that was taken ahead, paid back with a share of the time that passes. */
export class CpuDebt {
  readonly #share: number;
  readonly #mostMs: number;
  readonly #clock: () => number;
  #ms = 0;
  #at: number;

  /**
   * @param share of one CPU that it may take in the long run
   * @param mostMs more is forgiven: what is expensive comes late, but not never
   * @param clock milliseconds that never go back
   */
  constructor(share: number, mostMs: number, clock: () => number = () => performance.now()) {
    this.#share = share;
    this.#mostMs = mostMs;
    this.#clock = clock;
    this.#at = clock();
  }

  /** What is still owed, milliseconds. */
  get ms(): number {
    const now = this.#clock();
    this.#ms = Math.max(0, this.#ms - (now - this.#at) * this.#share);
    this.#at = now;
    return this.#ms;
  }

  owe(ms: number): void {
    this.#ms = Math.min(this.ms + ms, this.#mostMs);
  }
}
