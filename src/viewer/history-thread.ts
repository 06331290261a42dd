/** The main thread's side of the history: hands profiles over, asks, and starts it anew when it fails. */
import { Worker } from 'node:worker_threads';
import type { Profile } from '../profile/model.ts';
import { type History, HistoryError } from './history.ts';
import type { FromHistory, Limits, PackedAnswer, ToHistory } from './history-messages.ts';

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
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
/** Of V8 beside what is kept: a profile that is being made into text. */
const WORKING_MIB = 384;

interface Asked {
  resolve(answer: PackedAnswer): void;
  reject(error: Error): void;
}

/** The bundle has the thread's entry beside it, the sources in this folder. */
function entry(): URL {
  const bundled = !import.meta.url.endsWith('.ts');
  return new URL(bundled ? './history.cjs' : './history-worker.ts', import.meta.url);
}

export class HistoryThread implements History {
  readonly #events: HistoryEvents;
  readonly #entry: URL;
  #limits: Limits;
  /** Undefined between a failure and the next start. */
  #worker: Worker | undefined;
  readonly #asked = new Map<number, Asked>();
  #nextId = 1;
  #version = 0;
  /** Profiles that it has not taken in. */
  #waiting = 0;
  #restarts = 0;
  #pauseMs = FIRST_PAUSE_MS;
  #timer: NodeJS.Timeout | undefined;
  readonly #lost = { behind: 0, restarting: 0 };

  /** @param main of the thread; tests have their own */
  constructor(limits: Limits, events: HistoryEvents, main = entry()) {
    this.#limits = limits;
    this.#events = events;
    this.#entry = main;
    this.#start();
  }

  get version(): number {
    return this.#version;
  }

  get losses(): HistoryLosses {
    return { restarts: this.#restarts, profiles: { ...this.#lost } };
  }

  /** Hands a copy over, or counts why not. */
  add(profile: Profile): void {
    if (this.#worker === undefined) this.#lost.restarting++;
    else if (this.#waiting >= MOST_WAITING) this.#lost.behind++;
    else {
      this.#waiting++;
      this.#version++;
      this.#post({ type: 'add', profile });
    }
  }

  /** Other limits from now on. */
  limit(limits: Limits): void {
    this.#limits = limits;
    this.#version++;
    this.#post({ type: 'limit', limits });
  }

  ask(address: string): Promise<PackedAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#worker === undefined) {
        reject(new HistoryError('the history is being started anew'));
        return;
      }
      const id = this.#nextId++;
      this.#asked.set(id, { resolve, reject });
      this.#post({ type: 'ask', id, address });
    });
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    const worker = this.#worker;
    this.#worker = undefined;
    this.#rejectAll();
    worker?.removeAllListeners();
    // It may fail while it is ended.
    worker?.on('error', () => undefined);
    await worker?.terminate();
  }

  #start(): void {
    let worker: Worker;
    try {
      worker = this.#load();
    } catch (cause) {
      // No further thread, or no memory for one (EAGAIN, ENOMEM).
      this.#restart(cause as Error);
      return;
    }
    this.#worker = worker;
    worker.on('message', (message: FromHistory) => this.#hear(message));
    let cause: Error | undefined;
    worker.on('error', (error: Error) => {
      cause = error;
    });
    worker.on('exit', (code) => this.#restart(cause ?? new Error(`it has ended with ${code}`)));
  }

  #load(): Worker {
    const { maxBytes } = this.#limits;
    return new Worker(this.#entry, {
      workerData: this.#limits,
      resourceLimits: {
        // Small, as in resolver-client.ts.
        maxYoungGenerationSizeMb: 4,
        // The thread ends before the machine's memory does; the agent goes on.
        maxOldGenerationSizeMb: WORKING_MIB + Math.ceil((3 * maxBytes) / 2 ** 20),
      },
    });
  }

  #hear(message: FromHistory): void {
    if (message.type === 'added') {
      this.#waiting--;
      this.#pauseMs = FIRST_PAUSE_MS;
      return;
    }
    const asked = this.#asked.get(message.id);
    this.#asked.delete(message.id);
    if (message.type === 'answer') asked?.resolve(message.answer);
    else asked?.reject(new Error(`an answer could not be made: ${message.reason}`));
  }

  #restart(error: Error): void {
    this.#worker = undefined;
    this.#lost.restarting += this.#waiting;
    this.#waiting = 0;
    this.#restarts++;
    this.#version++;
    this.#rejectAll();
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    this.#timer = setTimeout(() => this.#start(), pauseMs);
    this.#events.onFailure(error, pauseMs);
  }

  #rejectAll(): void {
    for (const { reject } of this.#asked.values())
      reject(new HistoryError('the history has failed and is started anew'));
    this.#asked.clear();
  }

  #post(message: ToHistory): void {
    this.#worker?.postMessage(message);
  }
}
