/** One life of the resolver's thread. */
import { Worker } from 'node:worker_threads';
import type { FromResolver, ResolverSetup, ToResolver } from './messages.ts';

/** JavaScript heap of the thread; names and rows of tables are typed arrays outside of it. */
const HEAP_MIB = 256;

/** Longer than a file of usual size takes to be read. */
const STOP_MS = 1_000;

/** The bundle has the thread's entry beside it, the sources in this folder. */
export function resolverEntry(): URL {
  const bundled = !import.meta.url.endsWith('.ts');
  return new URL(bundled ? './resolver.cjs' : './resolver-worker.ts', import.meta.url);
}

export interface ThreadEvents {
  onMessage(message: Exclude<FromResolver, { type: 'ready' | 'stopped' }>): void;
  /** It is gone; whatever it had said before has been heard. Not called after close(). */
  onEnd(cause: Error): void;
}

export class ResolverThread {
  readonly #worker: Worker;
  readonly #ready = Promise.withResolvers<void>();
  readonly #stopped = Promise.withResolvers<void>();
  #isStarted = false;
  #isClosing = false;

  /** It loads while the caller goes on. @param entry module of the thread */
  constructor(entry: URL, events: ThreadEvents, heapMib = HEAP_MIB) {
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
      if (message.type === 'ready') this.#ready.resolve();
      else if (message.type === 'stopped') this.#stopped.resolve();
      else events.onMessage(message);
    });
    this.#worker.on('error', (error) => {
      cause ??= error;
    });
    // Not at the error: messages that were sent before it may come after it.
    this.#worker.on('exit', (code) => {
      cause ??= new Error(`it has ended with exit code ${code}`);
      const error = new Error('the thread that names addresses has failed', { cause });
      this.#ready.reject(error);
      this.#stopped.resolve();
      if (!this.#isClosing) events.onEnd(error);
    });
    this.#ready.promise.catch(() => undefined);
  }

  /** Resolves once it takes batches. @throws Error when it ended before */
  start(setup: ResolverSetup): Promise<void> {
    this.#isStarted = true;
    this.post({ type: 'start', setup });
    return this.#ready.promise;
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
    await this.#worker.terminate();
  }
}
