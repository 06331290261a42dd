/**
 * Closed: requests are sent. Open: the destination failed several times in a
 * row, nothing is sent for a while. Half open: one request tries whether it is
 * back; its outcome closes or opens.
 */

export type BreakerState = 'closed' | 'open' | 'half_open';

export interface BreakerLimits {
  /** In a row, until it opens. */
  readonly failures: number;
  /** How long it stays open; the time varies by half, as agents must not come back at once. */
  readonly openMs: number;
}

export class CircuitBreaker {
  readonly #limits: BreakerLimits;
  #failures = 0;
  #state: BreakerState = 'closed';

  constructor(limits: BreakerLimits) {
    this.#limits = limits;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** In a row. */
  get failures(): number {
    return this.#failures;
  }

  /** To be asked when a request is sent: when it is open, its time is over. */
  attempt(): void {
    if (this.#state === 'open') this.#state = 'half_open';
  }

  /** The destination answered, be it that it wants none of it. */
  succeeded(): void {
    this.#failures = 0;
    this.#state = 'closed';
  }

  failed(): void {
    this.#failures++;
    if (this.#state === 'half_open' || this.#failures >= this.#limits.failures) {
      this.#state = 'open';
    }
  }

  /** @param random in [0, 1) */
  pauseMs(random: number): number {
    return this.#limits.openMs * (0.5 + random / 2);
  }
}
