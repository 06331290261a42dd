/**
 * The queue of one destination: first in, first out, on disk as long as the disk
 * takes it and else in memory. What is in memory is always behind what is on
 * disk. Every request that came in leaves once, as sent or with a reason.
 */
import type { Clock } from './clock.ts';
import { DropCounts, type DropReason } from './drops.ts';
import { HEADER_BYTES } from './entry.ts';
import type { QueueFolder } from './queue-folder.ts';
import { SegmentStore } from './segment-store.ts';

export interface QueueLimits {
  /** Of the files, or of memory where there are none. */
  readonly maxBytes: number;
  /** From accept() on; Infinity = no limit. */
  readonly maxAgeMs: number;
  /** Held in memory, when the disk takes nothing. */
  readonly memoryBytes: number;
  /** Of a file: the unit in which the oldest gives way. */
  readonly segmentBytes: number;
  /** What a loss of power may take: requests accepted in so many milliseconds. */
  readonly syncIntervalMs: number;
}

/** For the log; `cause` is stable, `message` for people. */
export type Warn = (
  cause: string,
  message: string,
  /** What to do, with keys as fault.ts has them. */
  mend?: string,
) => void;

/** The oldest request, on its way to the destination. */
export interface Taken {
  /** The same as long as it is the same request, also after release(). */
  readonly sequence: number;
  readonly request: Uint8Array;
}

interface MemoryEntry {
  readonly sequence: number;
  readonly time: number;
  readonly request: Uint8Array;
}

export class Queue {
  readonly dropped = new DropCounts();
  readonly #limits: QueueLimits;
  readonly #clock: Clock;
  readonly #warn: Warn;
  #store: SegmentStore | undefined;
  /** To be moved into as soon as nothing is under way. */
  #folder: QueueFolder | undefined;
  /** The oldest request is sent in parts, some of which may have left: it stays the oldest. */
  #isInParts = false;
  readonly #memory: MemoryEntry[] = [];
  #memoryBytes = 0;
  /** Why the last write failed; undefined when it did not. */
  #failure: DropReason | undefined;
  #taken: Taken | undefined;
  /** The taken one gave way in the meantime: it is dropped when it is not sent. */
  #abandoned: DropReason | undefined;
  #found = 0;
  #damagedAtStart = 0;
  /** Numbers on disk start at 0: before there is one they are below it. */
  #nextSequence = Number.MIN_SAFE_INTEGER;
  #timeBase: number;
  #cancelSync: (() => void) | undefined;
  #isSyncing = false;
  #closing: Promise<void> | undefined;
  #closed: (() => void) | undefined;

  /** In memory, until moveTo(). */
  constructor(limits: QueueLimits, clock: Clock, warn: Warn) {
    this.#limits = limits;
    this.#clock = clock;
    this.#warn = warn;
    this.#timeBase = clock.now() - clock.monotonic();
  }

