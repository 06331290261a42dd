/**
 * Work of timers and callbacks. What fails because the machine lacks something right now
 * (descriptors, memory) is done again at the next tick: it is counted and told, and ends nothing.
 */

/** Of these the next attempt may know nothing any more. */
const PASSING: ReadonlySet<string> = new Set([
  'EAGAIN',
  'EBUSY',
  'EINTR',
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENODEV',
  'ENOMEM',
  'ENOSPC',
]);

export interface RetriedWorkEvents {
  /** An attempt has failed and is made again. */
  onRetry(work: string, error: NodeJS.ErrnoException): void;
  /** It cannot go on. */
  onFailure(error: Error): void;
}

export class RetriedWork {
  readonly #events: RetriedWorkEvents;
  readonly #failures = new Map<string, number>();

  constructor(events: RetriedWorkEvents) {
    this.#events = events;
  }

  /** Attempts that failed and were made again since the start, by work. */
  get failures(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#failures);
  }

  /**
   * Never throws.
   * @param name of the work, for counters
   * @param also codes that pass for this work, beside those that always do
   */
  attempt(name: string, work: () => void, also: readonly string[] = []): void {
    try {
      work();
    } catch (cause) {
      const error = cause as NodeJS.ErrnoException;
      if (!PASSING.has(error.code ?? '') && !also.includes(error.code ?? '')) {
        this.#events.onFailure(error);
        return;
      }
      this.#failures.set(name, (this.#failures.get(name) ?? 0) + 1);
      this.#events.onRetry(name, error);
    }
  }
}
