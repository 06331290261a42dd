/**
 * Protobuf messages into one growing buffer. protobufjs has such a writer too;
 * it takes 1.2 to 1.7 times as long for samples, stacks and names, needs an object
 * for each number of more than 53 bits, and begins at 128 bytes and doubles, where
 * here the caller says about how much it will be.
 */

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
/** Longest varint: 64 bits in groups of 7. */
const MAX_VARINT = 10;
/** Texts below are written byte by byte: a call into V8's encoder costs as much as 30 characters. */
const SHORT_TEXT = 32;

export class ProtobufWriter {
  #bytes: Buffer<ArrayBuffer>;
  #at = 0;
  readonly #marks: number[] = [];

  /** @param expected bytes of the whole message, about; more than that costs a copy */
  constructor(expected: number) {
    this.#bytes = buffer(Math.max(64, Math.ceil(expected)));
  }

  get length(): number {
    return this.#at;
  }

  /** A number field of 0 to 2^53 - 1; 0 is what readers assume anyway and is left out. */
  count(field: number, value: number): void {
    if (value !== 0) this.member(field, value);
  }

  /** A number field that is written also when 0, as members of a oneof are. */
  member(field: number, value: number): void {
    this.#reserve(1 + MAX_VARINT);
    this.#bytes[this.#at++] = (field << 3) | VARINT;
    this.#varint(value);
  }

