/** Reads little-endian and LEB128 numbers from bytes, never beyond their end. */
import { ParseError } from './source.ts';

const WORD = 0x1_0000_0000;
/** 64 bits take ten bytes of seven. */
const MAX_LEB_BYTES = 10;

export class Cursor {
  bytes: Uint8Array = new Uint8Array();
  /** Next byte to read. */
  at = 0;
  /** First byte not to read. */
  end = 0;

  reset(bytes: Uint8Array, at: number, end: number): this {
    if (!(at >= 0 && at <= end && end <= bytes.length)) throw truncated();
    this.bytes = bytes;
    this.at = at;
    this.end = end;
    return this;
  }

  get left(): number {
    return this.end - this.at;
  }

  u8(): number {
    if (this.at >= this.end) throw truncated();
    return this.bytes[this.at++]!;
  }

  u16(): number {
    const low = this.u8();
    return low | (this.u8() << 8);
  }

  u32(): number {
    const at = this.at;
    if (at + 4 > this.end) throw truncated();
    const bytes = this.bytes;
    this.at = at + 4;
    return (
      (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
    );
  }

  s32(): number {
    return this.u32() | 0;
  }

  /** Rounded above 2^53, where no address of a file can be. */
  u64(): number {
    const low = this.u32();
    return low + this.u32() * WORD;
  }

  /** Rounded beyond ±2^53. */
  s64(): number {
    const low = this.u32();
    return low + this.s32() * WORD;
  }

  /** Rounded above 2^53. */
  uleb(): number {
    const first = this.u8();
    if (first < 0x80) return first;
    let value = first & 0x7f;
    let scale = 0x80;
    for (let count = 1; count < MAX_LEB_BYTES; count++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new ParseError('leb128', 'a LEB128 number of more than ten bytes');
  }

  /** Rounded beyond ±2^53. */
  sleb(): number {
    const first = this.u8();
    if (first < 0x80) return (first << 25) >> 25;
    let value = first & 0x7f;
    let scale = 0x80;
    for (let count = 1; count < MAX_LEB_BYTES; count++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      scale *= 0x80;
      if (byte < 0x80) return (byte & 0x40) === 0 ? value : value - scale;
    }
    throw new ParseError('leb128', 'a LEB128 number of more than ten bytes');
  }

  /** A copy of `length` bytes. */
  block(length: number): Uint8Array {
    if (!(length <= this.left)) throw truncated();
    this.at += length;
    return this.bytes.slice(this.at - length, this.at);
  }

  skip(length: number): void {
    if (!(length <= this.left)) throw truncated();
    this.at += length;
  }
}

const truncated = (): ParseError => new ParseError('truncated', 'the data ends within an entry');
