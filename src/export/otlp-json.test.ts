import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { fuzz, rawSamples } from '../profile/arbitrary-samples.test-support.ts';
import { buildProfile, plainSample } from '../profile/fixture.test-support.ts';
import { encodeOtlp } from '../profile/otlp.ts';
import { otlpJson } from './otlp-json.ts';

const root = new protobuf.Root();
root.loadSync(join(import.meta.dirname, '..', '..', 'proto', 'otlp', 'profiles-service.proto'));
const type = root.lookupType(
  'opentelemetry.proto.collector.profiles.v1development.ExportProfilesServiceRequest',
);

/** As protobufjs writes JSON, with ids in hex as OTLP has it. */
function expected(bytes: Uint8Array): unknown {
  const message = type.toObject(type.decode(bytes), { longs: String, bytes: String });
  return JSON.parse(JSON.stringify(message), (key, value) =>
    /^(traceId|spanId|profileId)$/.test(key) ? Buffer.from(value, 'base64').toString('hex') : value,
  );
}

test('the same as protobufjs makes of it, with ids in hex', () => {
  fc.assert(
    fc.property(rawSamples, (samples) => {
      const profile = buildProfile(samples, { threads: true });
      const bytes = encodeOtlp(profile, { sampleLabels: 'all', attributes: { a: '\ufeffb' } });
      assert.deepEqual(JSON.parse(otlpJson(bytes)), expected(bytes));
    }),
    fuzz,
  );
});

test('64-bit numbers are texts, others numbers, and ids hex', () => {
  const profile = buildProfile([plainSample], { threads: false });
  const json = JSON.parse(otlpJson(encodeOtlp(profile)));
  const [one] = json.resourceProfiles[0].scopeProfiles[0].profiles;
  assert.match(one.profileId, /^[0-9a-f]{32}$/);
  assert.equal(one.timeUnixNano, `${profile.startTime}`);
  assert.deepEqual(one.samples[0].values, ['1']);
  assert.equal(typeof one.samples[0].stackIndex, 'number');
});