  /** A number field of 64 bits in two halves, both unsigned. */
  wide(field: number, high: number, low: number): void {
    if (high === 0) {
      this.count(field, low);
      return;
    }
    this.#reserve(1 + MAX_VARINT);
    const bytes = this.#bytes;
    bytes[this.#at++] = (field << 3) | VARINT;
    // The fifth group of seven bits has four of the lower half.
    let rest = low;
    for (let group = 0; group < 4; group++) {
      bytes[this.#at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    rest |= (high & 7) << 4;
    const upper = high >>> 3;
    bytes[this.#at++] = upper === 0 ? rest : rest | 128;
    if (upper !== 0) this.#varint(upper);
  }

  fixed64(field: number, value: bigint): void {
    this.#reserve(9);
    this.#bytes[this.#at++] = (field << 3) | FIXED64;
    this.#at = this.#bytes.writeBigUInt64LE(BigInt.asUintN(64, value), this.#at);
  }

  /** Written also when empty: in a repeated field that is an element. */
  text(field: number, text: string): void {
    const { length } = text;
    // A UTF-16 unit takes at most three bytes.
    this.#reserve(1 + MAX_VARINT + 3 * length);
    this.#bytes[this.#at++] = (field << 3) | DELIMITED;
    if (length < SHORT_TEXT && this.#ascii(text)) return;
    const start = this.#at;
    this.#at = start + 1;
    this.#at += this.#bytes.write(text, this.#at);
    this.#prefix(start);
  }

  bytes(field: number, bytes: Uint8Array): void {
    this.#reserve(1 + MAX_VARINT + bytes.length);
    this.#bytes[this.#at++] = (field << 3) | DELIMITED;
    this.#varint(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** Whole fields, as another message has them. */
  raw(fields: Uint8Array): void {
    this.#reserve(fields.length);
    this.#bytes.set(fields, this.#at);
    this.#at += fields.length;
  }

  /** Bytes that hexadecimal digits stand for. */
  hex(field: number, digits: string): void {
    const length = digits.length / 2;
    this.#reserve(1 + MAX_VARINT + length);
    this.#bytes[this.#at++] = (field << 3) | DELIMITED;
    this.#varint(length);
    this.#at += this.#bytes.write(digits, this.#at, 'hex');
  }

  /** Numbers of 32 bits as one packed field, left out when there are none. */
  packed(field: number, words: readonly number[]): void {
    if (words.length === 0) return;
    const opened = this.open(field);
    this.#reserve(5 * words.length);
    for (const word of words) this.#varint(word);
    this.close(opened);
  }

  /** The entries of `table` that `indices` name, as one packed field; left out when there are none. */
  packedBy(field: number, indices: Uint32Array, table: Uint32Array): void {
    const { length } = indices;
    if (length === 0) return;
    this.#reserve(1 + MAX_VARINT + 5 * length);
    const bytes = this.#bytes;
    let at = this.#at;
    bytes[at] = (field << 3) | DELIMITED;
    const start = at + 1;
    at += 2;
    for (let i = 0; i < length; i++) {
      let rest = table[indices[i]!]!;
      while (rest > 127) {
        bytes[at++] = (rest & 127) | 128;
        rest >>>= 7;
      }
      bytes[at++] = rest;
    }
    this.#at = at;
    this.#prefix(start);
  }

  /** One number of 0 to 2^53 - 1 as a packed field. */
  packedOne(field: number, value: number): void {
    this.#reserve(2 + MAX_VARINT);
    this.#bytes[this.#at++] = (field << 3) | DELIMITED;
    const start = this.#at++;
    this.#varint(value);
    this.#bytes[start] = this.#at - start - 1;
  }

  /** Begins a message. @returns what `close` needs */
  open(field: number): number {
    this.#reserve(2);
    this.#bytes[this.#at] = (field << 3) | DELIMITED;
    this.#at += 2;
    return this.#at - 1;
  }

  /** Ends the message that `open` began last. */
  close(opened: number): void {
    const shift = this.#prefix(opened);
    if (shift === 0) return;
    for (let i = this.#marks.length - 1; i >= 0 && this.#marks[i]! > opened; i--) {
      this.#marks[i]! += shift;
    }
  }

  /** Remembers this place, wherever the lengths of messages around it will move it. */
  mark(): void {
    this.#marks.push(this.#at);
  }

  /** The message, and the marks as offsets in it. The writer is of no use afterwards. */
  finish(): { message: Uint8Array<ArrayBuffer>; marks: readonly number[] } {
    const message = new Uint8Array(this.#bytes.buffer, 0, this.#at);
    // A copy costs as much as some memory that is held for nothing.
    const isTight = this.#at * 1.25 >= this.#bytes.length;
    return { message: isTight ? message : new Uint8Array(message), marks: this.#marks };
  }

  /** @returns false, and nothing is written, when there is something but ASCII */
  #ascii(text: string): boolean {
    const bytes = this.#bytes;
    const { length } = text;
    const start = this.#at + 1;
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 127) return false;
      bytes[start + i] = unit;
    }
    bytes[this.#at] = length;
    this.#at = start + length;
    return true;
  }

  /**
   * Puts the length of what follows the one byte left free at `start` there,
   * and makes room when it needs more bytes than one.
   * @returns by how much that moved what follows
   */
  #prefix(start: number): number {
    const length = this.#at - start - 1;
    if (length < 128) {
      this.#bytes[start] = length;
      return 0;
    }
    this.#reserve(0);
    let shift = 0;
    for (let rest = Math.floor(length / 128); rest > 0; rest = Math.floor(rest / 128)) shift++;
    this.#bytes.copyWithin(start + 1 + shift, start + 1, this.#at);
    this.#at = start;
    this.#varint(length);
    this.#at += length;
    return shift;
  }

  #varint(value: number): void {
    // Bit operations keep 32 bits only.
    if (value > 0x7fff_ffff) {
      this.#largeVarint(value);
      return;
    }
    const bytes = this.#bytes;
    let at = this.#at;
    let rest = value;
    while (rest > 127) {
      bytes[at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.#at = at;
  }

  #largeVarint(value: number): void {
    let rest = value;
    while (rest > 127) {
      this.#bytes[this.#at++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#at++] = rest;
  }

  #reserve(more: number): void {
    // MAX_VARINT on top, for #prefix.
    if (this.#at + more + MAX_VARINT <= this.#bytes.length) return;
    const larger = buffer(Math.ceil((this.#at + more + MAX_VARINT) * 1.5));
    larger.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = larger;
  }
}

/** With an ArrayBuffer of its own, so that `finish` may hand it over. */
function buffer(length: number): Buffer<ArrayBuffer> {
  return Buffer.from(new ArrayBuffer(length));
}