  /** Requests that came in and have not left. */
  get size(): number {
    const abandoned = this.#abandoned === undefined ? 0 : 1;
    return (this.#store?.count ?? 0) + this.#memory.length + abandoned;
  }

  /** Requests of an earlier agent, those included that turned out to be damaged. */
  get recovered(): number {
    return this.#found + this.#damagedAtStart;
  }

  get bytes(): number {
    return (this.#store?.bytes ?? 0) + this.#memoryBytes;
  }

  get capacity(): number {
    const { maxBytes, memoryBytes } = this.#limits;
    return this.#store === undefined ? Math.min(maxBytes, memoryBytes) : maxBytes;
  }

  get isOnDisk(): boolean {
    return this.#store !== undefined;
  }

  /** It is in memory, and has been given no folder to move to. */
  get needsFolder(): boolean {
    return this.#store === undefined && this.#folder === undefined;
  }

  /** Never throws: what cannot be kept is counted. */
  append(request: Uint8Array): void {
    if (this.#closing !== undefined) {
      this.dropped.add('closed');
      return;
    }
    this.#dropOld();
    if (HEADER_BYTES + request.length > this.capacity) {
      this.dropped.add('queue_full');
      return;
    }
    this.#memory.push({ sequence: this.#nextSequence++, time: this.#time(), request });
    this.#memoryBytes += HEADER_BYTES + request.length;
    this.#spill();
    this.#trimMemory();
  }

  /** The oldest request, until settle() or release(). Undefined when there is none. */
  take(): Taken | undefined {
    if (this.#taken !== undefined) throw new Error('taken already');
    this.#dropOld();
    this.#taken = this.#store?.readFirst() ?? this.#memory[0];
    return this.#taken;
  }

  /** The request behind the one that is taken, which stays where it is; undefined when there is none. */
  peekSecond(): Taken | undefined {
    if (this.#taken === undefined || this.#abandoned !== undefined) return undefined;
    if (this.#store === undefined || this.#store.count === 0) return this.#memory[1];
    return this.#store.readSecond() ?? (this.#store.count === 1 ? this.#memory[0] : undefined);
  }

  /** What was taken has left: it was sent, or is dropped for a reason. */
  settle(result: 'sent' | DropReason): void {
    if (this.#taken === undefined) throw new Error('nothing is taken');
    this.#taken = undefined;
    if (result !== 'sent') this.dropped.add(result);
    if (this.#abandoned !== undefined) this.#abandoned = undefined;
    else this.#removeFirst();
    this.#isInParts = false;
    this.#move();
  }

  /**
   * What was taken stays the oldest, unless it gave way in the meantime.
   * @param isInParts it is on its way in parts, and nothing may come before it
   */
  release(isInParts = false): void {
    if (this.#taken === undefined) throw new Error('nothing is taken');
    this.#taken = undefined;
    this.#isInParts = isInParts && this.#abandoned === undefined;
    if (this.#abandoned !== undefined) this.dropped.add(this.#abandoned);
    this.#abandoned = undefined;
    this.#move();
  }

  /**
   * From now on it is in the folder, behind what is there; while a request is under way it
   * waits for its end. When the folder cannot be used it says so and needs another.
   */
  moveTo(folder: QueueFolder): void {
    if (!this.needsFolder) throw new Error('has a folder');
    this.#folder = folder;
    this.#move();
  }

  /**
   * Puts on disk what can be; the rest of what is in memory is lost and counted.
   * @returns when the folder is free for another
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #close(): Promise<void> {
    if (this.#taken !== undefined) this.release();
    // Whole again: the next agent sends it so.
    this.#isInParts = false;
    this.#move();
    this.#spill();
    this.dropped.add(this.#failure ?? 'shutdown', this.#memory.length);
    this.#memory.length = 0;
    this.#memoryBytes = 0;
    this.#cancelSync?.();
    return new Promise((resolve) => {
      this.#closed = resolve;
      // Its descriptors are in use while a write to the disk is under way.
      if (!this.#isSyncing) this.#finish();
    });
  }

  #finish(): void {
    this.#store?.close();
    this.#closed!();
  }

  /** @throws Error of the file system */
  #open(folder: QueueFolder): void {
    const store = new SegmentStore(folder, this.#limits.segmentBytes, {
      damaged: (entries, uncounted, what) => {
        this.dropped.add('damaged', entries);
        this.#damagedAtStart += uncounted;
        this.#warn('queue_damaged', `${folder.path}: ${what}`);
      },
      failed: (what, cause) => {
        this.#warn('queue_failed', `${folder.path}: cannot ${what}: ${String(cause)}`);
      },
    });
    this.#store = store;
    this.#found = store.count;
    this.#failure = undefined;
    // Never before what is there already: a clock that was set back makes nothing younger than now.
    this.#timeBase = Math.max(this.#timeBase, store.latestTime - this.#clock.monotonic());
    this.#nextSequence = store.nextSequence;
    for (const entry of this.#memory.splice(0)) {
      this.#memory.push({ ...entry, sequence: this.#nextSequence++ });
    }
    this.#spill();
  }

  /** Into the folder that was given, unless that would change what is under way. */
  #move(): void {
    const folder = this.#folder;
    if (folder === undefined || this.#taken !== undefined || this.#isInParts) return;
    this.#folder = undefined;
    try {
      this.#open(folder);
    } catch (cause) {
      folder.close();
      this.#warn('queue_in_memory', `cannot use ${folder.path}: ${String(cause)}`);
    }
  }

  /** Ahead of the calendar when that was set back; never jumps while the agent runs. */
  #time(): number {
    return this.#timeBase + this.#clock.monotonic();
  }

  /** Moves to disk what is in memory, oldest first, as far as the disk takes it. */
  #spill(): void {
    if (this.#store === undefined) return;
    for (let entry = this.#memory[0]; entry !== undefined; entry = this.#memory[0]) {
      const { sequence, time, request } = entry;
      this.#makeRoom(HEADER_BYTES + request.length);
      try {
        this.#store.append(sequence, time, request);
      } catch (cause) {
        this.#failure = reasonOf(cause);
        this.#warn(`queue_${this.#failure}`, `cannot write to the queue: ${String(cause)}`);
        break;
      }
      this.#failure = undefined;
      this.#memory.shift();
      this.#memoryBytes -= HEADER_BYTES + request.length;
    }
    this.#syncSoon();
  }

  #makeRoom(bytes: number): void {
    const store = this.#store!;
    while (store.bytes > 0 && store.bytes + bytes > this.#limits.maxBytes) {
      this.#dropSegment('queue_full');
    }
  }

  /** A full disk takes the newest when the oldest is gone; else the oldest in memory gives way. */
  #trimMemory(): void {
    const limit = Math.min(this.#limits.memoryBytes, this.#limits.maxBytes);
    if (this.#memoryBytes > limit && this.#failure === 'disk_full' && this.#store!.bytes > 0) {
      this.#dropSegment('disk_full');
      this.#spill();
    }
    while (this.#memoryBytes > limit) {
      const reason = this.#failure ?? 'queue_full';
      // What is taken is the oldest of all: in memory only when nothing is on disk.
      if ((this.#store?.count ?? 0) === 0) this.#giveWay(reason, 1);
      else this.dropped.add(reason);
      this.#shiftMemory();
    }
  }

  #dropSegment(reason: DropReason): void {
    this.#giveWay(reason, this.#store!.dropSegment());
  }

  /** Counts the oldest that went; of these the taken one counts later, by what becomes of it. */
  #giveWay(reason: DropReason, count: number): void {
    const isOneTaken = count > 0 && this.#taken !== undefined && this.#abandoned === undefined;
    if (isOneTaken) this.#abandoned = reason;
    this.dropped.add(reason, isOneTaken ? count - 1 : count);
  }

  #dropOld(): void {
    const oldest = this.#time() - this.#limits.maxAgeMs;
    if (this.#taken !== undefined) return;
    for (let first = this.#first(); first !== undefined; first = this.#first()) {
      if (first.time >= oldest) break;
      this.dropped.add('too_old');
      this.#removeFirst();
    }
    if (this.#store?.needsSync) this.#syncSoon();
  }

  #first(): { readonly time: number } | undefined {
    return this.#store?.first() ?? this.#memory[0];
  }

  #removeFirst(): void {
    if (this.#store?.first() === undefined) this.#shiftMemory();
    else this.#store.removeFirst();
    this.#syncSoon();
  }

  #shiftMemory(): void {
    const entry = this.#memory.shift()!;
    this.#memoryBytes -= HEADER_BYTES + entry.request.length;
  }

  #syncSoon(): void {
    if (this.#cancelSync !== undefined || this.#isSyncing || this.#closed !== undefined) return;
    if (!this.#store?.needsSync) return;
    this.#cancelSync = this.#clock.after(this.#limits.syncIntervalMs, () => this.#sync());
  }

  #sync(): void {
    this.#cancelSync = undefined;
    this.#isSyncing = true;
    this.#store!.syncLater(() => {
      this.#isSyncing = false;
      if (this.#closed !== undefined) this.#finish();
      else this.#syncSoon();
    });
  }
}

/** By errno. */
function reasonOf(cause: unknown): DropReason {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code ?? '';
  if (['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code)) return 'disk_full';
  if (['EROFS', 'EACCES', 'EPERM'].includes(code)) return 'read_only';
  return 'disk_error';
}
