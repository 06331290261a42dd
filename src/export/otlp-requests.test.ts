import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildProfile, plainSample } from '../profile/fixture.test-support.ts';
import type { Profile } from '../profile/model.ts';
import { encodeOtlp } from '../profile/otlp.ts';
import { decodeRequest, requestType } from '../profile/otlp-messages.test-support.ts';
import { violations } from '../profile/otlp-validator.test-support.ts';
import { encodeRequests, splitRequest } from './otlp-requests.ts';

const type = requestType();
const options = {};

/** @param processes with 40 stacks each */
function profileOf(processes: number): Profile {
  const samples = Array.from({ length: processes * 40 }, (_, index) => ({
    ...plainSample,
    pid: 100 + (index % processes),
    user: [1 + Math.floor(index / processes), 5, 8],
    weight: 1 + (index % 3),
  }));
  return buildProfile(samples);
}

const requestsOf = (profile: Profile, bytes: number, resources = 200): Uint8Array[] => [
  ...encodeRequests(profile, options, { bytes, resources }),
];

interface Seen {
  total: number;
  readonly times: string[];
  readonly ids: string[];
  tallies: number;
}

function seen(requests: readonly Uint8Array[]): Seen {
  const all: Seen = { total: 0, times: [], ids: [], tallies: 0 };
  for (const bytes of requests) {
    for (const { resource, scope_profiles } of decodeRequest(type, bytes).resource_profiles) {
      const pid = resource?.attributes.find(({ key }) => key === 'process.pid');
      for (const profile of scope_profiles.flatMap(({ profiles }) => profiles)) {
        all.times.push(`${pid?.value?.int_value} ${profile.time_unix_nano}`);
        all.ids.push(Buffer.from(profile.profile_id).toString('hex'));
        if (profile.attribute_indices.length > 0) all.tallies++;
        for (const { values } of profile.samples) all.total += Number(values[0]);
      }
    }
  }
  return all;
}

test('a profile within the limits is one request, as the encoder writes it', () => {
  const profile = profileOf(3);
  assert.deepEqual(requestsOf(profile, 1e6), [encodeOtlp(profile, options)]);
});

test('a large one is several: each within the limit and valid, nothing missing, nothing twice', () => {
  const profile = profileOf(3);
  const whole = encodeOtlp(profile, options).length;
  for (const bytes of [whole - 1, whole >> 1, whole >> 2]) {
    const requests = requestsOf(profile, bytes);
    assert.ok(requests.length > 1 && requests.every((request) => request.length <= bytes));
    for (const request of requests) assert.deepEqual(violations(request), []);
    const { total, times, ids, tallies } = seen(requests);
    assert.equal(total, profile.tally.exported);
    assert.equal(new Set(times).size, times.length, 'one profile per series and time');
    assert.equal(new Set(ids).size, ids.length);
    assert.equal(tallies, 1);
    assert.deepEqual(requestsOf(profile, bytes), requests, 'a repetition is the same');
  }
});

test('a request has so many processes at most', () => {
  const profile = profileOf(50);
  const requests = requestsOf(profile, 1e6, 20);
  for (const request of requests)
    assert.ok(decodeRequest(type, request).resource_profiles.length <= 20);
  assert.equal(seen(requests).total, profile.tally.exported);
});

test('a sample that is too large by itself is sent all the same, and nothing of nothing', () => {
  assert.equal(requestsOf(buildProfile([plainSample]), 10).length, 1);
  assert.equal(requestsOf(buildProfile([]), 1e6).length, 0);
});

test('halves of a request have all of it, and no two start at the same time', () => {
  const profile = profileOf(5);
  const request = encodeOtlp(profile, options);
  const halves = splitRequest(request)!;
  assert.equal(halves.length, 2);
  assert.ok(halves.every((half) => half.length < request.length));
  const { total, times, ids, tallies } = seen(halves);
  assert.equal(total, profile.tally.exported);
  assert.equal(new Set(times).size, times.length);
  assert.equal(new Set(ids).size, ids.length);
  assert.equal(tallies, 1);
  assert.equal(splitRequest(encodeOtlp(buildProfile([plainSample]), options)), undefined);
});

// Pyroscope stores what it can of a request that it refuses, and knows a profile by process and time.
test('halves divide between profiles; only a single one is divided itself', () => {
  const whole = (request: Uint8Array) =>
    decodeRequest(type, request).resource_profiles.flatMap(({ resource, scope_profiles }) =>
      scope_profiles.flatMap(({ profiles }) =>
        profiles.map(({ profile_id, samples, time_unix_nano }) => [
          resource!.attributes.find(({ key }) => key === 'process.pid')!.value!.int_value,
          Buffer.from(profile_id).toString('hex'),
          time_unix_nano,
          samples.length,
        ]),
      ),
    );
  // A process with more samples than a profile may have gets several.
  const rows = Array.from({ length: 40_000 }, (_, index) => ({
    ...plainSample,
    user: [index + 1],
  }));
  const long = buildProfile([...rows, { ...plainSample, pid: 7 }]);
  for (const profile of [profileOf(5), long]) {
    const request = encodeOtlp(profile, options);
    const halves = splitRequest(request)!;
    assert.deepEqual(halves.flatMap(whole), whole(request));
    for (const half of halves) assert.deepEqual(violations(half), []);
  }
  const [first, second] = splitRequest(encodeOtlp(profileOf(1), options))!.flatMap(whole);
  assert.deepEqual([first![3], second![3]], [20, 20]);
  assert.notEqual(first![2], second![2]);
});

test('attributes of the configuration are on every resource, instead of what was found out', () => {
  const attributes = { 'service.name': 'checkout', team: 'x' };
  const bytes = encodeOtlp(profileOf(2), { ...options, attributes });
  assert.deepEqual(violations(bytes), []);
  for (const { resource } of decodeRequest(type, bytes).resource_profiles) {
    const found = resource!.attributes.map(({ key, value }) => [key, value?.string_value]);
    assert.deepEqual(
      found.filter(([key]) => key! in attributes),
      Object.entries(attributes),
    );
  }
});
