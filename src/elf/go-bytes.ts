/** Little-endian reading of a large table that stays in its file. */
import { type ByteSource, ParseError } from './source.ts';

const PAGE_SHIFT = 12;
const PAGE = 1 << PAGE_SHIFT;
/** 1 MiB for an open table. */
const DEFAULT_PAGES = 256;
/** Names and paths of Go programs; longer ones are cut. */
const MAX_STRING = 4096;

/**
 * Numbers and strings at any place of a ByteSource. Keeps a bounded,
 * direct-mapped set of pages: a bisection or a varint costs no read per byte,
 * and finding a page costs no bookkeeping (an LRU list would cost more than
 * what it saves on look-ups that jump between five places of a table).
 */
export class GoBytes {
  readonly size: number;
  readonly #source: ByteSource;
  readonly #tags: Int32Array;
  readonly #pages: (Uint8Array | undefined)[];
  readonly #mask: number;
  /** Where the last varint ended. */
  #next = 0;

  /** `pages` is a power of two; a page has 4 KiB. */
  constructor(source: ByteSource, pages: number = DEFAULT_PAGES) {
    if (source.size >= 2 ** 31) {
      throw new ParseError('go_table_size', `a Go table of ${source.size} bytes`);
    }
    this.size = source.size;
    this.#source = source;
    this.#tags = new Int32Array(pages).fill(-1);
    this.#pages = new Array<Uint8Array | undefined>(pages);
    this.#mask = pages - 1;
  }

  /** @throws ParseError `out_of_bounds`, as all readers here. */
  u8(offset: number): number {
    const byte = this.#page(offset)[offset & (PAGE - 1)];
    if (byte === undefined) throw outside(offset, 1, this.size);
    return byte;
  }

  u32(offset: number): number {
    const at = offset & (PAGE - 1);
    if (at > PAGE - 4) {
      return (
        (this.u8(offset) |
          (this.u8(offset + 1) << 8) |
          (this.u8(offset + 2) << 16) |
          (this.u8(offset + 3) << 24)) >>>
        0
      );
    }
    const page = this.#page(offset);
    if (at + 4 > page.length) throw outside(offset, 4, this.size);
    return (page[at]! | (page[at + 1]! << 8) | (page[at + 2]! << 16) | (page[at + 3]! << 24)) >>> 0;
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

  /** A NUL-terminated string that ends before `limit`, cut after 4,096 bytes. */
  string(offset: number, limit: number): string {
    const length = Math.min(limit - offset, MAX_STRING);
    if (!(length > 0)) throw outside(offset, 1, limit);
    const at = offset & (PAGE - 1);
    const page = this.#page(offset);
    const end = page.indexOf(0, at);
    if (end >= 0 && end - at <= length) return text(page, at, end);
    const bytes = this.#source.read(offset, Math.min(length, this.size - offset));
    const stop = bytes.indexOf(0);
    return text(bytes, 0, stop < 0 ? bytes.length : stop);
  }

  #page(offset: number): Uint8Array {
    if (!(offset >= 0 && offset < this.size)) throw outside(offset, 1, this.size);
    const number = offset >>> PAGE_SHIFT;
    const slot = number & this.#mask;
    if (this.#tags[slot] === number) return this.#pages[slot]!;
    const start = number << PAGE_SHIFT;
    const page = this.#source.read(start, Math.min(PAGE, this.size - start)).slice();
    this.#pages[slot] = page;
    this.#tags[slot] = number;
    return page;
  }
}

const outside = (offset: number, length: number, size: number): ParseError =>
  new ParseError('out_of_bounds', `${length} bytes at ${offset} are outside the ${size} there are`);

function text(bytes: Uint8Array, start: number, end: number): string {
  // A Buffer's slice is a Buffer, and only its own method decodes without a copy.
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
}
