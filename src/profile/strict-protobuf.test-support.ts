/**
 * Reads a protobuf message as strictly as the format allows: what tolerant
 * readers skip or mend is a problem here. For tests only.
 */
import protobuf from 'protobufjs';

export type Message = Record<string, unknown>;

/** Reports a problem; `path` says where in the message. */
export type Report = (rule: string, path: string) => void;

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;
const WIRE_TYPES: Readonly<Record<string, number>> = {
  int32: VARINT,
  int64: VARINT,
  uint64: VARINT,
  bool: VARINT,
  fixed64: FIXED64,
  double: FIXED64,
  string: DELIMITED,
  bytes: DELIMITED,
};

class Truncated extends Error {}

/** The message with the defaults of all fields that it lacks; 64-bit numbers are bigint. */
export function readStrict(type: protobuf.Type, bytes: Uint8Array, report: Report): Message {
  try {
    return new StrictReader(bytes, report).message(type, bytes.length, '');
  } catch (error) {
    if (!(error instanceof Truncated)) throw error;
    report('truncated', '');
    return emptyMessage(type);
  }
}

function emptyMessage(type: protobuf.Type): Message {
  const message: Message = {};
  for (const field of type.fieldsArray) {
    if (field.repeated) message[field.name] = [];
    else if (field.partOf === null) message[field.name] = emptyValue(field);
  }
  return message;
}

function emptyValue(field: protobuf.Field): unknown {
  if (field.resolvedType !== null) return null;
  if (field.type === 'string') return '';
  if (field.type === 'bytes') return new Uint8Array();
  return field.type === 'int32' ? 0 : 0n;
}

class StrictReader {
  readonly #bytes: Uint8Array;
  readonly #report: Report;
  #at = 0;

  constructor(bytes: Uint8Array, report: Report) {
    this.#bytes = bytes;
    this.#report = report;
  }

  message(type: protobuf.Type, end: number, path: string): Message {
    const message = emptyMessage(type);
    const seen = new Set<string>();
    while (this.#at < end) {
      const tag = Number(this.#varint(path));
      const field = type.fieldsById[tag >>> 3];
      if (field === undefined) {
        this.#report('unknown_field', `${path}.${tag >>> 3}`);
        this.#skip(tag & 7);
        continue;
      }
      const place = `${path}.${field.name}`;
      if (field.repeated) {
        this.#repeated(field, tag & 7, message[field.name] as unknown[], place);
        continue;
      }
      if (seen.has(field.partOf?.name ?? field.name)) this.#report('field_twice', place);
      seen.add(field.partOf?.name ?? field.name);
      message[field.name] = this.#value(field, tag & 7, place);
    }
    if (this.#at !== end) throw new Truncated();
    return message;
  }

  #repeated(field: protobuf.Field, wire: number, list: unknown[], place: string): void {
    const own = field.resolvedType === null ? WIRE_TYPES[field.type]! : DELIMITED;
    if (own === DELIMITED) {
      list.push(this.#value(field, wire, `${place}[${list.length}]`));
      return;
    }
    if (wire !== DELIMITED) this.#report('not_packed', place);
    const end = this.#end(place);
    while (this.#at < end) list.push(this.#value(field, own, `${place}[${list.length}]`));
    if (this.#at !== end) throw new Truncated();
  }

  #value(field: protobuf.Field, wire: number, place: string): unknown {
    const isMessage = field.resolvedType instanceof protobuf.Type;
    if (wire !== (isMessage ? DELIMITED : WIRE_TYPES[field.type])) {
      this.#report('wire_type', place);
      throw new Truncated();
    }
    if (field.resolvedType instanceof protobuf.Type) {
      return this.message(field.resolvedType, this.#end(place), place);
    }
    switch (field.type) {
      case 'string':
        return this.#text(place);
      case 'bytes':
        return this.#slice(this.#end(place));
      case 'fixed64':
        return this.#view(8).getBigUint64(0, true);
      case 'double':
        return this.#view(8).getFloat64(0, true);
      case 'int32':
        return this.#int32(place);
      case 'int64':
        return BigInt.asIntN(64, this.#varint(place));
      case 'bool':
        return this.#varint(place) !== 0n;
      default:
        return this.#varint(place);
    }
  }

  #int32(place: string): number {
    const value = BigInt.asIntN(64, this.#varint(place));
    if (BigInt.asIntN(32, value) !== value) this.#report('int32_range', place);
    return Number(value);
  }

  #text(place: string): string {
    const bytes = this.#slice(this.#end(place));
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      this.#report('utf8', place);
      return '';
    }
  }

  #varint(place: string): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined || shift > 63n) throw new Truncated();
      value |= BigInt(byte & 127) << shift;
      if (byte > 127) continue;
      if (byte === 0 && shift > 0n) this.#report('long_varint', place);
      if (value >= 1n << 64n) throw new Truncated();
      return value;
    }
  }

  #end(place: string): number {
    const length = Number(this.#varint(place));
    if (this.#at + length > this.#bytes.length) throw new Truncated();
    return this.#at + length;
  }

  #slice(end: number): Uint8Array {
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }

  #view(length: number): DataView {
    if (this.#at + length > this.#bytes.length) throw new Truncated();
    const bytes = this.#slice(this.#at + length);
    return new DataView(bytes.buffer, bytes.byteOffset, length);
  }

  #skip(wire: number): void {
    if (wire === VARINT) this.#varint('');
    else if (wire === FIXED64) this.#at += 8;
    else if (wire === FIXED32) this.#at += 4;
    else if (wire === DELIMITED) this.#at = this.#end('');
    else throw new Truncated();
    if (this.#at > this.#bytes.length) throw new Truncated();
  }
}
