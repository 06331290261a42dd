/**
 * Answers of the history, each made once for all who ask for it at one version. Bounded: how
 * many are made and wait at a time, and how many bytes clients that read slowly hold.
 */
import type { History } from './history.ts';
import type { PackedAnswer } from './history-messages.ts';

/** Whoever comes when so much is under way is told to come again. */
const MOST_MAKING = 4;
/** Bytes of bodies that nobody reads at the moment. */
const MOST_KEPT = 8 * 2 ** 20;
/** Bytes of different bodies on their way to clients. */
const MOST_READ = 64 * 2 ** 20;

/** A body that is being sent; the same bytes for all its readers. */
export interface HeldAnswer {
  readonly answer: PackedAnswer;
  /** To be called once, when it is sent or cannot be. */
  release(): void;
}

interface Entry {
  readonly made: Promise<PackedAnswer>;
  /** 0 while it is being made. */
  bytes: number;
  readers: number;
}

export class KeptAnswers {
  readonly #history: History;
  /** Those last asked for last. */
  readonly #entries = new Map<string, Entry>();
  #making = 0;

  constructor(history: History) {
    this.#history = history;
  }

  /** Undefined when too much is under way. Rejects as `History.ask` does. */
  async hold(address: string): Promise<HeldAnswer | undefined> {
    const key = `${this.#history.version} ${address}`;
    const entry = this.#entries.get(key) ?? this.#make(key, address);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.readers++;
    const release = (): void => {
      entry.readers--;
      this.#forget();
    };
    try {
      return { answer: await entry.made, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  #make(key: string, address: string): Entry | undefined {
    if (this.#making >= MOST_MAKING || this.#bytes((entry) => entry.readers > 0) > MOST_READ)
      return undefined;
    this.#making++;
    const made = this.#history.ask(address).finally(() => {
      this.#making--;
    });
    const entry: Entry = { made, bytes: 0, readers: 0 };
    this.#entries.set(key, entry);
    made.then(
      ({ body }) => {
        entry.bytes = body.length;
      },
      () => this.#entries.delete(key),
    );
    return entry;
  }

  /** Drops what nobody reads, the longest unasked first, until the rest fits. */
  #forget(): void {
    const isIdle = ({ readers }: Entry): boolean => readers === 0;
    let bytes = this.#bytes(isIdle);
    for (const [key, entry] of this.#entries) {
      if (bytes <= MOST_KEPT) return;
      if (!isIdle(entry)) continue;
      this.#entries.delete(key);
      bytes -= entry.bytes;
    }
  }

  #bytes(isCounted: (entry: Entry) => boolean): number {
    let sum = 0;
    for (const entry of this.#entries.values()) if (isCounted(entry)) sum += entry.bytes;
    return sum;
  }
}
