/**
 * What a process publishes of itself as OpenTelemetry process context (OTEP 4719):
 * a header in memory that points to a protobuf message
 * `ProcessContext { Resource resource = 1; repeated KeyValue attributes = 2; }`.
 */
import { ParseError } from '../elf/source.ts';
import { ProtobufError, type ProtobufField, protobufFields } from '../protobuf/protobuf-reader.ts';
import { type ProcessAddress, processAddress } from '../units/units.ts';

/** What OTLP's AnyValue can hold; whole numbers beyond 53 bits are bigint. */
export type ContextValue =
  | string
  | boolean
  | number
  | bigint
  | Uint8Array
  | readonly ContextValue[]
  | ContextAttributes;

/** Texts are valid UTF-8, but not cleaned: they may hold any character. */
export type ContextAttributes = ReadonlyMap<string, ContextValue>;

export interface ProcessContext {
  /** Of the process as OpenTelemetry's resource: `service.name` and the like. */
  readonly resource: ContextAttributes;
  /** All else, such as `threadlocal.attribute_key_map`. */
  readonly attributes: ContextAttributes;
}

export interface ContextHeader {
  /** CLOCK_BOOTTIME in nanoseconds; another one with each update. 0n = being written. */
  readonly publishedAt: bigint;
  readonly payload: ProcessAddress;
  /** Bytes of the payload, at most MAX_PAYLOAD_BYTES. */
  readonly size: number;
}

/** `signature` char[8], `version` u32, `payload_size` u32, `published_at` u64, `payload` pointer. */
export const CONTEXT_HEADER_BYTES = 32;
/** As OpenTelemetry's profiler; real ones have 1 to 2 KiB. */
export const MAX_PAYLOAD_BYTES = 65_536;
const SIGNATURE = 'OTEL_CTX';
const VERSION = 2;
/** Of values within values; what is known needs two. */
const MAX_DEPTH = 4;
/** Values of a whole context, those in arrays included. */
const MAX_VALUES = 4096;

/** @throws ParseError with the reason: `changing`, `signature`, `version`, `too_large` or `pointer` */
export function parseContextHeader(bytes: Uint8Array): ContextHeader {
  if (bytes.length < CONTEXT_HEADER_BYTES) throw new ParseError('signature', 'the header is cut');
  const view = new DataView(bytes.buffer, bytes.byteOffset, CONTEXT_HEADER_BYTES);
  const signature = Buffer.from(bytes.buffer, bytes.byteOffset, SIGNATURE.length);
  if (signature.toString('latin1') !== SIGNATURE) {
    const isEmpty = bytes.subarray(0, CONTEXT_HEADER_BYTES).every((byte) => byte === 0);
    if (isEmpty) throw new ParseError('changing', 'nothing is written yet');
    throw new ParseError('signature', 'the signature is not OTEL_CTX');
  }
  const version = view.getUint32(8, true);
  if (version !== VERSION) throw new ParseError('version', `version ${version}`);
  const publishedAt = view.getBigUint64(16, true);
  if (publishedAt === 0n) throw new ParseError('changing', 'the context is being written');
  const size = view.getUint32(12, true);
  if (size > MAX_PAYLOAD_BYTES) throw new ParseError('too_large', `a payload of ${size} bytes`);
  const payload = view.getBigUint64(24, true);
  if (payload + BigInt(size) > BigInt(Number.MAX_SAFE_INTEGER))
    throw new ParseError('pointer', 'the payload lies in no address space');
  return { publishedAt, payload: processAddress(Number(payload)), size };
}

/** @throws ParseError with the reason `malformed`, `too_deep` or `too_many_values` */
export function parseProcessContext(payload: Uint8Array): ProcessContext {
  try {
    return new PayloadParser().context(payload);
  } catch (cause) {
    if (!(cause instanceof ProtobufError)) throw cause;
    throw new ParseError('malformed', cause.message, { cause });
  }
}

