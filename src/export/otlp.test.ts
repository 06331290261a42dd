import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzz, rawSamples } from '../profile/arbitrary-samples.test-support.ts';
import { buildProfile, plainSample } from '../profile/fixture.test-support.ts';
import { decodeRequest, requestType } from '../profile/otlp-messages.test-support.ts';
import { violations } from '../profile/otlp-validator.test-support.ts';
import { type OtlpSettings, otlpDestination } from './otlp.ts';
import { grpcReceiver, httpReceiver } from './otlp-receivers.test-support.ts';
import { encodeRequests } from './otlp-requests.ts';

const type = requestType();
const never = new AbortController().signal;
const settings: OtlpSettings = {
  name: 'collector',
  endpoint: 'http://127.0.0.1:4317',
  isWholeUrl: false,
  protocol: 'grpc',
  headers: {},
  compression: 'gzip',
  timeoutMs: 20_000,
  tls: () => ({}),
  insecure: false,
  maxRequestBytes: 1_500_000,
  encoding: {},
  now: Date.now,
};

const valuesOf = (bytes: Uint8Array): number[] =>
  decodeRequest(type, bytes).resource_profiles.flatMap(({ scope_profiles }) =>
    scope_profiles.flatMap(({ profiles }) =>
      profiles.flatMap(({ samples }) => samples.map(({ values }) => Number(values[0]))),
    ),
  );
const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);

test('requests keep the limits and all rules, and have every sample once', () => {
  fc.assert(
    fc.property(
      rawSamples,
      fc.integer({ min: 1000, max: 20_000 }),
      fc.integer({ min: 1, max: 5 }),
      (samples, bytes, resources) => {
        const profile = buildProfile(samples, { threads: true });
        const limits = { bytes, resources };
        const requests = [...encodeRequests(profile, {}, limits)];
        for (const request of requests) {
          assert.deepEqual(violations(request), []);
          const found = decodeRequest(type, request);
          assert.ok(found.resource_profiles.length <= resources);
          assert.ok(request.length <= bytes || valuesOf(request).length === 1);
        }
        assert.equal(sum(requests.flatMap(valuesOf)), sum([...profile.samples.count]));
        assert.deepEqual([...encodeRequests(profile, {}, limits)], requests);
      },
    ),
    fuzz,
  );
});

test('what is too large is split until it is a single sample', () => {
  const destination = otlpDestination(settings);
  const samples = [1, 2, 3].map((user) => ({ ...plainSample, user: [user] }));
  const [request] = [...destination.encode(buildProfile(samples, { threads: false }))];
  const halves = destination.split(request!)!;
  assert.deepEqual(
    halves.map((half) => valuesOf(half).length),
    [1, 2],
  );
  assert.equal(destination.split(halves[0]!), undefined);
  assert.equal(destination.split(halves[1]!)!.length, 2);
});

test('endpoints of each protocol, with and without scheme and path', async (context) => {
  const overGrpc = await grpcReceiver(context, () => ({}));
  const overHttp = await httpReceiver(context, (response) => response.end());
  const request = new Uint8Array(0);
  const send = async (more: Partial<OtlpSettings>): Promise<void> => {
    const { transport } = otlpDestination({ ...settings, ...more });
    const outcome = await transport.send(request, never);
    transport.close();
    assert.equal(outcome.kind, 'delivered', JSON.stringify(outcome));
  };
  await send({ endpoint: `http://127.0.0.1:${overGrpc.port}` });
  await send({ endpoint: `http://127.0.0.1:${overGrpc.port}/ignored` });
  await send({ endpoint: `127.0.0.1:${overGrpc.port}`, insecure: true });
  const { href } = overHttp.url;
  await send({ endpoint: href, protocol: 'http/protobuf' });
  await send({ endpoint: `${href}otlp/`, protocol: 'http/protobuf' });
  await send({ endpoint: `${href}whole?x=1`, protocol: 'http/json', isWholeUrl: true });
  assert.deepEqual(
    overHttp.received.map(({ path }) => path),
    ['/v1development/profiles', '/otlp/v1development/profiles', '/whole?x=1'],
  );
});
