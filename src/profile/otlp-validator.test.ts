import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildProfile, plainSample } from './fixture.test-support.ts';
import { encodeOtlp } from './otlp.ts';
import {
  type Dictionary,
  decodeRequest,
  type KeyValue,
  type OtlpProfile,
  type Request,
  requestType,
  type Sample,
} from './otlp-messages.test-support.ts';
import { violations } from './otlp-validator.test-support.ts';

type Mutable<T> = T extends Uint8Array
  ? T
  : T extends object
    ? { -readonly [Key in keyof T]: Mutable<T[Key]> }
    : T;

/** A good request and its parts, for one mistake to be planted. */
interface Parts {
  readonly request: Mutable<Request>;
  readonly dictionary: Mutable<Dictionary>;
  readonly profile: Mutable<OtlpProfile>;
  readonly sample: Mutable<Sample>;
  readonly resource: { attributes: Mutable<KeyValue>[] };
  /** Index of a text in the table of strings, added if need be. */
  readonly text: (text: string) => number;
  /** Index of a new attribute. */
  readonly attribute: (key: string, value: object | null) => number;
}

const type = requestType();
const good = encodeOtlp(
  buildProfile(
    [
      { ...plainSample, kernel: [7], user: [3, 5], labels: 1, weight: 2 },
      { ...plainSample, user: [4], labels: 2 },
    ],
    { threads: true, addresses: true },
  ),
);

function planted(mistake: (parts: Parts) => void): string[] {
  const request = decodeRequest(type, good) as Mutable<Request>;
  const dictionary = request.dictionary!;
  const profile = request.resource_profiles[0]!.scope_profiles[0]!.profiles[0]!;
  const text = (wanted: string): number => {
    const index = dictionary.string_table.indexOf(wanted);
    return index >= 0 ? index : dictionary.string_table.push(wanted) - 1;
  };
  mistake({
    request,
    dictionary,
    profile,
    sample: profile.samples[0]!,
    resource: request.resource_profiles[0]!.resource as never,
    text,
    attribute: (key, value) =>
      dictionary.attribute_table.push({
        key_strindex: text(key),
        value: value as never,
        unit_strindex: 0,
      }) - 1,
  });
  return violations(type.encode(type.fromObject(request)).finish());
}

