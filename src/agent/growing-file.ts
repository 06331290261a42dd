/** Files that a process writes while they are read: perf maps and jitdumps. */
import { closeSync, fstatSync, readSync } from 'node:fs';
import { JitDump } from '../symbolize/jit-dump.ts';
import { PerfMap } from '../symbolize/perf-map.ts';

const CHUNK = 256 * 1024;
/**
 * Bytes of a map taken in at once, about 0.3 s of work: of a larger one the
 * end, because what runs now was mostly written late.
 */
const MAX_MAP_BYTES = 32 << 20;
/** Bytes of a dump gone through at once, most of which is code and not read. */
const MAX_DUMP_BYTES = 256 << 20;
/** Of what was read last: told apart from a map that was written anew. */
const REMEMBERED = 64;

/** Follows one perf map; `map` has what was read so far. */
export class GrowingPerfMap {
  readonly #fd: number;
  readonly #chunk: Uint8Array;
  #map = new PerfMap();
  #read = 0;
  #lastBytes = new Uint8Array();

  /** @param chunk Shared between files. */
  constructor(fd: number, chunk: Uint8Array) {
    this.#fd = fd;
    this.#chunk = chunk;
  }

  get map(): PerfMap {
    return this.#map;
  }

  /** Takes in what was written since. @throws Error when the file system refuses */
  readOn(): void {
    const { size } = fstatSync(this.#fd);
    if (size < this.#read || !this.#isContinued()) this.#startAnew();
    if (size - this.#read > MAX_MAP_BYTES) {
      const from = size - MAX_MAP_BYTES;
      this.#map.skip(from - this.#read);
      this.#read = from;
    }
    const before = this.#read;
    while (this.#read < size) {
      const length = Math.min(this.#chunk.length, size - this.#read);
      const count = readSync(this.#fd, this.#chunk, 0, length, this.#read);
      if (count === 0) break;
      this.#map.append(this.#chunk.subarray(0, count));
      this.#read += count;
    }
    if (this.#read > before) this.#lastBytes = this.#before(this.#read);
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** Java's `jcmd Compiler.perfmap` empties the file and writes all of it again. */
  #isContinued(): boolean {
    const now = this.#before(this.#read);
    return now.length === this.#lastBytes.length && this.#lastBytes.every((b, i) => b === now[i]);
  }

  #startAnew(): void {
    this.#map = new PerfMap();
    this.#read = 0;
    this.#lastBytes = new Uint8Array();
  }

  #before(position: number): Uint8Array<ArrayBuffer> {
    const length = Math.min(position, REMEMBERED);
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, readSync(this.#fd, bytes, 0, length, position - length));
  }
}

/** Follows one jitdump. */
export class GrowingJitDump {
  readonly dump = new JitDump();
  readonly #fd: number;
  readonly #chunk: Uint8Array;
  /** Where `#chunk` was read from; only true during one readOn(), as it is shared. */
  #chunkStart = 0;
  #chunkLength = 0;

  constructor(fd: number, chunk: Uint8Array) {
    this.#fd = fd;
    this.#chunk = chunk;
  }

  /** Takes in what was written since. @throws Error when the file system refuses */
  readOn(): void {
    this.#chunkLength = 0;
    const { size } = fstatSync(this.#fd);
    const end = Math.min(size, this.dump.position + MAX_DUMP_BYTES);
    this.dump.advance((position, length) => this.#bytes(position, length), end);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #bytes(position: number, length: number): Uint8Array {
    const at = position - this.#chunkStart;
    if (at >= 0 && at + length <= this.#chunkLength) return this.#chunk.subarray(at, at + length);
    if (length > this.#chunk.length) {
      const bytes = new Uint8Array(length);
      if (readSync(this.#fd, bytes, 0, length, position) !== length) throw shrunk();
      return bytes;
    }
    this.#chunkStart = position;
    this.#chunkLength = readSync(this.#fd, this.#chunk, 0, this.#chunk.length, position);
    if (this.#chunkLength < length) throw shrunk();
    return this.#chunk.subarray(0, length);
  }
}

export const newChunk = (): Uint8Array => new Uint8Array(CHUNK);

const shrunk = (): Error => new Error('the file became shorter while it was read');
