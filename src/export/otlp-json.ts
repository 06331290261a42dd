/**
 * A request in protobuf as OTLP/JSON: names in camelCase, 64-bit numbers as
 * texts, ids in hex. https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
 */
import {
  ANY_VALUE,
  DICTIONARY,
  FUNCTION,
  KEY_VALUE,
  KEY_VALUE_AND_UNIT,
  LINE,
  LINK,
  LOCATION,
  MAPPING,
  PROFILE,
  REQUEST,
  RESOURCE,
  RESOURCE_PROFILES,
  SAMPLE,
  SCOPE,
  SCOPE_PROFILES,
  STACK,
  VALUE_TYPE,
} from '../profile/otlp-fields.ts';
import { ProtobufError, protobufFields } from '../protobuf/protobuf-reader.ts';

type Scalar = 'int32' | 'int64' | 'uint64' | 'text' | 'hex';

interface Field {
  readonly name: string;
  readonly kind: Scalar | Message;
  readonly isList: boolean;
}
type Message = ReadonlyMap<number, Field>;

const camelCase = (name: string): string =>
  name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** @param kinds by name of the field; those of lists in brackets */
function message<Name extends string>(
  numbers: Readonly<Record<Name, number>>,
  kinds: Readonly<Record<Name, Scalar | Message | readonly [Scalar | Message]>>,
): Message {
  const names = Object.keys(numbers) as Name[];
  return new Map(
    names.map((name) => {
      const kind: Scalar | Message | readonly [Scalar | Message] = kinds[name];
      const isList = Array.isArray(kind);
      return [
        numbers[name],
        { name: camelCase(name), kind: isList ? kind[0] : (kind as Scalar | Message), isList },
      ];
    }),
  );
}

const anyValue = message(ANY_VALUE, { string_value: 'text', int_value: 'int64' });
const valueType = message(VALUE_TYPE, { type_strindex: 'int32', unit_strindex: 'int32' });
const sample = message(SAMPLE, {
  stack_index: 'int32',
  attribute_indices: ['int32'],
  link_index: 'int32',
  values: ['int64'],
});
const profile = message(PROFILE, {
  sample_type: valueType,
  samples: [sample],
  time_unix_nano: 'uint64',
  duration_nano: 'uint64',
  period_type: valueType,
  period: 'int64',
  profile_id: 'hex',
  attribute_indices: ['int32'],
});
const scopeProfiles = message(SCOPE_PROFILES, {
  scope: message(SCOPE, { name: 'text' }),
  profiles: [profile],
});
const resource = message(RESOURCE, {
  attributes: [message(KEY_VALUE, { key: 'text', value: anyValue })],
});
const line = message(LINE, { function_index: 'int32', line: 'int64', column: 'int64' });
const dictionary = message(DICTIONARY, {
  mapping_table: [
    message(MAPPING, {
      memory_start: 'uint64',
      memory_limit: 'uint64',
      file_offset: 'uint64',
      filename_strindex: 'int32',
      attribute_indices: ['int32'],
    }),
  ],
  location_table: [
    message(LOCATION, {
      mapping_index: 'int32',
      address: 'uint64',
      lines: [line],
      attribute_indices: ['int32'],
    }),
  ],
  function_table: [
    message(FUNCTION, {
      name_strindex: 'int32',
      system_name_strindex: 'int32',
      filename_strindex: 'int32',
      start_line: 'int64',
    }),
  ],
  link_table: [message(LINK, { trace_id: 'hex', span_id: 'hex' })],
  string_table: ['text'],
  attribute_table: [message(KEY_VALUE_AND_UNIT, { key_strindex: 'int32', value: anyValue })],
  stack_table: [message(STACK, { location_indices: ['int32'] })],
});
const request = message(REQUEST, {
  resource_profiles: [message(RESOURCE_PROFILES, { resource, scope_profiles: [scopeProfiles] })],
  dictionary,
});

/** @param bytes as our encoder writes them. @throws ProtobufError for a field that it does not write */
export function otlpJson(bytes: Uint8Array): string {
  return JSON.stringify(plain(bytes, request));
}

function plain(bytes: Uint8Array, fields: Message): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const { number, wire, value } of protobufFields(bytes)) {
    const field = fields.get(number);
    if (!field) throw new ProtobufError(`no field ${number} in the messages that are sent`);
    const { name, kind, isList } = field;
    if (!isList) {
      result[name] = one(value, kind);
      continue;
    }
    result[name] ??= [];
    const list = result[name] as unknown[];
    // Numbers of a list are packed.
    if (wire === 2 && typeof kind === 'string' && kind !== 'text' && kind !== 'hex') {
      for (const packed of numbers(value)) list.push(one(packed, kind));
    } else list.push(one(value, kind));
  }
  return result;
}

/** A mark of byte order at the start of a text is part of it. */
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

function one(value: bigint | Uint8Array, kind: Scalar | Message): unknown {
  if (typeof value === 'bigint') {
    if (kind === 'int32') return Number(BigInt.asIntN(32, value));
    return String(kind === 'int64' ? BigInt.asIntN(64, value) : value);
  }
  if (kind === 'text') return decoder.decode(value);
  if (typeof kind === 'string') return Buffer.from(value).toString('hex');
  return plain(value, kind);
}

function* numbers(bytes: Uint8Array): Generator<bigint> {
  for (let at = 0; at < bytes.length; ) {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++] ?? 0;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80 || shift >= 63n) break;
    }
    yield value;
  }
}
