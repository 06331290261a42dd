/**
 * The raw record stream in a file, for replay through the same code as live
 * records. Layout, version 4 (it rises with every change of bpf/record.h): the
 * magic line, then chunks of {u32 kind,
 * u32 length, bytes, padding to 8}.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';

/** A recording cannot be written, or is none: the message says which file and why, in one line. */
export class RecordingError extends Error {
  override readonly name = 'RecordingError';
}

const MAGIC = new TextEncoder().encode('flametap records 4\n\0\0\0\0\0');
const CHUNK_HEADER = 8;

export const ChunkKind = {
  /** JSON: how and when it was recorded. */
  About: 1,
  /** Records of bpf/record.h as drained. */
  Records: 2,
  /** perf records of the side band. */
  Sideband: 3,
  /** JSON: something read from the machine meanwhile. */
  Snapshot: 4,
  /** JSON: the kernel's counters at the end. */
  Counters: 5,
} as const;

export interface About {
  readonly hz: number;
  /** Wall clock at the start, nanoseconds since 1970, in decimal. */
  readonly startTime: string;
  readonly host: string;
  /** Labels that were looked for. */
  readonly labels: readonly string[];
}

export class RecordingWriter {
  readonly #path: string;
  readonly #fd: number;

  /** @throws Error when the file cannot be made */
  constructor(path: string, about: About) {
    this.#path = path;
    this.#fd = openSync(path, 'w', 0o600);
    try {
      this.#write(MAGIC);
      this.writeJson(ChunkKind.About, about);
    } catch (cause) {
      closeSync(this.#fd);
      throw cause;
    }
  }

  writeJson(kind: number, value: unknown): void {
    this.write(kind, new TextEncoder().encode(JSON.stringify(value, inDigits)));
  }

  /** @throws Error naming the file, when the disk is full */
  write(kind: number, bytes: Uint8Array): void {
    const padded = new Uint8Array(CHUNK_HEADER + ((bytes.length + 7) & ~7));
    const view = new DataView(padded.buffer);
    view.setUint32(0, kind, true);
    view.setUint32(4, bytes.length, true);
    padded.set(bytes, CHUNK_HEADER);
    this.#write(padded);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #write(bytes: Uint8Array): void {
    try {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.#fd, bytes, done, bytes.length - done);
      }
    } catch (cause) {
      throw new RecordingError(
        `cannot write records to ${this.#path}: ${(cause as Error).message}`,
        { cause },
      );
    }
  }
}

/** JSON has no integers beyond doubles. */
const inDigits = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? String(value) : value;

export interface Chunk {
  readonly kind: number;
  /** Only valid until the next chunk; its buffer begins with it. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Larger than any chunk we write: a length beyond it is a broken file. */
const MAX_CHUNK = 64 << 20;

/** Chunks of a recording, in order. @throws Error when it is not one, or ends in the middle of a chunk */
export function* readRecording(path: string): Generator<Chunk> {
  const fd = openSync(path, 'r');
  try {
    const magic = new Uint8Array(MAGIC.length);
    if (fill(fd, magic) !== magic.length || magic.some((byte, i) => byte !== MAGIC[i])) {
      throw new RecordingError(`${path} is not a recording of flametap (or of another version)`);
    }
    const header = new Uint8Array(CHUNK_HEADER);
    const view = new DataView(header.buffer);
    let buffer = new ArrayBuffer(1 << 20);
    for (;;) {
      const got = fill(fd, header);
      if (got === 0) return;
      const length = view.getUint32(4, true);
      const padded = (length + 7) & ~7;
      if (got !== CHUNK_HEADER || length > MAX_CHUNK)
        throw new RecordingError(`${path} is damaged`);
      if (padded > buffer.byteLength) buffer = new ArrayBuffer(padded);
      if (fill(fd, new Uint8Array(buffer, 0, padded)) !== padded) {
        throw new RecordingError(`${path} ends in the middle of a chunk`);
      }
      yield { kind: view.getUint32(0, true), bytes: new Uint8Array(buffer, 0, length) };
    }
  } finally {
    closeSync(fd);
  }
}

function fill(fd: number, into: Uint8Array): number {
  let done = 0;
  while (done < into.length) {
    const count = readSync(fd, into, done, into.length - done, null);
    if (count === 0) break;
    done += count;
  }
  return done;
}
