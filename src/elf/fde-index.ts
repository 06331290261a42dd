/** Finding frame description entries by address. */
import { ByteWindow } from './byte-window.ts';
import type { EntryReader, Fde } from './cfi-entry.ts';
import { Cursor } from './cursor.ts';
import { malformed } from './failure.ts';
import { readEncoded } from './pointer-encoding.ts';
import { type ByteSource, ParseError } from './source.ts';

/** FDEs in ascending order of their start. */
export interface FdeIndex {
  readonly count: number;
  /** Text offset where FDE `index` begins; may be outside the text. */
  start(index: number): number;
  /** Position of FDE `index` in its section. */
  position(index: number): number;
}

/** Index of the last FDE that begins at `offset` or before; -1 when there is none. */
export function findFde(index: FdeIndex, offset: number): number {
  let low = 0;
  let high = index.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (index.start(middle) <= offset) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

const DATA_RELATIVE_SDATA4 = 0x3b;
const UDATA4 = 0x03;
const TABLE_ENTRY = 8;
/** 128 entries: a walk reads on, a bisection does not stay. */
const TABLE_CHUNK = 1024;
/** Places of a table that are looked at before it is believed; the rest is checked in use. */
const TABLE_PROBES = 16;

/** The sorted table of `.eh_frame_hdr`, read in place. */
export class SearchTable implements FdeIndex {
  readonly count: number;
  /** Virtual address of `.eh_frame`. */
  readonly frameAddress: number;
  readonly #window: ByteWindow;
  readonly #cursor = new Cursor();
  readonly #table: number;
  readonly #headerAddress: number;
  readonly #textBase: number;

  /**
   * @throws ParseError `search_table` when there is no table or not in the one
   *   form that all linkers write.
   */
  constructor(header: ByteSource, headerAddress: number, textBase: number) {
    const bytes = header.read(0, Math.min(header.size, 32));
    const cursor = new Cursor().reset(bytes, 0, bytes.length);
    const version = cursor.u8();
    const frameEncoding = cursor.u8();
    const countEncoding = cursor.u8();
    const tableEncoding = cursor.u8();
    if (version !== 1) throw new ParseError('search_table', `version ${version}`);
    this.frameAddress = readEncoded(cursor, frameEncoding, headerAddress + 4, headerAddress);
    if (countEncoding !== UDATA4 || tableEncoding !== DATA_RELATIVE_SDATA4) {
      throw new ParseError('search_table', `encodings ${countEncoding}, ${tableEncoding}`);
    }
    this.count = cursor.u32();
    this.#table = cursor.at;
    this.#headerAddress = headerAddress;
    this.#textBase = textBase;
    if (this.count === 0 || this.#table + this.count * TABLE_ENTRY > header.size) {
      throw new ParseError('search_table', `${this.count} entries in ${header.size} bytes`);
    }
    this.#window = new ByteWindow(header, TABLE_CHUNK, TABLE_CHUNK);
    this.#probe();
  }

  /** A bisection of a table out of order may find nothing anywhere and see no contradiction. */
  #probe(): void {
    let previous = Number.NEGATIVE_INFINITY;
    for (let probe = 0; probe < TABLE_PROBES; probe++) {
      const start = this.start(Math.floor(((this.count - 1) * probe) / (TABLE_PROBES - 1)));
      if (start < previous) throw new ParseError('search_table', 'not in order');
      previous = start;
    }
  }

  start(index: number): number {
    return this.#word(index * TABLE_ENTRY) - this.#textBase;
  }

  position(index: number): number {
    return this.#word(index * TABLE_ENTRY + 4) - this.frameAddress;
  }

  #word(at: number): number {
    const index = this.#window.load(this.#table + at, 4);
    return this.#headerAddress + this.#cursor.reset(this.#window.bytes, index, index + 4).s32();
  }
}

