/** A profile as the OTLP encoder sends it, with every rule checked before anything is compared. */
import assert from 'node:assert/strict';
import type { Profile } from './model.ts';
import { encodeOtlp } from './otlp.ts';
import {
  type Dictionary,
  decodeRequest,
  type Request,
  requestType,
} from './otlp-messages.test-support.ts';
import { violations } from './otlp-validator.test-support.ts';

const type = requestType();

export function decode(profile: Profile, goroutines = false): Request {
  const bytes = encodeOtlp(profile, goroutines ? { sampleLabels: 'all' } : {});
  assert.deepEqual(violations(bytes), []);
  return decodeRequest(type, bytes);
}

export const profilesOf = (request: Request) =>
  request.resource_profiles.flatMap(({ scope_profiles }) =>
    scope_profiles.flatMap(({ profiles }) => profiles),
  );

export const samplesOf = (request: Request) =>
  profilesOf(request).flatMap(({ samples }) => samples);

/** Attributes by key, with their values as they are in JavaScript. */
export function attributesOf(
  dictionary: Dictionary,
  indices: readonly number[],
): Map<string, unknown> {
  return new Map(
    indices.map((index) => {
      const { key_strindex, value } = dictionary.attribute_table[index]!;
      const key = dictionary.string_table[key_strindex]!;
      return [key, value?.string_value ?? Number(value?.int_value)];
    }),
  );
}
