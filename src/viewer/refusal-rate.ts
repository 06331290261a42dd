/** Whoever is refused comes again at once, by the thousand: beyond a rate each waits before it is told. */

/** Answered at once, in a second. */
const FREE_PER_SECOND = 20;
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

  /** @returns how long the one that is refused now has to wait */
  waitMs(): number {
    const now = this.#now();
    if (now - this.#since >= SECOND_MS) {
      this.#since = now;
      this.#count = 0;
    }
    return ++this.#count > FREE_PER_SECOND ? WAIT_MS : 0;
  }
}
