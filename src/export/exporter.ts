/** Queue and sender of one destination. Exporters share nothing: none holds up another. */
import { join } from 'node:path';
import type { Profile } from '../profile/model.ts';
import type { RetryLimits } from './backoff.ts';
import type { BreakerLimits, BreakerState } from './circuit-breaker.ts';
import { type Clock, systemClock } from './clock.ts';
import type { StandingFault } from './fault.ts';
import { Queue, type QueueLimits, type Warn } from './queue.ts';
import { FolderRefused, folderName, openQueueFolder, type QueueFolder } from './queue-folder.ts';
import { Sender } from './sender.ts';
import type { Destination } from './transport.ts';

export interface ExporterSettings {
  readonly queue: {
    /** Of all queues; each has a folder of its own in it. Undefined = in memory. */
    readonly directory: string | undefined;
    readonly maxBytes: number;
    /** 0 = no limit. */
    readonly maxAgeMs: number;
    /** When the disk takes nothing; 8 MiB unless it is given. */
    readonly memoryBytes?: number;
    /** 1 s unless it is given. */
    readonly syncIntervalMs?: number;
  };
  readonly retry: RetryLimits;
  /** 5 failures, and retry.maxMs, unless it is given. */
  readonly breaker?: BreakerLimits;
  /** For one attempt, hanging transports included. */
  readonly timeoutMs: number;
}

/** What an exporter takes from around it. */
export interface ExporterHost {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Called at every occurrence: whoever logs it says it once in a while. */
  readonly warn: Warn;
  /** The destination answers again. @param failures attempts in a row before that */
  readonly recovered: (failures: number) => void;
  /** The first request has arrived. */
  readonly arrived: () => void;
  /** Nothing is taken until somebody mends this. */
  readonly faulty: (fault: StandingFault) => void;
  readonly openFolder: (path: string) => QueueFolder;
}

/** recovered + accepted + split = sent + dropped + queueSize, in requests. */
export interface ExporterStats {
  readonly accepted: number;
  /** Requests waiting, the one in flight included. */
  readonly queueSize: number;
  readonly queueBytes: number;
  /** In bytes. */
  readonly queueCapacity: number;
  readonly queueOnDisk: boolean;
  /** Of an earlier agent. */
  readonly recovered: number;
  readonly sent: number;
  /** Attempts that will be made again. */
  readonly sendFailed: number;
  /** By reason, as drops.ts names them. */
  readonly dropped: Record<string, number>;
  /** What peers rejected of requests that they took. */
  readonly rejected: number;
  readonly split: number;
  /** Handed to the transport, repeats included. */
  readonly requestBytes: number;
  readonly breaker: BreakerState;
  readonly fault: StandingFault | undefined;
  readonly inFlight: number;
}

const MEMORY_BYTES = 8 << 20;
/** Until a folder that could not be used is tried again: another agent ends, somebody mends it. */
const FOLDER_RETRY_MS = 10_000;
const SYNC_INTERVAL_MS = 1000;
const BREAKER_FAILURES = 5;
/** The oldest gives way by 1/32 of the queue, but not by less than a request or so. */
const SEGMENTS = 32;
const MAX_SEGMENT_BYTES = 16 << 20;

export class Exporter {
  readonly #destination: Destination;
  readonly #queue: Queue;
  readonly #sender: Sender;
  readonly #host: ExporterHost;
  /** Of the queue; undefined = in memory. */
  readonly #path: string | undefined;
  #cancelRetry: (() => void) | undefined;
  #accepted = 0;
  #closing: Promise<void> | undefined;

  /**
   * Starts sending what an earlier agent left. Never throws: without a usable
   * folder it queues in memory, says so, and tries again from time to time.
   */
  static open(
    destination: Destination,
    settings: ExporterSettings,
    host: Partial<ExporterHost> = {},
  ): Exporter {
    return new Exporter(destination, settings, {
      clock: systemClock,
      random: Math.random,
      warn: () => {},
      recovered: () => {},
      arrived: () => {},
      faulty: () => {},
      openFolder: openQueueFolder,
      ...host,
    });
  }

