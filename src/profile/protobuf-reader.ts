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

/** Numbers of 32 bits, as a packed field has them. @throws ProtobufError when one is cut or larger */
export function packedNumbers(bytes: Uint8Array): number[] {
  const numbers: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    let value = 0;
    for (let unit = 1; ; unit *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new ProtobufError('a number is cut');
      value += (byte & 127) * unit;
      if (value > 0xffff_ffff) throw new ProtobufError('a number of more than 32 bits');
      if (byte < 128) break;
    }
    numbers.push(value);
  }
  return numbers;
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
