/** Files that a process writes while they are read: perf maps and jitdumps. */
import { directAccess, type FileAccess } from '../elf/file-access.ts';
import type { CodePages } from '../symbolize/code-pages.ts';
import { JIT_CODE_LIMITS } from '../symbolize/jit-code.ts';
import { JitDump } from '../symbolize/jit-dump.ts';
import type { JitSymbol } from '../symbolize/jit-name.ts';
import { PerfMap } from '../symbolize/perf-map.ts';
import type { ProcessAddress } from '../units/units.ts';

const CHUNK = 256 * 1024;
/** Of what was read last: told apart from a file that was written anew. */
const REMEMBERED = 64;

/** One way through a file from its beginning, keeping the code in some pages. */
export interface CodeScan {
  readonly pages: CodePages;
  /** Memory that it takes, about. */
  readonly bytes: number;
  /** What was refused, by reason. */
  readonly problems: ReadonlyMap<string, number>;
  /** Pages from which code was moved into `pages`: without them it has no name. */
  readonly sources: ReadonlySet<number>;
  /**
   * Goes on to `size`. @returns false when `isSpent` stopped it before
   * @throws Error when the file system refuses
   */
  readOn(fd: number, size: number, isSpent: () => boolean): boolean;
  /** False when what was read is no longer there. */
  isContinued(fd: number, size: number): boolean;
  lookup(address: ProcessAddress): JitSymbol | undefined;
}

/** Tells whether a file still has, before a position, what it had. */
class LastBytes {
  readonly #files: FileAccess;
  #bytes = new Uint8Array();

  constructor(files: FileAccess) {
    this.#files = files;
  }

  note(fd: number, position: number): void {
    this.#bytes = this.#before(fd, position);
  }

  /** Java's `jcmd Compiler.perfmap` empties the file and writes all of it again. */
  isThere(fd: number, position: number, size: number): boolean {
    if (size < position) return false;
    const now = this.#before(fd, position);
    return now.length === this.#bytes.length && this.#bytes.every((b, i) => b === now[i]);
  }

  #before(fd: number, position: number): Uint8Array<ArrayBuffer> {
    const length = Math.min(position, REMEMBERED);
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, this.#files.read(fd, bytes, position - length));
  }
}

export class PerfMapScan implements CodeScan {
  readonly pages: CodePages;
  readonly sources: ReadonlySet<number> = new Set();
  readonly #chunk: Uint8Array;
  readonly #map: PerfMap;
  readonly #files: FileAccess;
  readonly #last: LastBytes;
  #position = 0;

  /** @param chunk Shared between files. @param files by which they are opened */
  constructor(pages: CodePages, chunk: Uint8Array, files = directAccess) {
    this.pages = pages;
    this.#files = files;
    this.#last = new LastBytes(files);
    this.#chunk = chunk;
    this.#map = new PerfMap(JIT_CODE_LIMITS, pages);
  }

  get bytes(): number {
    return this.#map.bytes;
  }

  get problems(): ReadonlyMap<string, number> {
    return this.#map.problems;
  }

  readOn(fd: number, size: number, isSpent: () => boolean): boolean {
    const begun = this.#position;
    while (this.#position < size && !isSpent()) {
      const length = Math.min(this.#chunk.length, size - this.#position);
      const count = this.#files.read(fd, this.#chunk.subarray(0, length), this.#position);
      if (count === 0) break;
      this.#map.append(this.#chunk.subarray(0, count));
      this.#position += count;
    }
    if (this.#position > begun) this.#last.note(fd, this.#position);
    return this.#position >= size;
  }

  isContinued(fd: number, size: number): boolean {
    return this.#last.isThere(fd, this.#position, size);
  }

  lookup(address: ProcessAddress): JitSymbol | undefined {
    return this.#map.lookup(address);
  }
}

export class JitDumpScan implements CodeScan {
  readonly pages: CodePages;
  readonly #chunk: Uint8Array;
  readonly #dump: JitDump;
  readonly #files: FileAccess;
  readonly #last: LastBytes;
  /** Where `#chunk` was read from; only true during one readOn(), as it is shared. */
  #chunkStart = 0;
  #chunkLength = 0;

  constructor(pages: CodePages, chunk: Uint8Array, files = directAccess) {
    this.pages = pages;
    this.#files = files;
    this.#last = new LastBytes(files);
    this.#chunk = chunk;
    this.#dump = new JitDump(JIT_CODE_LIMITS, pages);
  }

  get bytes(): number {
    return this.#dump.bytes;
  }

  get problems(): ReadonlyMap<string, number> {
    return this.#dump.problems;
  }

  get sources(): ReadonlySet<number> {
    return this.#dump.sources;
  }

  readOn(fd: number, size: number, isSpent: () => boolean): boolean {
    if (this.#dump.position < size && isSpent()) return false;
    this.#chunkLength = 0;
    const begun = this.#dump.position;
    const read = (position: number, length: number) => this.#bytes(fd, position, length);
    const isAtEnd = this.#dump.advance(read, size, isSpent);
    if (this.#dump.position > begun) this.#last.note(fd, this.#dump.position);
    return isAtEnd;
  }

  isContinued(fd: number, size: number): boolean {
    return this.#last.isThere(fd, this.#dump.position, size);
  }

  lookup(address: ProcessAddress): JitSymbol | undefined {
    return this.#dump.lookup(address);
  }

  #bytes(fd: number, position: number, length: number): Uint8Array {
    const at = position - this.#chunkStart;
    if (at >= 0 && at + length <= this.#chunkLength) return this.#chunk.subarray(at, at + length);
    if (length > this.#chunk.length) {
      const bytes = new Uint8Array(length);
      if (this.#files.read(fd, bytes, position) !== length) throw shrunk();
      return bytes;
    }
    this.#chunkStart = position;
    this.#chunkLength = this.#files.read(fd, this.#chunk, position);
    if (this.#chunkLength < length) throw shrunk();
    return this.#chunk.subarray(0, length);
  }
}

/** A Buffer, because it finds the end of a line thirty times as fast as an Uint8Array. */
export const newChunk = (): Uint8Array => Buffer.allocUnsafeSlow(CHUNK);

const shrunk = (): Error => new Error('the file became shorter while it was read');
