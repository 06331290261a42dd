/** The same warning, again and again: told once at its first, then once per interval with a count. */

interface Silenced {
  /** Told last at. */
  toldMs: number;
  /** Not told since. */
  count: number;
}

export interface WarningOptions {
  readonly intervalMs: number;
  /** Milliseconds of a clock that only goes forward. */
  readonly now?: () => number;
}

/** Causes can be made up by others (names of files): no more of them are remembered. */
const MOST_CAUSES = 1_000;

export class RepeatedWarnings {
  readonly #intervalMs: number;
  readonly #now: () => number;
  readonly #causes = new Map<string, Silenced>();

  constructor({ intervalMs, now = () => performance.now() }: WarningOptions) {
    this.#intervalMs = intervalMs;
    this.#now = now;
  }

  /**
   * Shall this be told? Undefined = not now. Otherwise how often it happened
   * without being told since it was told last, 0 at the first time.
   */
  happened(cause: string): number | undefined {
    const now = this.#now();
    const silenced = this.#causes.get(cause);
    if (!silenced) {
      this.#forgetOldest();
      this.#causes.set(cause, { toldMs: now, count: 0 });
      return 0;
    }
    if (now - silenced.toldMs < this.#intervalMs) {
      silenced.count++;
      return undefined;
    }
    const { count } = silenced;
    // To the end: the map's first is the one told longest ago.
    this.#causes.delete(cause);
    this.#causes.set(cause, { toldMs: now, count: 0 });
    return count;
  }

  /** Causes that happened since they were told, and how often. */
  untold(): readonly (readonly [cause: string, count: number])[] {
    return [...this.#causes].flatMap(([cause, { count }]) =>
      count > 0 ? [[cause, count] as const] : [],
    );
  }

  #forgetOldest(): void {
    if (this.#causes.size < MOST_CAUSES) return;
    const [oldest] = this.#causes.keys();
    this.#causes.delete(oldest!);
  }
}
