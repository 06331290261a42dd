/** Fields of a protobuf message, one after the other, without knowing what they mean. */

export type ProtobufField =
  | {
      readonly number: number;
      readonly wire: 0 | 1 | 5;
      readonly value: bigint;
      readonly raw: Uint8Array;
    }
  | {
      readonly number: number;
      readonly wire: 2;
      readonly value: Uint8Array;
      readonly raw: Uint8Array;
    };

export class ProtobufError extends Error {
  override readonly name = 'ProtobufError';
}

/** `raw` is the field as it stands, tag included. @throws ProtobufError when the message is not whole */
export function* protobufFields(bytes: Uint8Array): Generator<ProtobufField> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const varint = (): bigint => {
    // Nearly all are short.
    const first = bytes[at];
    if (first !== undefined && first < 128) {
      at++;
      return BigInt(first);
    }
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw new ProtobufError('a number is cut');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new ProtobufError('a number of more than ten bytes');
  };
  const take = (length: number): number => {
    if (length > bytes.length - at) throw new ProtobufError('a field is cut');
    at += length;
    return at - length;
  };
  while (at < bytes.length) {
    const start = at;
    const tag = Number(varint());
    const number = Math.floor(tag / 8);
    const wire = tag % 8;
    if (wire === 0) {
      const value = varint();
      yield { number, wire, value, raw: bytes.subarray(start, at) };
    } else if (wire === 1) {
      const value = view.getBigUint64(take(8), true);
      yield { number, wire, value, raw: bytes.subarray(start, at) };
    } else if (wire === 5) {
      const value = BigInt(view.getUint32(take(4), true));
      yield { number, wire, value, raw: bytes.subarray(start, at) };
    } else if (wire === 2) {
      const length = Number(varint());
      const from = take(length);
      const value = bytes.subarray(from, at);
      yield { number, wire, value, raw: bytes.subarray(start, at) };
    } else {
      throw new ProtobufError(`wire type ${wire}`);
    }
  }
}

/**
 * As above for messages of many fields, half of which are copied as they are:
 * nothing is made of a field that is not asked for.
 */
export class FieldCursor {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;
  #start = 0;
  #contentStart = 0;
  #wire = 0;
  number = 0;
  /** Of a number; not exact beyond 53 bits. */
  value = 0;

  constructor(bytes: Uint8Array, from: number, to: number) {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = to;
  }

  /** @returns false after the last field. @throws ProtobufError */
  next(): boolean {
    if (this.#at >= this.#end) return false;
    this.#start = this.#at;
    const tag = this.#varint();
    this.number = Math.floor(tag / 8);
    this.#wire = tag % 8;
    this.#contentStart = this.#at;
    if (this.#wire === 0) this.value = this.#varint();
    else if (this.#wire === 1) this.#at += 8;
    else if (this.#wire === 5) this.#at += 4;
    else if (this.#wire === 2) {
      const length = this.#varint();
      this.#contentStart = this.#at;
      this.#at += length;
    } else throw new ProtobufError(`wire type ${this.#wire}`);
    if (this.#at > this.#end) throw new ProtobufError('a field is cut');
    return true;
  }

  get isNumber(): boolean {
    return this.#wire === 0;
  }

  /** Of a message, a text or bytes. */
  content(): { readonly from: number; readonly to: number } {
    if (this.#wire !== 2) throw new ProtobufError(`field ${this.number} has no length`);
    return { from: this.#contentStart, to: this.#at };
  }

  /** With its tag. */
  raw(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#at);
  }

  fixed64(): bigint {
    if (this.#wire !== 1) throw new ProtobufError(`field ${this.number} has not 64 bits`);
    const { buffer, byteOffset } = this.#bytes;
    return new DataView(buffer, byteOffset + this.#contentStart, 8).getBigUint64(0, true);
  }

  packed(): number[] {
    const { from, to } = this.content();
    const numbers: number[] = [];
    this.#at = from;
    while (this.#at < to) numbers.push(this.#varint());
    return numbers;
  }

  #varint(): number {
    let value = 0;
    for (let unit = 1; unit < 2 ** 70; unit *= 128) {
      if (this.#at >= this.#end) throw new ProtobufError('a number is cut');
      const byte = this.#bytes[this.#at++]!;
      value += (byte & 127) * unit;
      if (byte < 128) return value;
    }
    throw new ProtobufError('a number of more than ten bytes');
  }
}
