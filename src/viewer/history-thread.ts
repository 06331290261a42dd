/** The main thread's side of the history: hands profiles over, asks, and starts it anew when it fails. */
import type { WorkerOptions } from 'node:worker_threads';
import type { Profile } from '../profile/model.ts';
import { type History, HistoryError } from './history.ts';
import type { FromHistory, Limits, PackedAnswer, ToHistory } from './history-messages.ts';
import { entryOf, KeptThread } from './kept-thread.ts';

export interface HistoryEvents {
  /** The thread has ended: what it kept is lost, and another one begins after `pauseMs`. */
  onFailure(error: Error, pauseMs: number): void;
}

/** What was lost on the way into the history, for the metrics. */
export interface HistoryLosses {
  /** Threads that have failed, each with all that it kept. */
  readonly restarts: number;
  /** Profiles that the history did not get, by reason. */
  readonly profiles: Readonly<Record<'behind' | 'restarting', number>>;
}

/** Profiles that wait for a thread that is busy with an answer; each has all its names. */
const MOST_WAITING = 8;
/** Of V8 beside what is kept: a profile that is being made into text. */
const WORKING_MIB = 384;

interface Asked {
  resolve(answer: PackedAnswer): void;
  reject(error: Error): void;
}

export class HistoryThread implements History {
  readonly #thread: KeptThread<ToHistory, FromHistory>;
  #limits: Limits;
  readonly #asked = new Map<number, Asked>();
  #nextId = 1;
  #version = 0;
  /** Profiles that it has not taken in. */
  #waiting = 0;
  readonly #lost = { behind: 0, restarting: 0 };

  /** @param main of the thread; tests have their own */
  constructor(
    limits: Limits,
    events: HistoryEvents,
    main = entryOf('history.cjs', 'history-worker.ts'),
  ) {
    this.#limits = limits;
    this.#thread = new KeptThread(main, () => this.#options(), {
      onMessage: (message: FromHistory) => this.#hear(message),
      onFailure: (error, pauseMs) => {
        this.#forget();
        events.onFailure(error, pauseMs);
      },
    });
    this.#thread.start();
  }

  get version(): number {
    return this.#version;
  }

  get losses(): HistoryLosses {
    return { restarts: this.#thread.restarts, profiles: { ...this.#lost } };
  }

  /** Hands a copy over, or counts why not. */
  add(profile: Profile): void {
    if (!this.#thread.isUp) this.#lost.restarting++;
    else if (this.#waiting >= MOST_WAITING) this.#lost.behind++;
    else {
      this.#waiting++;
      this.#version++;
      this.#thread.tell({ type: 'add', profile });
    }
  }

  /** Other limits from now on. */
  limit(limits: Limits): void {
    this.#limits = limits;
    this.#version++;
    this.#thread.tell({ type: 'limit', limits });
  }

  ask(address: string): Promise<PackedAnswer> {
    return new Promise((resolve, reject) => {
      if (!this.#thread.isUp) {
        reject(new HistoryError('the history is being started anew'));
        return;
      }
      const id = this.#nextId++;
      this.#asked.set(id, { resolve, reject });
      this.#thread.tell({ type: 'ask', id, address });
    });
  }

  async close(): Promise<void> {
    this.#rejectAll();
    await this.#thread.close();
  }

  #options(): WorkerOptions {
    const { maxBytes } = this.#limits;
    return {
      workerData: this.#limits,
      resourceLimits: {
        // Small, as in resolver-client.ts.
        maxYoungGenerationSizeMb: 4,
        // The thread ends before the machine's memory does; the agent goes on.
        maxOldGenerationSizeMb: WORKING_MIB + Math.ceil((3 * maxBytes) / 2 ** 20),
      },
    };
  }

  #hear(message: FromHistory): void {
    if (message.type === 'added') {
      this.#waiting--;
      this.#thread.isWell();
      return;
    }
    const asked = this.#asked.get(message.id);
    this.#asked.delete(message.id);
    if (message.type === 'answer') asked?.resolve(message.answer);
    else asked?.reject(new Error(`an answer could not be made: ${message.reason}`));
  }

  /** All that it had. */
  #forget(): void {
    this.#lost.restarting += this.#waiting;
    this.#waiting = 0;
    this.#version++;
    this.#rejectAll();
  }

  #rejectAll(): void {
    for (const { reject } of this.#asked.values())
      reject(new HistoryError('the history has failed and is started anew'));
    this.#asked.clear();
  }
}
