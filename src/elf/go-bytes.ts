/** Little-endian reading of a large table that stays in its file. */
import { type GoPages, PAGE, PAGE_SHIFT, type PageOwner } from './go-pages.ts';
import { type ByteSource, fill, ParseError } from './source.ts';

/** Names and paths of Go programs; longer ones are cut. */
const MAX_STRING = 4096;

/** Numbers and strings at any place of a ByteSource, whose pages are read when they are needed. */
export class GoBytes implements PageOwner {
  readonly size: number;
  readonly #source: ByteSource;
  readonly #pages: GoPages;
  /** Where in the store each page is, -1 = not there. */
  readonly #places: Int32Array;
  /** Where the last varint ended. */
  #next = 0;

  /** @throws ParseError `go_table_size`. */
  constructor(source: ByteSource, pages: GoPages) {
    if (source.size >= 2 ** 31) {
      throw new ParseError('go_table_size', `a Go table of ${source.size} bytes`);
    }
    this.size = source.size;
    this.#source = source;
    this.#pages = pages;
    this.#places = new Int32Array(Math.ceil(source.size / PAGE)).fill(-1);
  }

  /** @throws ParseError `out_of_bounds`, as all readers here. */
  u8(offset: number): number {
    const at = this.#place(offset);
    return this.#pages.memory[at]!;
  }

  u32(offset: number): number {
    const last = offset + 3;
    if (last >= this.size || (offset & (PAGE - 1)) > PAGE - 4) {
      const low = this.u8(offset) | (this.u8(offset + 1) << 8);
      return (low | (this.u8(offset + 2) << 16) | (this.u8(last) << 24)) >>> 0;
    }
    const at = this.#place(offset);
    if ((at & 3) === 0) return this.#pages.words[at >>> 2]! >>> 0;
    const { memory } = this.#pages;
    const low = memory[at]! | (memory[at + 1]! << 8);
    return (low | (memory[at + 2]! << 16) | (memory[at + 3]! << 24)) >>> 0;
  }

  /** Exact below 2^53; larger values are never plausible here and lose low bits. */
  u64(offset: number): number {
    return this.u32(offset) + this.u32(offset + 4) * 2 ** 32;
  }

  /** Base-128 number of at most 32 bits; `next` says where it ended. */
  varint(offset: number): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.u8(offset++);
      value |= (byte & 127) << shift;
      if (byte < 128) {
        this.#next = offset;
        return value >>> 0;
      }
    }
    throw new ParseError('go_varint', `a number of more than 32 bits before ${offset}`);
  }

  get next(): number {
    return this.#next;
  }

  /**
   * The value that a pc-value table at `offset` has for the instruction
   * `distance` quanta after the function's entry; undefined when it ends before.
   * (see go-tables.ts; here because it is what look-ups spend their time on)
   * @throws ParseError `out_of_bounds`, `go_varint`, `go_pc_value`.
   */
  pcValue(offset: number, distance: number): number | undefined {
    let value = -1;
    let end = 0;
    while (end <= distance) {
      let at = this.#place(offset);
      const { memory } = this.#pages;
      // Pairs that surely end in this page: two numbers of at most five bytes.
      const safe = at + Math.min(PAGE - (offset & (PAGE - 1)), this.size - offset) - 10;
      const start = at;
      while (at <= safe && end <= distance) {
        let difference = memory[at++]!;
        if (difference >= 128) {
          difference &= 127;
          let byte = 128;
          for (let shift = 7; byte >= 128; shift += 7) {
            if (shift > 28) throw tooLong(offset);
            byte = memory[at++]!;
            difference |= (byte & 127) << shift;
          }
        }
        // Zero ends the table, except first, where it says "the value is -1".
        if (difference === 0 && end > 0) return undefined;
        value = (value + ((difference >>> 1) ^ -(difference & 1))) | 0;
        let length = memory[at++]!;
        if (length >= 128) {
          length &= 127;
          let byte = 128;
          for (let shift = 7; byte >= 128; shift += 7) {
            if (shift > 28) throw tooLong(offset);
            byte = memory[at++]!;
            length |= (byte & 127) << shift;
          }
          length >>>= 0;
        }
        if (length === 0) throw new ParseError('go_pc_value', `an empty range near ${offset}`);
        end += length;
      }
      offset += at - start;
      if (end > distance) break;
      const difference = this.varint(offset);
      if (difference === 0 && end > 0) return undefined;
      value = (value + ((difference >>> 1) ^ -(difference & 1))) | 0;
      const length = this.varint(this.#next);
      if (length === 0) throw new ParseError('go_pc_value', `an empty range near ${offset}`);
      end += length;
      offset = this.#next;
    }
    return value;
  }

  /** A NUL-terminated string that ends before `limit`, cut after 4,096 bytes. */
  string(offset: number, limit: number): string {
    const length = Math.min(limit - offset, MAX_STRING);
    if (!(length > 0)) throw outside(offset, 1, limit);
    const start = this.#place(offset);
    const { memory } = this.#pages;
    const stop = start + Math.min(length, PAGE - (offset & (PAGE - 1)), this.size - offset);
    let bits = 0;
    for (let at = start; at < stop; at++) {
      const byte = memory[at]!;
      if (byte === 0) {
        return memory.toString(bits < 128 ? 'latin1' : 'utf8', start, at);
      }
      bits |= byte;
    }
    const bytes = Buffer.alloc(Math.min(length, this.size - offset));
    fill(this.#source, offset, bytes);
    const end = bytes.indexOf(0);
    return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
  }

  evicted(page: number): void {
    this.#places[page] = -1;
  }

  /** Index of a byte in the store, its page present. */
  #place(offset: number): number {
    if (!(offset >= 0 && offset < this.size)) throw outside(offset, 1, this.size);
    const page = offset >>> PAGE_SHIFT;
    const start = this.#places[page]!;
    return (start < 0 ? this.#load(page) : start) | (offset & (PAGE - 1));
  }

  #load(page: number): number {
    const start = this.#pages.add(this, page, this.#fill);
    this.#places[page] = start;
    return start;
  }

  readonly #fill = (page: number, target: Uint8Array): void => {
    const start = page << PAGE_SHIFT;
    const length = Math.min(PAGE, this.size - start);
    fill(this.#source, start, target.subarray(0, length));
  };
}

const outside = (offset: number, length: number, size: number): ParseError =>
  new ParseError('out_of_bounds', `${length} bytes at ${offset} are outside the ${size} there are`);

const tooLong = (offset: number): ParseError =>
  new ParseError('go_varint', `a number of more than 32 bits near ${offset}`);