  private constructor(destination: Destination, settings: ExporterSettings, host: ExporterHost) {
    this.#destination = destination;
    this.#host = host;
    const { directory } = settings.queue;
    this.#path =
      directory === undefined ? undefined : join(directory, folderName(destination.name));
    const { clock, random, warn } = host;
    this.#queue = new Queue(queueLimits(settings), clock, warn);
    this.#useFolder();
    const { retry, timeoutMs } = settings;
    const breaker = settings.breaker ?? { failures: BREAKER_FAILURES, openMs: retry.maxMs };
    const limits = { retry, breaker, timeoutMs };
    this.#sender = new Sender(this.#queue, destination, limits, clock, random, host);
    this.#sender.wake();
  }

  /** Encodes and queues. Never throws; what cannot be had is counted. */
  accept(profile: Profile): void {
    try {
      for (const request of this.#destination.encode(profile)) this.#queueRequest(request);
    } catch (cause) {
      this.#accepted++;
      this.#queue.dropped.add('encoding');
      this.#host.warn('encoding', `a profile cannot be encoded and is dropped: ${String(cause)}`);
    }
    this.#sender.wake();
  }

  /** Something may have been mended. */
  tryNow(): void {
    this.#sender.tryNow();
  }

  #queueRequest(request: Uint8Array): void {
    this.#accepted++;
    this.#queue.append(request);
  }

  stats(): ExporterStats {
    const { sent, sendFailed, rejected, split, requestBytes, breaker, fault, inFlight } =
      this.#sender;
    return {
      accepted: this.#accepted,
      queueSize: this.#queue.size + this.#sender.extraParts,
      queueBytes: this.#queue.bytes,
      queueCapacity: this.#queue.capacity,
      queueOnDisk: this.#queue.isOnDisk,
      recovered: this.#queue.recovered,
      sent,
      sendFailed,
      dropped: this.#queue.dropped.toRecord(),
      rejected,
      split,
      requestBytes,
      breaker,
      fault,
      inFlight,
    };
  }

  /**
   * Sends for so many milliseconds what it can, and leaves the rest in the
   * queue, where the next agent finds it. Never rejects.
   */
  close(deadlineMs: number): Promise<void> {
    this.#closing ??= this.#close(deadlineMs);
    return this.#closing;
  }

  async #close(deadlineMs: number): Promise<void> {
    await this.#sender.close(deadlineMs);
    this.#destination.transport.close();
    // The last moment at which it helps.
    this.#useFolder();
    this.#cancelRetry?.();
    await this.#queue.close();
  }

  /** Puts the queue on disk; when that cannot be, tries again later. */
  #useFolder(): void {
    this.#cancelRetry?.();
    if (this.#path === undefined || this.#queue.isOnDisk) return;
    const { openFolder, warn, clock } = this.#host;
    try {
      if (this.#queue.needsFolder) this.#queue.moveTo(openFolder(this.#path));
    } catch (cause) {
      const why = cause instanceof FolderRefused ? cause.message : String(cause);
      const { name } = this.#destination;
      warn(
        'queue_in_memory',
        `${why}; what ${name} cannot send is kept in memory until it can`,
        'make that folder usable, or name another in {queue.directory}',
      );
    }
    if (this.#queue.isOnDisk) return;
    this.#cancelRetry = clock.after(FOLDER_RETRY_MS, () => {
      this.#useFolder();
      this.#sender.wake();
    });
  }
}

function queueLimits({ queue }: ExporterSettings): QueueLimits {
  const { maxBytes, maxAgeMs } = queue;
  return {
    maxBytes,
    maxAgeMs: maxAgeMs > 0 ? maxAgeMs : Number.POSITIVE_INFINITY,
    memoryBytes: queue.memoryBytes ?? MEMORY_BYTES,
    segmentBytes: Math.min(MAX_SEGMENT_BYTES, Math.floor(maxBytes / SEGMENTS)),
    syncIntervalMs: queue.syncIntervalMs ?? SYNC_INTERVAL_MS,
  };
}
