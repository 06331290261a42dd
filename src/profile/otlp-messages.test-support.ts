/**
 * The messages of proto/otlp and the code that protobufjs generates for them
 * when it runs: the tests' oracle for what we write by hand.
 */
import { join } from 'node:path';
import protobuf from 'protobufjs';

const folder = join(import.meta.dirname, '..', '..', 'proto', 'otlp');

/** All messages, with names as in the files. */
export function loadMessages(): protobuf.Root {
  const root = new protobuf.Root();
  root.loadSync(join(folder, 'profiles-service.proto'), { keepCase: true });
  root.resolveAll();
  return root;
}

export function requestType(root: protobuf.Root = loadMessages()): protobuf.Type {
  const name = 'opentelemetry.proto.collector.profiles.v1development.ExportProfilesServiceRequest';
  return root.lookupType(name);
}

/** As protobufjs reads it: fields that are not there have their defaults, and 64-bit numbers are bigint. */
export function decodeRequest(type: protobuf.Type, bytes: Uint8Array): Request {
  return type.toObject(type.decode(bytes), {
    longs: BigInt,
    arrays: true,
    defaults: true,
  }) as Request;
}

export interface Request {
  readonly resource_profiles: readonly ResourceProfiles[];
  readonly dictionary: Dictionary | null;
}

export interface ResourceProfiles {
  readonly resource: { readonly attributes: readonly KeyValue[] } | null;
  readonly scope_profiles: readonly ScopeProfiles[];
}

export interface ScopeProfiles {
  readonly scope: { readonly name: string; readonly attributes: readonly KeyValue[] } | null;
  readonly profiles: readonly OtlpProfile[];
}

export interface OtlpProfile {
  readonly sample_type: ValueType | null;
  readonly samples: readonly Sample[];
  readonly time_unix_nano: bigint;
  readonly duration_nano: bigint;
  readonly period_type: ValueType | null;
  readonly period: bigint;
  readonly profile_id: Uint8Array;
  readonly attribute_indices: readonly number[];
}

export interface ValueType {
  readonly type_strindex: number;
  readonly unit_strindex: number;
}

export interface Sample {
  readonly stack_index: number;
  readonly attribute_indices: readonly number[];
  readonly link_index: number;
  readonly values: readonly bigint[];
  readonly timestamps_unix_nano: readonly bigint[];
}

export interface AnyValue {
  readonly string_value?: string;
  readonly bool_value?: boolean;
  readonly int_value?: bigint;
  readonly double_value?: number;
  readonly array_value?: { readonly values: readonly AnyValue[] };
  readonly bytes_value?: Uint8Array;
  readonly string_value_strindex?: number;
}

export interface KeyValue {
  readonly key: string;
  readonly value: AnyValue | null;
  readonly key_strindex: number;
}

export interface Dictionary {
  readonly mapping_table: readonly {
    readonly memory_start: bigint;
    readonly memory_limit: bigint;
    readonly file_offset: bigint;
    readonly filename_strindex: number;
    readonly attribute_indices: readonly number[];
  }[];
  readonly location_table: readonly {
    readonly mapping_index: number;
    readonly address: bigint;
    readonly lines: readonly {
      readonly function_index: number;
      readonly line: bigint;
      readonly column: bigint;
    }[];
    readonly attribute_indices: readonly number[];
  }[];
  readonly function_table: readonly {
    readonly name_strindex: number;
    readonly system_name_strindex: number;
    readonly filename_strindex: number;
    readonly start_line: bigint;
  }[];
  readonly link_table: readonly { readonly trace_id: Uint8Array; readonly span_id: Uint8Array }[];
  readonly string_table: readonly string[];
  readonly attribute_table: readonly {
    readonly key_strindex: number;
    readonly value: AnyValue | null;
    readonly unit_strindex: number;
  }[];
  readonly stack_table: readonly { readonly location_indices: readonly number[] }[];
}
