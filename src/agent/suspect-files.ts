/** Files at which the resolver's thread has ended: at the second time they are refused for a while. */
import type { RefusedFile } from '../process/work-note.ts';
import type { FileKey } from '../units/units.ts';

/** Once may be chance: the file that is read when memory runs out need not be what has used it up. */
const CHANCES = 2;
/** For the same reason not for ever; each further time doubles it. */
const FIRST_MS = 10 * 60_000;
const MOST_MS = 24 * 3600_000;
/** The one that was suspected longest ago is forgotten. */
const MOST_FILES = 256;

interface Suspicion {
  readonly times: number;
  readonly until: number;
}

export class SuspectFiles {
  readonly #clock: () => number;
  readonly #files = new Map<FileKey, Suspicion>();

  /** @param clock milliseconds that never go back */
  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
  }

  /** The thread has ended while it was at work on it. */
  suspect(key: FileKey): void {
    const times = (this.#files.get(key)?.times ?? 0) + 1;
    const forMs = times < CHANCES ? 0 : Math.min(FIRST_MS * 2 ** (times - CHANCES), MOST_MS);
    this.#files.delete(key);
    this.#files.set(key, { times, until: this.#clock() + forMs });
    const [oldest] = this.#files.keys();
    if (this.#files.size > MOST_FILES) this.#files.delete(oldest!);
  }

  /** What a new thread must not read. */
  refused(): RefusedFile[] {
    const now = this.#clock();
    return [...this.#files].flatMap(([key, { until }]) =>
      until > now ? [{ key, forMs: until - now }] : [],
    );
  }
}
