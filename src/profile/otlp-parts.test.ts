import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzz, rawSamples } from './arbitrary-samples.test-support.ts';
import { buildProfile, plainSample } from './fixture.test-support.ts';
import { encodeOtlp } from './otlp.ts';
import { decodeRequest, type Request, requestType } from './otlp-messages.test-support.ts';
import { partsOfRequest } from './otlp-parts.ts';
import { violations } from './otlp-validator.test-support.ts';

const type = requestType();

const profilesOf = (request: Request) =>
  request.resource_profiles.flatMap(({ scope_profiles }) =>
    scope_profiles.flatMap(({ profiles }) => profiles),
  );

/** Samples in order, with all that they refer to written out. */
function samplesOf(bytes: Uint8Array): string[] {
  const request = decodeRequest(type, bytes);
  const dictionary = request.dictionary!;
  const text = (index: number): string => dictionary.string_table[index]!;
  const attributes = (indices: readonly number[]) =>
    indices.map((index) => {
      const { key_strindex, value } = dictionary.attribute_table[index]!;
      return [text(key_strindex), value];
    });
  const location = (index: number) => {
    const { mapping_index, address, lines, attribute_indices } = dictionary.location_table[index]!;
    const mapping = dictionary.mapping_table[mapping_index]!;
    return {
      address,
      ...{ from: mapping.memory_start, to: mapping.memory_limit, offset: mapping.file_offset },
      ...{ file: text(mapping.filename_strindex), ids: attributes(mapping.attribute_indices) },
      attributes: attributes(attribute_indices),
      lines: lines.map(({ function_index, line, column }) => {
        const called = dictionary.function_table[function_index]!;
        const names = [called.name_strindex, called.system_name_strindex];
        const file = text(called.filename_strindex);
        return [line, column, called.start_line, file, ...names.map(text)];
      }),
    };
  };
  return request.resource_profiles.flatMap(({ resource, scope_profiles }) =>
    scope_profiles.flatMap(({ scope, profiles }) =>
      profiles.flatMap(({ samples, period, duration_nano, period_type, sample_type }) =>
        samples.map(({ stack_index, attribute_indices, link_index, values }) => {
          const stack = dictionary.stack_table[stack_index]!.location_indices.map(location);
          const types = [sample_type!, period_type!].map((one) => text(one.type_strindex));
          const link = dictionary.link_table[link_index];
          const said = [resource, scope?.name, period, duration_nano, types, link, values];
          return JSON.stringify([...said, stack, attributes(attribute_indices)], (_, value) =>
            typeof value === 'bigint' ? `${value}` : value,
          );
        }),
      ),
    ),
  );
}

test('parts have the samples of the whole, each once, in order, and keep every rule', () => {
  fc.assert(
    fc.property(rawSamples, fc.integer({ min: 1, max: 9 }), (samples, count) => {
      const whole = encodeOtlp(buildProfile(samples, { threads: true }), { sampleLabels: 'all' });
      const expected = samplesOf(whole);
      const parts = partsOfRequest(whole, count);
      assert.equal(parts.length, Math.min(count, expected.length));
      for (const part of parts) assert.deepEqual(violations(part), []);
      assert.deepEqual(parts.flatMap(samplesOf), expected);
      if (parts.length > 1) for (const part of parts) assert.ok(part.length < whole.length);
      assert.deepEqual(partsOfRequest(whole, count), parts);
    }),
    fuzz,
  );
});

const many = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ ...plainSample, user: [0x1000 + i, 0x9000] }));

test('no two profiles have the same start time or id, however often they are divided', () => {
  const whole = encodeOtlp(buildProfile(many(40), { threads: false }));
  const start = profilesOf(decodeRequest(type, whole))[0]!.time_unix_nano;
  const leaves: Uint8Array[] = [];
  const divide = (request: Uint8Array, depth: number): void => {
    const parts = depth === 0 ? [] : partsOfRequest(request, 2 + (depth % 2));
    if (parts.length < 2) leaves.push(request);
    for (const part of parts.length < 2 ? [] : parts) divide(part, depth - 1);
  };
  divide(whole, 3);
  const profiles = leaves.flatMap((leaf) => profilesOf(decodeRequest(type, leaf)));
  assert.equal(leaves.length, 18);
  let before = 0;
  for (const { time_unix_nano, samples } of profiles) {
    assert.equal(time_unix_nano, start + BigInt(before));
    before += samples.length;
  }
  const ids = new Set(profiles.map(({ profile_id }) => Buffer.from(profile_id).toString('hex')));
  assert.equal(ids.size, profiles.length);
});

test('a process with more samples than Pyroscope takes counts its profiles alike', () => {
  const whole = encodeOtlp(buildProfile(many(16_001), { threads: false }));
  const times = (bytes: Uint8Array) =>
    profilesOf(decodeRequest(type, bytes)).map(({ time_unix_nano }) => time_unix_nano);
  const [start, second] = times(whole);
  assert.equal(second, start! + 16_000n);
  const parts = partsOfRequest(whole, 4).flatMap(times);
  assert.equal(new Set(parts).size, parts.length);
});

test('the tally is in one part only', () => {
  const whole = encodeOtlp(buildProfile(many(10), { threads: false }));
  const with_ = partsOfRequest(whole, 5).map((part) =>
    profilesOf(decodeRequest(type, part)).some((one) => one.attribute_indices.length > 0),
  );
  assert.deepEqual(with_, [true, false, false, false, false]);
});

test('a request that is not whole ends in an error of its own', () => {
  const whole = encodeOtlp(buildProfile(many(3), { threads: false }));
  for (let length = 0; length < whole.length; length++) {
    try {
      partsOfRequest(whole.subarray(0, length), 2);
    } catch (error) {
      assert.equal((error as Error).name, 'ProtobufError');
    }
  }
});
