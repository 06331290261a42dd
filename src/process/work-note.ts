/**
 * Which file a thread is at work on, where others can read it when the thread has ended: a
 * message would be lost when its heap is exhausted. Files that have ended threads are refused.
 */
import { createHash } from 'node:crypto';
import type { FileState } from '../elf/file-access.ts';
import { type FileKey, fileKey } from '../units/units.ts';

/** A file that is not to be read. */
export interface RefusedFile {
  readonly key: FileKey;
  /** Milliseconds from now. */
  readonly forMs: number;
}

/** Of a file as it is now: written to, it has another one. */
export function keyOf({ device, inode, changedNs, modifiedNs, size }: FileState): FileKey {
  const text = `${device}:${inode}:${changedNs}:${modifiedNs}:${size}`;
  // 48 bits are exact in a number, and 0 says that there is no file.
  return fileKey(createHash('sha1').update(text).digest().readUIntBE(0, 6) || 1);
}

const NO_FILE = fileKey(0);

export class WorkNote {
  readonly #file: Float64Array;
  readonly #clock: () => number;
  readonly #refusedUntil: ReadonlyMap<FileKey, number>;

  /** @param shared of the size that memory() has */
  constructor(
    shared = WorkNote.memory(),
    refused: readonly RefusedFile[] = [],
    clock = () => performance.now(),
  ) {
    this.#file = new Float64Array(shared);
    this.#clock = clock;
    this.#refusedUntil = new Map(refused.map(({ key, forMs }) => [key, clock() + forMs]));
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT);
  }

  /** What whoever writes to `shared` is, or was, at work on; undefined between two files. */
  static read(shared: SharedArrayBuffer): FileKey | undefined {
    const key = fileKey(new Float64Array(shared)[0]!);
    return key === NO_FILE ? undefined : key;
  }

  /** Whether reading it has ended threads. */
  isRefused(key: FileKey): boolean {
    const until = this.#refusedUntil.get(key);
    return until !== undefined && this.#clock() < until;
  }

  /** Runs what reads a file, or uses what was read. */
  during<Result>(key: FileKey, work: () => Result): Result {
    const before = this.#file[0]!;
    this.#file[0] = key;
    try {
      return work();
    } finally {
      // Not reached when the thread is ended within.
      this.#file[0] = before;
    }
  }
}
