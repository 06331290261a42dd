/** Reads numbers and texts at arbitrary places of a section: for what is read a few times per hit. */
import { type ByteSource, fill, ParseError } from '../source.ts';

const WORD = 0x1_0000_0000;
const MAX_LEB_BYTES = 16;
const WINDOW = 4096;
/** Mangled names of expression templates reach tens of thousands of characters. */
const MAX_TEXT = 1 << 16;
/** Units repeat names: files, templates of the standard library. */
const MAX_TEXTS = 20_000;

export class SectionReader {
  readonly name: string;
  readonly size: number;
  /** Next byte to read. */
  at = 0;
  readonly #source: ByteSource;
  readonly #bytes = new Uint8Array(WINDOW);
  #base = 0;
  #filled = 0;
  readonly #texts = new Map<number, string>();

  constructor(name: string, source: ByteSource) {
    this.name = name;
    this.#source = source;
    this.size = source.size;
  }

  seek(at: number): this {
    if (!(at >= 0 && at <= this.size)) throw this.#outside(at);
    this.at = at;
    return this;
  }

  skip(length: number): void {
    this.seek(this.at + length);
  }

  u8(): number {
    const index = this.#load(1);
    return this.#bytes[index]!;
  }

  u16(): number {
    const index = this.#load(2);
    return this.#bytes[index]! | (this.#bytes[index + 1]! << 8);
  }

  u24(): number {
    const low = this.u16();
    return low | (this.u8() << 16);
  }

  u32(): number {
    const at = this.#load(4);
    const bytes = this.#bytes;
    return (
      (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
    );
  }

  /** Rounded above 2^53, where no offset or address of a file can be. */
  u64(): number {
    const low = this.u32();
    return low + this.u32() * WORD;
  }

  exact64(): bigint {
    const low = BigInt(this.u32());
    return low | (BigInt(this.u32()) << 32n);
  }

  /** 4 or 8 bytes. */
  word(size: number): number {
    return size === 8 ? this.u64() : this.u32();
  }

  /** Rounded above 2^53. */
  uleb(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < MAX_LEB_BYTES; count++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new ParseError('leb128', `a LEB128 number without end in ${this.name}`);
  }

  /** Rounded beyond ±2^53. */
  sleb(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < MAX_LEB_BYTES; count++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      scale *= 0x80;
      if (byte < 0x80) return (byte & 0x40) === 0 ? value : value - scale;
    }
    throw new ParseError('leb128', `a LEB128 number without end in ${this.name}`);
  }

  /** Text up to its zero byte; what is beyond 64 KiB is cut. Leaves `at` anywhere. */
  text(): string {
    const start = this.at;
    const known = this.#texts.get(start);
    if (known !== undefined) return known;
    const text = this.#readText();
    if (this.#texts.size >= MAX_TEXTS) this.#texts.clear();
    this.#texts.set(start, text);
    return text;
  }

  #readText(): string {
    const start = this.at;
    const length = this.#textLength();
    if (length <= WINDOW) {
      this.at = start;
      const index = this.#load(length);
      this.at++;
      return decode(this.#bytes.subarray(index, index + length));
    }
    const bytes = this.#source.read(start, Math.min(length, MAX_TEXT));
    return decode(bytes);
  }

  /** Moves behind the zero byte. */
  skipText(): void {
    this.#textLength();
  }

  #textLength(): number {
    const start = this.at;
    for (;;) {
      if (this.at >= this.size) throw this.#outside(this.at);
      const index = this.#load(1);
      const end = this.#bytes.indexOf(0, index);
      if (end >= 0 && end < this.#filled) {
        this.at = this.#base + end + 1;
        return this.at - 1 - start;
      }
      this.at = this.#base + this.#filled;
    }
  }

  /** Index in #bytes of `length` (at most WINDOW) bytes at `at`, which moves on. */
  #load(length: number): number {
    const index = this.at - this.#base;
    if (index < 0 || index + length > this.#filled) return this.#refill(length);
    this.at += length;
    return index;
  }

  /** Past the source's own cache, whose blocks would be made anew for each text far away. */
  #refill(length: number): number {
    const base = this.at;
    if (base + length > this.size) throw this.#outside(base + length);
    const count = Math.min(WINDOW, this.size - base);
    this.#filled = 0;
    fill(this.#source, base, count === WINDOW ? this.#bytes : this.#bytes.subarray(0, count));
    this.#base = base;
    this.#filled = count;
    this.at += length;
    return 0;
  }

  #outside(at: number): ParseError {
    return new ParseError('truncated', `${at} is outside the ${this.size} bytes of ${this.name}`);
  }
}

function decode(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}