/** The names of the attributes of thread contexts (OTEP 4947) by their index; only ever appended to. */
export function attributeKeyMap({ attributes }: ProcessContext): readonly string[] {
  const keys = attributes.get('threadlocal.attribute_key_map');
  if (!Array.isArray(keys)) return [];
  // An index is one byte.
  return keys.slice(0, 256).map((key: ContextValue) => (typeof key === 'string' ? key : ''));
}

/** How threads carry their context: `tlsdesc_v1_dev`, `go_pprof_labels_v1`, …; '' = it does not say. */
export function threadContextSchema({ attributes }: ProcessContext): string {
  const version = attributes.get('threadlocal.schema_version');
  return typeof version === 'string' ? version : '';
}

/** Fields of AnyValue. */
const Any = { text: 1, boolean: 2, integer: 3, double: 4, array: 5, map: 6, bytes: 7 } as const;

class PayloadParser {
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #values = 0;

  context(payload: Uint8Array): ProcessContext {
    const resource = new Map<string, ContextValue>();
    const attributes = new Map<string, ContextValue>();
    for (const field of protobufFields(payload)) {
      if (field.number === 1) this.#resource(content(field), resource);
      else if (field.number === 2) this.#keyValue(content(field), attributes, 0);
    }
    return { resource, attributes };
  }

  #resource(bytes: Uint8Array, into: Map<string, ContextValue>): void {
    for (const field of protobufFields(bytes)) {
      if (field.number === 1) this.#keyValue(content(field), into, 0);
    }
  }

  #keyValue(bytes: Uint8Array, into: Map<string, ContextValue>, depth: number): void {
    let key = '';
    let value: ContextValue | undefined;
    for (const field of protobufFields(bytes)) {
      if (field.number === 1) key = this.#text(content(field));
      else if (field.number === 2) value = this.#any(content(field), depth);
    }
    // No value is OTLP's null.
    if (key !== '' && value !== undefined) into.set(key, value);
  }

  #any(bytes: Uint8Array, depth: number): ContextValue | undefined {
    if (depth > MAX_DEPTH) throw new ParseError('too_deep', 'values within values');
    if (++this.#values > MAX_VALUES) throw new ParseError('too_many_values', 'too many values');
    let value: ContextValue | undefined;
    for (const field of protobufFields(bytes)) value = this.#member(field, depth) ?? value;
    return value;
  }

  #member(field: ProtobufField, depth: number): ContextValue | undefined {
    switch (field.number) {
      case Any.text:
        return this.#text(content(field));
      case Any.boolean:
        return bits(field, 0) !== 0n;
      case Any.integer:
        return whole(BigInt.asIntN(64, bits(field, 0)));
      case Any.double:
        return new Float64Array(BigUint64Array.of(bits(field, 1)).buffer)[0];
      case Any.array:
        return this.#array(content(field), depth);
      case Any.map:
        return this.#map(content(field), depth);
      case Any.bytes:
        return Uint8Array.from(content(field));
      default:
        return undefined;
    }
  }

  #array(bytes: Uint8Array, depth: number): readonly ContextValue[] {
    const values: ContextValue[] = [];
    for (const field of protobufFields(bytes)) {
      // A place without a value keeps the others where they are.
      if (field.number === 1) values.push(this.#any(content(field), depth + 1) ?? '');
    }
    return values;
  }

  #map(bytes: Uint8Array, depth: number): ContextAttributes {
    const values = new Map<string, ContextValue>();
    for (const field of protobufFields(bytes)) {
      if (field.number === 1) this.#keyValue(content(field), values, depth + 1);
    }
    return values;
  }

  #text(bytes: Uint8Array): string {
    return this.#decoder.decode(bytes);
  }
}

function content(field: ProtobufField): Uint8Array {
  if (field.wire !== 2) throw new ProtobufError(`field ${field.number} has no length`);
  return field.value;
}

function bits(field: ProtobufField, wire: 0 | 1): bigint {
  if (field.wire !== wire) throw new ProtobufError(`field ${field.number} has another type`);
  return field.value as bigint;
}

function whole(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
