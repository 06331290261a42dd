/** What we send by OTLP, as Pyroscope stores it: see session.ts. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { otlpDestination } from '../../../src/export/otlp.ts';
import {
  buildProfile,
  plainSample,
  sourceLine,
} from '../../../src/profile/fixture.test-support.ts';
import type { Profile } from '../../../src/profile/model.ts';
import { encodeOtlp } from '../../../src/profile/otlp.ts';
import { unixTime } from '../../../src/units/units.ts';
import { period, profileOf, serviceOf } from './requests.ts';
import { DELIVERED, PyroscopeSession, signal } from './session.ts';

const session = await PyroscopeSession.start();
after(session.close);
const { url, querier, send, pass, postOtlp, compaction } = session;

test('OTLP and the push API give the same stacks, CPU time, traces and spans', async () => {
  const [pushed, exported] = [serviceOf('bypush'), serviceOf('byotlp')];
  const both = [pushed, exported].map((service) => {
    const profile = profileOf(service, 50);
    const labels = profile.samples.labels.map((_, row) => row % 2);
    const ids = [
      { key: 'trace_id', value: '0af7651916cd43dd8448eb211c80319c' },
      { key: 'span_id', value: 'b7ad6b7169203331' },
    ];
    return { ...profile, samples: { ...profile.samples, labels }, labelSets: [[], ids] };
  });
  assert.deepEqual(await send(both[0]!), [DELIVERED]);
  assert.deepEqual(await postOtlp(encodeOtlp(both[1]!)), { status: 200, text: '' });
  for (const more of [{}, { spans: ['b7ad6b7169203331'] }]) {
    const [one, other] = await Promise.all(
      [pushed, exported].map((service) =>
        querier.stacks({ labels: `{service_name="${service}"}`, ...more }),
      ),
    );
    assert.ok(one!.size >= 25);
    assert.deepEqual(new Map([...one!].sort()), new Map([...other!].sort()));
  }
  assert.equal(
    await querier.total(`{service_name="${exported}","process.pid"="42"}`),
    1275 * period,
  );
});

// Half an hour of a real one is too long to wait for.
test('by OTLP a process is whole after compaction though it ran itself anew', async () => {
  const service = serviceOf('exec');
  const samples = [1, 2, 3].map((execId) => ({ ...plainSample, comm: service, execId }));
  const startTime = unixTime(BigInt(Date.now()) * 1_000_000n);
  const profile = { ...buildProfile(samples), startTime };
  assert.deepEqual(await postOtlp(encodeOtlp(profile)), { status: 200, text: '' });
  await compaction();
  assert.equal(await querier.total(`{service_name="${service}"}`), 3 * period);
});

test('refusals of OTLP are plain texts that name every series', async () => {
  const old = { ...profileOf(serviceOf('old')), startTime: unixTime(1_790_000_000_000_000_000n) };
  const refused = await postOtlp(encodeOtlp(old));
  assert.equal(refused.status, 400);
  assert.match(
    refused.text,
    /^failed to make a GRPC request: push series with index 0 and id [0-9a-f-]{36} failed: invalid_argument: profile with labels .* is outside of ingestion window/,
  );
  const empty = await postOtlp(new Uint8Array());
  assert.equal(empty.status, 500);
  assert.match(empty.text, /missing profile metadata dictionary/);
  assert.deepEqual(await postOtlp(Buffer.from('garbage')), {
    status: 400,
    text: 'Failed to parse protobuf request\n',
  });
  const charset = await postOtlp(encodeOtlp(old), 'application/x-protobuf; charset=utf-8');
  assert.equal(charset.status, 415);
});

/** Many processes of the same long names. */
function wideProfile(service: string, processes: number): Profile {
  const samples = Array.from({ length: processes * 300 }, (_, i) => ({
    ...plainSample,
    comm: service,
    pid: 100 + (i % processes),
    kernel: [1 + (Math.floor(i / processes) % 300)],
    user: [],
  }));
  const named = (low: number) => [
    { ...sourceLine(`f${low}${'x'.repeat(180)}`, 1), systemName: '' },
  ];
  const plain = buildProfile(samples, { threads: false }, named);
  return { ...plain, startTime: unixTime(BigInt(Date.now()) * 1_000_000n) };
}

test('a small OTLP request can be more than the burst: each series gets its own names', async () => {
  const request = encodeOtlp(wideProfile(serviceOf('b'), 60));
  assert.ok(request.length < 300_000);
  const answer = await postOtlp(request);
  assert.equal(answer.status, 429);
  assert.match(
    answer.text,
    /^failed to make a GRPC request: \d+ errors: .* push rate limit \(4\.0 MiB\) exceeded while adding \d\d KiB/,
  );
});

test('by OTLP too, what is more than the burst arrives in parts', async () => {
  const service = serviceOf('burstparts');
  const to = otlpDestination({
    name: 'otlp',
    endpoint: url.href,
    isWholeUrl: false,
    protocol: 'http/protobuf',
    headers: {},
    compression: 'gzip',
    timeoutMs: 10_000,
    tls: () => ({}),
    insecure: true,
    maxRequestBytes: 1_500_000,
    encoding: {},
    now: Date.now,
  });
  const waiting = [...to.encode(wideProfile(service, 61))];
  assert.equal(waiting.length, 1);
  let divided = 0;
  for (let attempt = 0; waiting.length > 0 && attempt < 60; attempt++) {
    pass();
    const outcome = await to.transport.send(waiting[0]!, signal);
    if (outcome.kind === 'delivered') waiting.shift();
    else if (outcome.kind === 'too_large')
      divided += waiting.splice(0, 1, ...to.split(waiting[0]!)!).length;
    else if (session.isReal) await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.notEqual(outcome.kind, 'refused');
  }
  to.transport.close();
  // A real one that is slow has room again before it comes to the end.
  assert.deepEqual([waiting.length, divided > 0 || session.isReal], [0, true]);
  // What was stored before it was divided is there twice until then.
  const expected = 61 * 300 * period;
  const total = () => querier.total(`{service_name="${service}"}`);
  assert.ok((await total()) >= expected + (session.isReal ? 0 : 1));
  await compaction();
  const left = (await total()) - expected;
  assert.ok(left === 0 || (session.isReal && divided > 0 && left > 0), `${left}`);
});