/**
 * Starts are below 2^32, so 21 bits are left for the number of an entry in an
 * exact float: starts and numbers are sorted in one native sort.
 */
const MAX_FDES = 1 << 21;
/** Entries of any kind; large binaries have under a million. */
const MAX_ENTRIES = 1 << 22;

/** An index made by reading a whole section once. */
export class ScannedIndex implements FdeIndex {
  readonly count: number;
  readonly #starts: Uint32Array;
  readonly #positions: Uint32Array;

  private constructor(starts: Uint32Array, positions: Uint32Array) {
    this.count = starts.length;
    this.#starts = starts;
    this.#positions = positions;
  }

  /**
   * Entries that cannot be read are counted through `problem` and left out.
   */
  static scan(
    entries: EntryReader,
    textBase: number,
    textSize: number,
    problem: (reason: string) => void,
  ): ScannedIndex {
    const found = new FoundFdes();
    const { size } = entries.section.bytes;
    // An honest file has each CIE read about once and each FDE once.
    const workLimit = entries.work + 4 * size + (1 << 20);
    const fde = {} as Fde;
    let position = 0;
    let seen = 0;
    try {
      while (position + 4 <= size) {
        if (++seen > MAX_ENTRIES) throw new ParseError('too_many_fdes', `${seen} entries`);
        const header = entries.header(position);
        if (header.kind === 'fde') {
          try {
            entries.fdeBody(header, fde);
            const start = fde.start - textBase;
            // Functions that the linker dropped are left at address 0 in .debug_frame.
            const isDropped = entries.section.format === 'debug_frame' && fde.start === 0;
            if (start >= 0 && start < textSize && fde.end > fde.start && !isDropped) {
              found.add(start, fde.end - fde.start, position);
            }
          } catch (error) {
            problem(malformed(error).reason);
          }
          if (entries.work > workLimit) throw new ParseError('work_limit', 'CIEs overlap');
        }
        position = header.next;
      }
    } catch (error) {
      problem(malformed(error).reason);
    }
    return new ScannedIndex(...found.sorted());
  }

  start(index: number): number {
    return this.#starts[index]!;
  }

  position(index: number): number {
    return this.#positions[index]!;
  }
}

class FoundFdes {
  #count = 0;
  #starts = new Uint32Array(1024);
  #sizes = new Uint32Array(1024);
  #positions = new Uint32Array(1024);

  add(start: number, size: number, position: number): void {
    if (this.#count === MAX_FDES || position > 0xffffffff) {
      throw new ParseError('too_many_fdes', `more than ${MAX_FDES} FDEs`);
    }
    if (this.#count === this.#starts.length) {
      this.#starts = doubled(this.#starts);
      this.#sizes = doubled(this.#sizes);
      this.#positions = doubled(this.#positions);
    }
    this.#starts[this.#count] = start;
    this.#sizes[this.#count] = Math.min(size, 0xffffffff);
    this.#positions[this.#count] = position;
    this.#count++;
  }

  /** Starts and positions by ascending start; of several FDEs with one start the longest. */
  sorted(): [Uint32Array, Uint32Array] {
    const order = new Float64Array(this.#count);
    for (let index = 0; index < this.#count; index++) {
      order[index] = this.#starts[index]! * MAX_FDES + index;
    }
    order.sort();
    const starts = new Uint32Array(this.#count);
    const positions = new Uint32Array(this.#count);
    let count = 0;
    let size = 0;
    for (const key of order) {
      const index = key % MAX_FDES;
      const start = this.#starts[index]!;
      if (count > 0 && starts[count - 1] === start) {
        if (this.#sizes[index]! <= size) continue;
        count--;
      }
      starts[count] = start;
      positions[count] = this.#positions[index]!;
      size = this.#sizes[index]!;
      count++;
    }
    return [starts.slice(0, count), positions.slice(0, count)];
  }
}

function doubled(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(array.length * 2);
  larger.set(array);
  return larger;
}
