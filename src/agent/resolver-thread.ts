/** One life of the resolver's thread. */
import { Worker } from 'node:worker_threads';
import { type RefusedFile, WorkNote } from '../process/work-note.ts';
import type { FileKey } from '../units/units.ts';
import { endThread } from './end-thread.ts';
import type { FromResolver, ResolverSetup, ToResolver } from './messages.ts';
import { runQueueWaitMs } from './run-queue-wait.ts';

/** JavaScript heap of the thread; names and rows of tables are typed arrays outside of it. */
const HEAP_MIB = 256;

/** Longer than a file of usual size takes to be read. */
const STOP_MS = 1_000;

/** Between two pings. */
const PING_MS = 1_000;
/** More than a flush takes that names all of a machine's code for the first time, on a busy one. */
const MAX_UNANSWERED = 15;
/** Of one that had no CPU to answer with: what computes for ever on a crowded machine is found out as well. */
const STARVED_COUNTS = 0.1;

/** The bundle has the thread's entry beside it, the sources in this folder. */
export function resolverEntry(): URL {
  const bundled = !import.meta.url.endsWith('.ts');
  return new URL(bundled ? './resolver.cjs' : './resolver-worker.ts', import.meta.url);
}

export interface ThreadEvents {
  onMessage(message: Exclude<FromResolver, { type: 'ready' | 'stopped' | 'pong' }>): void;
  /** It is gone; whatever it had said before has been heard. Not called after close(). */
  onEnd(cause: Error): void;
}

export class ResolverThread {
  readonly #worker: Worker;
  readonly #events: ThreadEvents;
  readonly #pingMs: number;
  readonly #waitedMs: (task: number) => number;
  readonly #note = WorkNote.memory();
  readonly #ready = Promise.withResolvers<void>();
  readonly #stopped = Promise.withResolvers<void>();
  #isStarted = false;
  #isClosing = false;
  #watch: NodeJS.Timeout | undefined;
  /** Pings in a row, about. */
  #unanswered = 0;
  #task: number | undefined;
  /** For a CPU, so far. */
  #waited = 0;

  /**
   * It loads while the caller goes on.
   * @param entry module of the thread
   * @param waitedMs how long a thread has waited for a CPU
   */
  constructor(
    entry: URL,
    events: ThreadEvents,
    heapMib = HEAP_MIB,
    pingMs = PING_MS,
    waitedMs = runQueueWaitMs,
  ) {
    this.#pingMs = pingMs;
    this.#waitedMs = waitedMs;
    this.#events = events;
    this.#worker = new Worker(entry, {
      // Files that it had open are closed when it fails.
      trackUnmanagedFds: true,
      // They are sent as messages.
      execArgv: ['--no-warnings'],
      // A small nursery costs nothing and saves 10 MiB.
      resourceLimits: { maxOldGenerationSizeMb: heapMib, maxYoungGenerationSizeMb: 4 },
    });
    let cause: unknown;
    this.#worker.on('message', (message: FromResolver) => {
      if (message.type === 'pong') this.#unanswered = 0;
      else if (message.type === 'ready') this.#isReady(message.task);
      else if (message.type === 'stopped') this.#stopped.resolve();
      else events.onMessage(message);
    });
    this.#worker.on('error', (error) => {
      cause ??= error;
    });
    // Not at the error: messages that were sent before it may come after it.
    this.#worker.on('exit', (code) => {
      clearInterval(this.#watch);
      cause ??= new Error(`it has ended with exit code ${code}`);
      const error = failure(cause);
      this.#ready.reject(error);
      this.#stopped.resolve();
      if (!this.#isClosing) events.onEnd(error);
    });
    this.#ready.promise.catch(() => undefined);
  }

  /** The file that it is at work on, or was when it ended. */
  get file(): FileKey | undefined {
    return WorkNote.read(this.#note);
  }

  /** Resolves once it takes batches. @throws Error when it ended before */
  start(setup: ResolverSetup, refused: readonly RefusedFile[]): Promise<void> {
    this.#isStarted = true;
    this.post({ type: 'start', setup, note: this.#note, refused });
    return this.#ready.promise;
  }

  #isReady(task: number | undefined): void {
    this.#task = task;
    this.#ready.resolve();
    // By their number, not by the time: this process may itself be stopped for a while.
    this.#watch = setInterval(() => this.#ping(), this.#pingMs);
    this.#watch.unref();
  }

  #ping(): void {
    if (this.#unanswered < MAX_UNANSWERED) {
      this.#unanswered += this.#isStarved() ? STARVED_COUNTS : 1;
      this.post({ type: 'ping' });
      return;
    }
    clearInterval(this.#watch);
    if (this.#isClosing) return;
    this.#isClosing = true;
    void endThread(this.#worker);
    const error = failure(new Error(`it has not answered ${MAX_UNANSWERED} times`));
    this.#ready.reject(error);
    this.#events.onEnd(error);
  }

  /** Since the last ping others had the CPU for the most part: no wonder that it has not answered. */
  #isStarved(): boolean {
    const before = this.#waited;
    this.#waited = this.#task === undefined ? 0 : this.#waitedMs(this.#task);
    return this.#unanswered > 0 && this.#waited - before > this.#pingMs / 2;
  }

  post(message: ToResolver, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  /** Ends it once it has closed its files, which would stay open without it; busy, it is not waited for long. */
  async close(): Promise<void> {
    this.#isClosing = true;
    if (this.#isStarted) {
      this.post({ type: 'stop' });
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise((resolve) => {
        timer = setTimeout(resolve, STOP_MS);
      });
      await Promise.race([this.#stopped.promise, late]);
      clearTimeout(timer);
    }
    clearInterval(this.#watch);
    await endThread(this.#worker);
  }
}

const failure = (cause: unknown): Error =>
  new Error('the thread that names addresses has failed', { cause });
