import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { tellsLayout, withoutAddresses } from './address-layout.ts';
import { fuzz, rawSamples } from './arbitrary-samples.test-support.ts';
import { buildProfile, inventNames, plainSample } from './fixture.test-support.ts';
import { encodeFlamegraph } from './flamegraph.ts';
import { encodeFolded } from './folded.ts';
import { encodeJson } from './json.ts';
import type { Profile } from './model.ts';
import { encodeOtlp } from './otlp.ts';
import { encodePprof } from './pprof.ts';
import { readProfile } from './read-profile.ts';
import { toldAddresses } from './told-addresses.test-support.ts';

const PAGE = {
  policy: '',
  html: '<!--flametap:title--><!--flametap:mode--><!--flametap:data-->',
};

/** Everything that can be made of a profile, by its form. */
const formsOf = (profile: Profile): [string, Uint8Array][] => [
  ['pprof', encodePprof(profile)],
  ['otlp', encodeOtlp(profile)],
  ['folded', Buffer.from([...encodeFolded(profile)].join(''))],
  ['json', Buffer.from([...encodeJson(profile)].join(''))],
  ['html', Buffer.from(encodeFlamegraph(profile, { title: '', page: PAGE }))],
];

/** Stacks with names, and counts: what a profile says beside addresses. */
const said = (profile: Profile): string[] =>
  [...encodeFolded(profile, { threads: true, ids: true })].join('').split('\n').sort();

const nothingKnown = () => undefined;
const hidden = [{ ...plainSample, kernel: [0x8100_0001, 0x8100_0005], user: [0x1234, 0x5678] }];

test('an address of which nothing is known is in no form of a profile', () => {
  for (const [form, bytes] of formsOf(buildProfile(hidden, { threads: true }, nothingKnown)))
    assert.deepEqual(toldAddresses(bytes), [], form);
  const told = buildProfile(hidden, { threads: true, addresses: true }, nothingKnown);
  for (const [form, bytes] of formsOf(told).filter(([form]) => form !== 'html'))
    assert.notDeepEqual(toldAddresses(bytes), [], `the search finds none in ${form} either way`);
  for (const [form, bytes] of formsOf(withoutAddresses(told)))
    assert.deepEqual(toldAddresses(bytes), [], form);
});

test('a named function of the kernel keeps its name and its type, read back too', () => {
  const profile = buildProfile([{ ...plainSample, kernel: [7, 7, 8], user: [3] }]);
  assert.deepEqual(
    profile.locations.filter(({ type }) => type === 'kernel').map(({ address }) => address),
    [0, 0],
  );
  for (const bytes of [encodePprof(profile), encodeOtlp(profile)]) {
    const again = readProfile(bytes);
    assert.deepEqual(said(again), said(profile));
    assert.equal(again.locations.filter(({ type }) => type === 'kernel').length, 2);
  }
});

test('modules of the kernel are known by their brackets, files of processes stay theirs', () => {
  const profile = buildProfile([{ ...plainSample, kernel: [7], user: [3] }]);
  const readAs = (file: string) =>
    readProfile(
      encodePprof({
        ...profile,
        mappings: profile.mappings.map((one) => (one.file === '[kernel]' ? { ...one, file } : one)),
      }),
    ).locations[0]!.type;
  assert.equal(readAs('[nf_tables]'), 'kernel');
  assert.equal(readAs('[bpf]'), 'kernel');
  assert.equal(readAs('[vdso]'), 'native');
  assert.equal(readAs('[anon]'), 'jit');
});

test('whoever may not know addresses gets what would have been made without them', () => {
  fc.assert(
    fc.property(rawSamples, fc.boolean(), (samples, threads) => {
      const names = (low: number) => (low % 4 === 0 ? undefined : inventNames(low));
      const whole = buildProfile(samples, { threads, addresses: true }, names);
      const without = withoutAddresses(whole);
      const expected = buildProfile(samples, { threads }, names);
      assert.deepEqual(said(without), said(expected));
      assert.equal(without.samples.length, expected.samples.length, 'equal rows are one');
      assert.equal(without.locations.length, expected.locations.length, 'equal places are one');
      assert.deepEqual(without.tally, expected.tally);
      assert.equal(withoutAddresses(expected), expected, 'there is nothing to take away');
      // Addresses in files stay.
      assert.ok(
        without.locations.every(
          ({ type, mapping, address }) =>
            (address === 0) === (tellsLayout(type, whole.mappings[mapping]) || type === 'marker'),
        ),
      );
    }),
    fuzz,
  );
});
