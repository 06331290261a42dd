/** Payloads of process contexts, encoded by protobufjs from the published messages. */
import protobuf from 'protobufjs';
import type { ContextValue } from './process-context.ts';

const { root } = protobuf.parse(
  `syntax = "proto3";
  message AnyValue {
    oneof value {
      string string_value = 1;
      bool bool_value = 2;
      int64 int_value = 3;
      double double_value = 4;
      ArrayValue array_value = 5;
      KeyValueList kvlist_value = 6;
      bytes bytes_value = 7;
    }
  }
  message ArrayValue { repeated AnyValue values = 1; }
  message KeyValueList { repeated KeyValue values = 1; }
  message KeyValue { string key = 1; AnyValue value = 2; }
  message EntityRef { string schema_url = 1; string type = 2; }
  message Resource {
    repeated KeyValue attributes = 1;
    uint32 dropped_attributes_count = 2;
    repeated EntityRef entity_refs = 3;
  }
  message ProcessContext { Resource resource = 1; repeated KeyValue attributes = 2; }`,
  { keepCase: true },
);
const type = root.lookupType('ProcessContext');

type Values = Readonly<Record<string, ContextValue>>;

/** Whole numbers become integers, `bigint` beyond 53 bits; other numbers become doubles. */
export function payloadOf(resource: Values, attributes: Values = {}): Buffer {
  const message = type.create({
    resource: {
      attributes: keyValues(Object.entries(resource)),
      dropped_attributes_count: 1,
      entity_refs: [{ schema_url: 'https://example.org', type: 'service' }],
    },
    attributes: keyValues(Object.entries(attributes)),
  });
  return Buffer.from(type.encode(message).finish());
}

function keyValues(entries: Iterable<readonly [string, ContextValue]>): object[] {
  return [...entries].map(([key, value]) => ({ key, value: anyValue(value) }));
}

function anyValue(value: ContextValue): object {
  switch (typeof value) {
    case 'string':
      return { string_value: value };
    case 'boolean':
      return { bool_value: value };
    case 'bigint':
      return { int_value: String(value) };
    case 'number':
      return Number.isSafeInteger(value) ? { int_value: value } : { double_value: value };
    default:
      if (value instanceof Uint8Array) return { bytes_value: value };
      if (value instanceof Map) return { kvlist_value: { values: keyValues(value) } };
      return { array_value: { values: (value as readonly ContextValue[]).map(anyValue) } };
  }
}

/** The 32 bytes that point to a payload. */
export function headerOf(fields: {
  readonly signature?: string;
  readonly version?: number;
  readonly size?: number;
  readonly publishedAt?: bigint;
  readonly payload?: bigint;
}): Buffer {
  const bytes = Buffer.alloc(32);
  bytes.write(fields.signature ?? 'OTEL_CTX', 'latin1');
  bytes.writeUInt32LE(fields.version ?? 2, 8);
  bytes.writeUInt32LE(fields.size ?? 10, 12);
  bytes.writeBigUInt64LE(fields.publishedAt ?? 1n, 16);
  bytes.writeBigUInt64LE(fields.payload ?? 0x7f00_0000_1000n, 24);
  return bytes;
}
