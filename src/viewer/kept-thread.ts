/** A thread that starts anew when it fails, after ever longer pauses. */
import { Worker, type WorkerOptions } from 'node:worker_threads';

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

export interface KeptThreadEvents<Heard> {
  onMessage(message: Heard): void;
  /** It has ended: another one begins after `pauseMs`. */
  onFailure(error: Error, pauseMs: number): void;
}

/** The bundle has a thread's entry beside it, the sources have it in this folder. */
export function entryOf(bundle: string, source: string): URL {
  return new URL(import.meta.url.endsWith('.ts') ? `./${source}` : `./${bundle}`, import.meta.url);
}

export class KeptThread<Told, Heard> {
  readonly #entry: URL;
  readonly #options: () => WorkerOptions;
  readonly #events: KeptThreadEvents<Heard>;
  /** Undefined between a failure and the next start. */
  #worker: Worker | undefined;
  #restarts = 0;
  #pauseMs = FIRST_PAUSE_MS;
  #timer: NodeJS.Timeout | undefined;

  /** Nothing runs before `start`. @param options for each start anew */
  constructor(entry: URL, options: () => WorkerOptions, events: KeptThreadEvents<Heard>) {
    this.#entry = entry;
    this.#options = options;
    this.#events = events;
  }

  get isUp(): boolean {
    return this.#worker !== undefined;
  }

  get restarts(): number {
    return this.#restarts;
  }

  start(): void {
    let worker: Worker;
    try {
      worker = new Worker(this.#entry, this.#options());
    } catch (cause) {
      // No further thread, or no memory for one (EAGAIN, ENOMEM).
      this.#restart(cause as Error);
      return;
    }
    this.#worker = worker;
    worker.on('message', (message: Heard) => this.#events.onMessage(message));
    let cause: Error | undefined;
    worker.on('error', (error: Error) => {
      cause = error;
    });
    worker.on('exit', (code) => this.#restart(cause ?? new Error(`it has ended with ${code}`)));
  }

  /** Said to nobody while it is down. */
  tell(message: Told, transfer: ArrayBuffer[] = []): void {
    this.#worker?.postMessage(message, transfer);
  }

  /** It has done its work: the next pause is short again. */
  isWell(): void {
    this.#pauseMs = FIRST_PAUSE_MS;
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    const worker = this.#worker;
    this.#worker = undefined;
    worker?.removeAllListeners();
    // It may fail while it is ended.
    worker?.on('error', () => undefined);
    await worker?.terminate();
  }

  #restart(error: Error): void {
    this.#worker = undefined;
    this.#restarts++;
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    this.#timer = setTimeout(() => this.start(), pauseMs);
    this.#events.onFailure(error, pauseMs);
  }
}