/** Each rule broken once, and what has to be found, whatever else is found with it. */
const mistakes: readonly (readonly [rule: string, mistake: (parts: Parts) => void])[] = [
  ['no_dictionary', ({ request }) => (request.dictionary = null)],
  ['zero_entry at mapping_table', ({ dictionary }) => dictionary.mapping_table.shift()],
  ['zero_entry at location_table', ({ dictionary }) => dictionary.location_table.shift()],
  ['zero_entry at function_table', ({ dictionary }) => dictionary.function_table.shift()],
  ['zero_entry at string_table', ({ dictionary }) => dictionary.string_table.shift()],
  ['zero_entry at attribute_table', ({ dictionary }) => dictionary.attribute_table.shift()],
  ['zero_entry at stack_table', ({ dictionary }) => dictionary.stack_table.shift()],
  [
    'zero_entry at link_table',
    ({ dictionary }) => {
      dictionary.link_table[0] = { trace_id: new Uint8Array(), span_id: new Uint8Array() };
    },
  ],
  ['zero_entry at stack_table', ({ dictionary }) => (dictionary.stack_table = [])],
  [
    'duplicate at function_table[1]',
    ({ dictionary }) => dictionary.function_table.unshift(dictionary.function_table[0]!),
  ],
  ['duplicate at string_table', ({ dictionary }) => dictionary.string_table.push('samples')],
  ['orphan at string_table', ({ dictionary }) => dictionary.string_table.push('nobody')],
  ['orphan at attribute_table', ({ attribute }) => attribute('k', { string_value: 'v' })],
  [
    'orphan at stack_table',
    ({ dictionary }) => dictionary.stack_table.push({ location_indices: [1] }),
  ],
  [
    'orphan at link_table',
    ({ dictionary }) =>
      dictionary.link_table.push({
        trace_id: Buffer.alloc(16, 7),
        span_id: Buffer.alloc(8, 7),
      } as never),
  ],
  ['dangling', ({ sample }) => (sample.stack_index = 99)],
  ['dangling', ({ sample }) => (sample.stack_index = -1)],
  ['dangling', ({ sample }) => (sample.link_index = 99)],
  ['dangling', ({ sample }) => sample.attribute_indices.push(99)],
  ['dangling', ({ dictionary }) => (dictionary.stack_table[1]!.location_indices[0] = 99)],
  ['dangling', ({ dictionary }) => (dictionary.location_table[1]!.mapping_index = 99)],
  ['dangling', ({ dictionary }) => (dictionary.location_table[1]!.lines[0]!.function_index = 99)],
  ['dangling', ({ dictionary }) => (dictionary.function_table[1]!.filename_strindex = 999)],
  ['dangling', ({ profile }) => (profile.sample_type!.unit_strindex = 999)],
  [
    'long_text',
    ({ dictionary, text }) => {
      dictionary.function_table[1]!.system_name_strindex = text('x'.repeat(65_536));
    },
  ],
  ['link_length', ({ dictionary }) => (dictionary.link_table[1]!.span_id = Buffer.alloc(3, 1))],
  ['half_link', ({ dictionary }) => (dictionary.link_table[1]!.trace_id = Buffer.alloc(16))],
  ['half_link', ({ dictionary }) => (dictionary.link_table[1]!.span_id = Buffer.alloc(8))],
  [
    'no_key',
    ({ sample, attribute }) => sample.attribute_indices.push(attribute('', { string_value: 'v' })),
  ],
  [
    'no_key',
    ({ resource }) => resource.attributes.push({ key: '', value: { string_value: 'v' } } as never),
  ],
  [
    'long_key',
    ({ sample, attribute }) =>
      sample.attribute_indices.push(attribute('k'.repeat(1025), { string_value: 'v' })),
  ],
  [
    'empty_value',
    ({ sample, attribute }) => sample.attribute_indices.push(attribute('k', { string_value: '' })),
  ],
  ['empty_value', ({ sample, attribute }) => sample.attribute_indices.push(attribute('k', {}))],
  [
    'long_value',
    ({ sample, attribute }) =>
      sample.attribute_indices.push(attribute('k', { string_value: 'v'.repeat(2049) })),
  ],
  [
    'reference',
    ({ sample, attribute }) =>
      sample.attribute_indices.push(attribute('k', { string_value_strindex: 1 })),
  ],
  [
    'reference',
    ({ resource }) =>
      resource.attributes.push({ key_strindex: 1, value: { string_value: 'v' } } as never),
  ],
  ['same_key', ({ sample }) => sample.attribute_indices.push(sample.attribute_indices[0]!)],
  ['same_key', ({ resource }) => resource.attributes.push(resource.attributes[0]!)],
  [
    'same_key',
    ({ resource }) =>
      resource.attributes.push({ key: 'service_name', value: { string_value: 'v' } } as never),
  ],
  [
    'many_labels',
    ({ resource }) => {
      for (let index = 0; index < 26; index++) {
        resource.attributes.push({ key: `k${index}`, value: { string_value: 'v' } } as never);
      }
    },
  ],
  ['service_name', ({ resource }) => resource.attributes.shift()],
  ['empty_attribute', ({ sample }) => sample.attribute_indices.push(0)],
  ['no_name', ({ dictionary }) => (dictionary.function_table[1]!.name_strindex = 0)],
  ['line_number', ({ dictionary }) => (dictionary.location_table[1]!.lines[0]!.line = -1n)],
  ['line_number', ({ dictionary }) => (dictionary.function_table[1]!.start_line = -1n)],
  ['empty_stack', ({ dictionary }) => (dictionary.stack_table[1]!.location_indices = [])],
  ['empty_stack', ({ sample }) => (sample.stack_index = 0)],
  ['empty_location', ({ dictionary }) => (dictionary.location_table[1]!.lines = [])],
  ['empty_location', ({ dictionary }) => dictionary.stack_table[1]!.location_indices.push(0)],
  ['no_function', ({ dictionary }) => (dictionary.location_table[1]!.lines[0]!.function_index = 0)],
  ['frame_type', ({ dictionary }) => (dictionary.location_table[1]!.attribute_indices = [])],
  ['address_range', ({ dictionary }) => (dictionary.mapping_table[1]!.memory_limit = 2n)],
  ['mapping_range', ({ dictionary }) => (dictionary.mapping_table[1]!.memory_limit = 0n)],
  [
    'build_id',
    ({ dictionary }) => {
      for (const mapping of dictionary.mapping_table) mapping.attribute_indices = [];
    },
  ],
  ['empty_envelope', ({ request }) => (request.resource_profiles[0]!.scope_profiles = [])],
  [
    'empty_envelope',
    ({ request }) => (request.resource_profiles[0]!.scope_profiles[0]!.profiles = []),
  ],
  ['empty_envelope', ({ profile }) => (profile.samples = [])],
  [
    'same_time',
    ({ request, profile }) =>
      request.resource_profiles[0]!.scope_profiles[0]!.profiles.push(profile),
  ],
  ['sample_type', ({ profile, text }) => (profile.sample_type!.type_strindex = text('on-cpu'))],
  ['value_type', ({ profile }) => (profile.sample_type = null)],
  ['value_type', ({ profile }) => (profile.period_type = null)],
  ['period', ({ profile }) => (profile.period = 0n)],
  [
    'period',
    ({ profile, text }) => {
      profile.sample_type = { type_strindex: text('off_cpu'), unit_strindex: text('nanoseconds') };
    },
  ],
  ['time', ({ profile }) => (profile.time_unix_nano = 0n)],
  ['duration', ({ profile }) => (profile.duration_nano = 0n)],
  ['profile_id', ({ profile }) => (profile.profile_id = Buffer.alloc(16))],
  ['profile_id', ({ profile }) => (profile.profile_id = Buffer.alloc(8, 1))],
  ['profile_id', ({ request }) => request.resource_profiles.push(request.resource_profiles[0]!)],
  ['many_samples', ({ profile, sample }) => (profile.samples = Array(16_001).fill(sample))],
  ['same_sample', ({ profile, sample }) => profile.samples.push(sample)],
  [
    'same_sample',
    ({ sample, profile, attribute }) => {
      const [a, b] = [attribute('a', { int_value: 1 }), attribute('b', { int_value: 0 })];
      profile.samples.push({ ...sample, attribute_indices: [a, b] });
      profile.samples.push({ ...sample, attribute_indices: [b, a] });
    },
  ],
  ['value at', ({ sample }) => (sample.values = [0n])],
  ['value at', ({ sample }) => (sample.values = [-1n])],
  ['value_count', ({ sample }) => (sample.values = [])],
  ['value_count', ({ sample }) => (sample.values = [1n, 1n])],
  [
    'value_count',
    ({ sample, profile }) => (sample.timestamps_unix_nano = [profile.time_unix_nano]),
  ],
  [
    'mixed_shapes',
    ({ sample, profile }) => {
      sample.timestamps_unix_nano = [profile.time_unix_nano];
      sample.values = [];
    },
  ],
  [
    'timestamp',
    ({ sample, profile }) => {
      sample.timestamps_unix_nano = [profile.time_unix_nano + profile.duration_nano];
    },
  ],
];

