/** The main thread's side of the resolver. */
import { Worker } from 'node:worker_threads';
import type { AddressQueries } from '../profile/address-collection.ts';
import type { Instance } from '../profile/aggregator.ts';
import type { ProcessInformation } from '../profile/builder.ts';
import type { ResolvedLocation } from '../profile/profile-tables.ts';
import type {
  FromResolver,
  Resolution,
  ResolverSetup,
  ResolverStats,
  Snapshot,
  ToResolver,
  Waiting,
} from './messages.ts';

export interface ResolverEvents {
  /** Finished samples made of deferred ones. */
  onSamples(records: Uint8Array<ArrayBuffer>): void;
  onSnapshot(snapshot: Snapshot): void;
  /** A resolution takes long. */
  onWaiting(waiting: Waiting): void;
  /** The thread has died: nothing can be named any more. */
  onFailure(error: Error): void;
}

export interface ResolvedQueries {
  readonly locations: readonly (ResolvedLocation | undefined)[];
  readonly processes: readonly (ProcessInformation | undefined)[];
}

/** Longer than a file of usual size takes to be read. */
const STOP_MS = 1_000;

interface Asked {
  resolve(message: FromResolver): void;
  reject(error: Error): void;
}

/** The bundle has the thread's entry beside it, the sources in this folder. */
function entry(): URL {
  const bundled = !import.meta.url.endsWith('.ts');
  return new URL(bundled ? './resolver.cjs' : './resolver-worker.ts', import.meta.url);
}

export class ResolverClient {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Asked>();
  /** By number, as the resolver gave them. */
  #locations: (ResolvedLocation | undefined)[] = [undefined];
  readonly #ready = Promise.withResolvers<void>();
  readonly #stopped = Promise.withResolvers<void>();
  #isStarted = false;
  #nextId = 1;
  #failure: Error | undefined;

  /** Starts the thread; it loads while the caller goes on. */
  constructor(events: ResolverEvents) {
    this.#worker = new Worker(entry(), {
      // It closes descriptors that the addon has opened, which Node has not seen.
      trackUnmanagedFds: false,
      // Names and rows are long-lived typed arrays; a small nursery costs nothing and saves 10 MiB.
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    });
    this.#worker.on('message', (message: FromResolver) => {
      if (message.type === 'samples') events.onSamples(message.records);
      else if (message.type === 'snapshot') events.onSnapshot(message.snapshot);
      else if (message.type === 'waiting') events.onWaiting(message.waiting);
      else if (message.type === 'ready') this.#ready.resolve();
      else if (message.type === 'stopped') this.#stopped.resolve();
      else this.#answer(message);
    });
    const fail = (error: Error) => {
      this.#failure ??= error;
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
      this.#ready.reject(error);
      this.#stopped.resolve();
      events.onFailure(error);
    };
    this.#worker.on('error', (cause) => {
      fail(new Error('the thread that names addresses has failed', { cause }));
    });
  }

  /** Resolves once the thread takes batches. */
  start(setup: ResolverSetup): Promise<void> {
    this.#isStarted = true;
    this.#post({ type: 'start', setup });
    return this.#ready.promise;
  }

  /** Process events and deferred samples; both are copied. */
  batch(records: Uint8Array, sideband: Uint8Array): void {
    const message = {
      type: 'batch',
      records: records.slice(),
      sideband: sideband.slice(),
    } as const;
    this.#post(message, [message.records.buffer, message.sideband.buffer]);
  }

  /** All samples of batches sent before are back when it resolves. */
  sync(): Promise<ResolverStats> {
    return this.#sync(false);
  }

  /** As sync(), to be followed by one resolve() of all that was counted until the call. */
  take(): Promise<ResolverStats> {
    return this.#sync(true);
  }

  async #sync(isTake: boolean): Promise<ResolverStats> {
    const answer = await this.#ask((id) => ({ type: 'sync', id, isTake }));
    return (answer as Extract<FromResolver, { type: 'synced' }>).stats;
  }

  /** Once for each take(), in their order. */
  async resolve(queries: AddressQueries, instances: readonly Instance[]): Promise<ResolvedQueries> {
    const answer = await this.#ask((id) => ({ type: 'resolve', id, queries, instances }));
    const { locations, firstNew, fresh, processes } = answer as Resolution;
    // The resolver numbers from 1 again when it has forgotten all.
    if (firstNew < this.#locations.length) this.#locations = [undefined];
    this.#locations.push(...fresh);
    return { locations: Array.from(locations, (number) => this.#locations[number]), processes };
  }

  /** From now on names are not waited for long. */
  hurry(): void {
    this.#post({ type: 'hurry' });
  }

  /** Ends the thread once it has closed its files, which would stay open without it; busy, it is not waited for long. */
  async close(): Promise<void> {
    if (this.#isStarted && !this.#failure) {
      this.#post({ type: 'stop' });
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise((resolve) => {
        timer = setTimeout(resolve, STOP_MS);
      });
      await Promise.race([this.#stopped.promise, late]);
      clearTimeout(timer);
    }
    await this.#worker.terminate();
  }

  #ask(make: (id: number) => ToResolver): Promise<FromResolver> {
    return new Promise((resolve, reject) => {
      if (this.#failure) {
        reject(this.#failure);
        return;
      }
      const id = this.#nextId++;
      this.#waiting.set(id, { resolve, reject });
      this.#post(make(id));
    });
  }

  #answer(message: FromResolver & { readonly id: number }): void {
    this.#waiting.get(message.id)?.resolve(message);
    this.#waiting.delete(message.id);
  }

  #post(message: ToResolver, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer);
  }
}
