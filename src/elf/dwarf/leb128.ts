/** LEB128 numbers in a window of bytes, for loops that keep their own place. */
import { ParseError } from '../source.ts';

/** LEB128 numbers may be padded. */
export const MAX_LEB_SIZE = 16;

export class LebReader {
  /** Index behind the number that was read last. */
  after = 0;
  readonly #where: string;

  /** @param where what the bytes are, for errors */
  constructor(where: string) {
    this.#where = where;
  }

  /** @throws ParseError `leb128` */
  unsigned(bytes: Uint8Array, start: number): number {
    const first = bytes[start]!;
    if (first < 0x80) {
      this.after = start + 1;
      return first;
    }
    let value = 0;
    let scale = 1;
    for (let at = start; at < start + MAX_LEB_SIZE && at < bytes.length; at++) {
      const byte = bytes[at]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        this.after = at + 1;
        return value;
      }
      scale *= 0x80;
    }
    throw this.#endless();
  }

  /** @throws ParseError `leb128` */
  signed(bytes: Uint8Array, start: number): number {
    let value = 0;
    let scale = 1;
    for (let at = start; at < start + MAX_LEB_SIZE && at < bytes.length; at++) {
      const byte = bytes[at]!;
      value += (byte & 0x7f) * scale;
      scale *= 0x80;
      if (byte < 0x80) {
        this.after = at + 1;
        return (byte & 0x40) === 0 ? value : value - scale;
      }
    }
    throw this.#endless();
  }

  #endless(): ParseError {
    return new ParseError('leb128', `a LEB128 number without end in ${this.#where}`);
  }
}