test('the request that the mistakes are planted into is good', () => {
  assert.deepEqual(
    planted(() => undefined),
    [],
  );
});

for (const [index, [rule, mistake]] of mistakes.entries()) {
  test(`finds ${rule} (${index})`, () => {
    const found = planted(mistake);
    assert.ok(
      found.some((one) => one.startsWith(rule)),
      `found instead: ${found}`,
    );
  });
}

const bytesOf = (...bytes: readonly number[]): Uint8Array => Uint8Array.from([...good, ...bytes]);

test('finds what only the bytes show', () => {
  const cases: readonly (readonly [rule: string, bytes: Uint8Array])[] = [
    ['unknown_field at .3', bytesOf(0x18, 1)],
    ['field_twice at .dictionary', bytesOf(0x12, 0)],
    ['truncated', good.subarray(0, good.length - 1)],
    ['truncated', bytesOf(0x0a, 0xff)],
    ['wire_type at .dictionary', bytesOf(0x10, 1)],
    // A dictionary with one text that is half a character.
    ['utf8 at .dictionary.string_table[0]', Uint8Array.of(0x12, 3, 0x2a, 1, 0xc3)],
    ['long_varint', Uint8Array.of(0x12, 0x80, 0)],
    // A dictionary with one stack whose location is a field of its own.
    ['not_packed', Uint8Array.of(0x12, 4, 0x3a, 2, 0x08, 1)],
    // A function whose name has index 2^32.
    ['int32_range', Uint8Array.of(0x12, 8, 0x1a, 6, 0x08, 0x80, 0x80, 0x80, 0x80, 0x10)],
  ];
  for (const [rule, bytes] of cases) {
    const found = violations(bytes);
    assert.ok(
      found.some((one) => one.startsWith(rule)),
      `${rule}: found instead ${found}`,
    );
  }
});
