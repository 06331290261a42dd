/** One segment file: entries one after the other, written once, read once, then removed. */
import { crc32 } from 'node:zlib';
import {
  decodeHeader,
  type EntryHeader,
  encodeEntry,
  findHeader,
  HEADER_BYTES,
  MAX_REQUEST_BYTES,
} from './entry.ts';
import type { QueueFolder } from './queue-folder.ts';

const EXTENSION = '.queue';

/** What is found at a place in a segment. */
export type Found =
  | { readonly kind: 'entry'; readonly header: EntryHeader; readonly next: number }
  /** Bytes that are no entry, up to `next`; a tail when nothing sound follows. */
  | { readonly kind: 'damage'; readonly next: number; readonly isTail: boolean }
  | { readonly kind: 'end' };

/** Named after its first sequence number, so that names sort as entries do. */
export function segmentName(sequence: number): string {
  return sequence.toString(16).padStart(14, '0') + EXTENSION;
}

export function firstSequence({ name }: Segment): number {
  return Number.parseInt(name, 16);
}

export function isSegmentName(name: string): boolean {
  return /^[0-9a-f]{14}\.queue$/.test(name);
}

export class Segment {
  readonly name: string;
  readonly file: number;
  readonly #folder: QueueFolder;
  /** Bytes of whole entries; what is behind them is a write that failed. */
  size: number;
  /** Entries that are still wanted, at `offset` and behind it. */
  remaining = 0;
  /** Where the first of them is. */
  offset = 0;
  /** Places where no entry was when it was opened, and how many wanted ones are missing there. */
  readonly gaps = new Map<number, number>();

  /** @throws Error of the file system */
  constructor(folder: QueueFolder, name: string, file: number) {
    this.name = name;
    this.file = file;
    this.#folder = folder;
    this.size = folder.size(file);
  }

  /** @throws Error of the file system; then nothing was appended */
  append(sequence: number, time: number, request: Uint8Array): void {
    const entry = encodeEntry(sequence, time, request);
    let written = 0;
    while (written < entry.length) {
      const rest = written === 0 ? entry : entry.subarray(written);
      const count = this.#folder.write(this.file, rest, this.size + written);
      if (count <= 0) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
      written += count;
    }
    this.size += entry.length;
    this.remaining++;
  }

  /** Cuts what a failed append left. @throws Error of the file system */
  cut(): void {
    this.#folder.truncate(this.file, this.size);
  }

  /** @throws Error of the file system */
  find(at: number): Found {
    if (at >= this.size) return { kind: 'end' };
    const bytes = Buffer.allocUnsafe(HEADER_BYTES);
    const count = this.#folder.read(this.file, bytes, at);
    const header = decodeHeader(bytes.subarray(0, count), 0);
    if (header !== undefined && at + HEADER_BYTES + header.length <= this.size) {
      return { kind: 'entry', header, next: at + HEADER_BYTES + header.length };
    }
    const rest = this.bytes(at, this.size);
    const sound = findHeader(rest, 1);
    return sound < 0
      ? { kind: 'damage', next: this.size, isTail: true }
      : { kind: 'damage', next: at + sound, isTail: false };
  }

  /** The request of an entry; undefined when it is not as it was written. @throws Error of the file system */
  request(at: number, header: EntryHeader): Buffer | undefined {
    const request = this.bytes(at + HEADER_BYTES, at + HEADER_BYTES + header.length);
    return request.length === header.length && crc32(request) === header.checksum
      ? request
      : undefined;
  }

  /** @throws Error of the file system */
  bytes(from: number, to: number): Buffer {
    const bytes = Buffer.allocUnsafe(Math.min(to - from, MAX_REQUEST_BYTES));
    return bytes.subarray(0, this.#folder.read(this.file, bytes, from));
  }
}
