/**
 * Whoever is refused comes again at once, by the thousand: beyond a rate each waits before it is told,
 * and beyond a number, as each that waits takes memory, it is told nothing.
 */

/** Answered at once, in a second. */
const FREE_PER_SECOND = 20;
/** Told later, of those of a second. */
const WAITING_PER_SECOND = 200;
const SECOND_MS = 1_000;
/** As long as a client that waits for its answer asks nothing else. */
const WAIT_MS = 1_000;

export class RefusalRate {
  readonly #now: () => number;
  #since = Number.NEGATIVE_INFINITY;
  #count = 0;

  /** @param now milliseconds of a clock that only goes forward */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** @returns how long the one that is refused now has to wait; undefined = for ever */
  waitMs(): number | undefined {
    const now = this.#now();
    if (now - this.#since >= SECOND_MS) {
      this.#since = now;
      this.#count = 0;
    }
    this.#count++;
    if (this.#count > FREE_PER_SECOND + WAITING_PER_SECOND) return undefined;
    return this.#count > FREE_PER_SECOND ? WAIT_MS : 0;
  }
}
