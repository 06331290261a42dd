/**
 * What we push, as Pyroscope stores it. Against the receiver that imitates one,
 * or a real one: PYROSCOPE_URL=http://127.0.0.1:4040.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  Label,
  Line,
  Location,
  Profile as Pprof,
  Function as PprofFunction,
  Sample,
  StringTable,
  ValueType,
} from 'pprof-format';
import { otlpDestination } from '../../../src/export/otlp.ts';
import { decodePush, encodePush } from '../../../src/export/push-message.ts';
import {
  PUSH_LIMITS,
  type PyroscopeSettings,
  pyroscopeDestination,
} from '../../../src/export/pyroscope.ts';
import type { Destination, Outcome } from '../../../src/export/transport.ts';
import {
  buildProfile,
  plainSample,
  sourceLine,
} from '../../../src/profile/fixture.test-support.ts';
import type { Profile } from '../../../src/profile/model.ts';
import { encodeOtlp } from '../../../src/profile/otlp.ts';
import { unixTime } from '../../../src/units/units.ts';
import { CPU, Querier } from './querier.ts';
import { PyroscopeReceiver } from './receiver.ts';

const realUrl = process.env.PYROSCOPE_URL;
/** A real one keeps what earlier runs have sent. */
const run = `t${Date.now().toString(36)}`;
const signal = new AbortController().signal;
const period = 10_101_010;
const DELIVERED: Outcome = { kind: 'delivered', rejected: 0, message: '' };

let imitation: PyroscopeReceiver | undefined;
/** The imitation's time: half a second for each request, however busy the machine is. */
let nowMs = Date.now();
const pass = (): void => {
  nowMs += 500;
};
let url: URL;
let querier: Querier;

before(async () => {
  if (realUrl === undefined) imitation = await PyroscopeReceiver.start({ now: () => nowMs });
  url = imitation?.url ?? new URL(realUrl!);
  querier = new Querier(url);
});
after(() => imitation?.close());

function destination(changes: Partial<PyroscopeSettings> = {}): Destination {
  return pyroscopeDestination({
    name: 'pyroscope',
    endpoint: url,
    tenant: '',
    auth: { kind: 'none' },
    headers: {},
    compression: 'gzip',
    timeoutMs: 10_000,
    now: Date.now,
    series: { pid: false, labels: {} },
    limits: PUSH_LIMITS,
    ...changes,
  });
}

/** Sends all requests, dividing what is too large, as the queue does. */
async function deliver(to: Destination, requests: Iterable<Uint8Array>): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const request of requests) {
    pass();
    const outcome = await to.transport.send(request, signal);
    const parts = outcome.kind === 'too_large' ? to.split(request) : undefined;
    if (parts === undefined) outcomes.push(outcome);
    else outcomes.push(...(await deliver(to, parts)));
  }
  return outcomes;
}

async function send(
  profile: Profile,
  changes: Partial<PyroscopeSettings> = {},
): Promise<Outcome[]> {
  const to = destination(changes);
  const outcomes = await deliver(to, to.encode(profile));
  to.transport.close();
  return outcomes;
}

/** Processes of the service are called by the test. */
function profileOf(service: string, rows = 3): Profile {
  const samples = Array.from({ length: rows }, (_, i) => ({
    ...plainSample,
    comm: service,
    user: [0x1001, 0x2000 + i],
    weight: 1 + i,
  }));
  return { ...buildProfile(samples), startTime: unixTime(BigInt(Date.now()) * 1_000_000n) };
}

/** Comm holds 15 bytes. */
const serviceOf = (test: string): string => `${run}${test}`.slice(-15);

test('stacks and CPU time are found under the name of the service', async () => {
  const service = serviceOf('plain');
  assert.deepEqual(await send(profileOf(service)), [DELIVERED]);
  const stacks = await querier.stacks({ labels: `{service_name="${service}"}` });
  const expected = new Map([
    ['f4097;f8192', period],
    ['f4097;inlined8193;f8193', 2 * period],
    ['f4097;f8194', 3 * period],
  ]);
  assert.deepEqual(
    [...stacks.values()].sort((a, b) => a - b),
    [...expected.values()],
  );
  assert.ok((await querier.types()).includes(CPU));
  assert.ok((await querier.labelValues('service_name')).includes(service));
});

test('labels of the configuration select, and are listed', async () => {
  const service = serviceOf('labels');
  await send(profileOf(service), {
    series: { pid: true, labels: { 'k8s.pod.name': service } },
  });
  assert.equal(await querier.total(`{k8s_pod_name="${service}"}`), 6 * period);
  assert.equal(await querier.total(`{service_name="${service}",pid="42"}`), 6 * period);
  const names = await querier.labelNames();
  for (const name of ['service_name', 'process', 'host', 'pid', 'k8s_pod_name'])
    assert.ok(names.includes(name), name);
});

test('traces and spans are found by their ids and make no series; goroutines are not sent', async () => {
  const service = serviceOf('trace');
  const labels = [
    { key: 'goroutine', value: '17' },
    { key: 'trace_id', value: '0af7651916cd43dd8448eb211c80319c' },
    { key: 'span_id', value: 'b7ad6b7169203331' },
  ];
  const plain = profileOf(service);
  const samples = { ...plain.samples, labels: Uint32Array.of(0, 1, 1) };
  await send({ ...plain, samples, labelSets: [[], labels] });
  const selector = `{service_name="${service}"}`;
  const total = async (more: { spans?: string[]; traces?: string[] }): Promise<number> =>
    [...(await querier.stacks({ labels: selector, ...more })).values()].reduce((a, b) => a + b, 0);
  assert.equal(await total({}), 6 * period);
  assert.equal(await total({ spans: ['b7ad6b7169203331'] }), 5 * period);
  assert.equal(await total({ traces: ['0af7651916cd43dd8448eb211c80319c'] }), 5 * period);
  assert.equal(await total({ spans: ['b7ad6b7169203332'] }), 0);
  assert.equal((await querier.labelNames()).includes('goroutine'), false);
});

test('a divided profile stays whole after compaction, and what is sent again counts once', async () => {
  const service = serviceOf('parts');
  const to = destination({ limits: { ...PUSH_LIMITS, samples: 4, series: 1 } });
  const profile = profileOf(service, 20);
  const requests = [...to.encode(profile)];
  assert.equal(requests.length, 8);
  await deliver(to, requests);
  await deliver(to, requests.slice(0, 2));
  to.transport.close();
  const total = () => querier.total(`{service_name="${service}"}`);
  assert.equal(await total(), 210 * period + repeated(requests.slice(0, 2)));
  await compaction();
  // A real one compares what it compacts together; the repetitions may wait for a later time.
  const left = (await total()) - 210 * period;
  assert.ok(left === 0 || (imitation === undefined && left === repeated(requests.slice(0, 2))));
});

test('more samples than a profile may have are divided when Pyroscope says so', async () => {
  const service = serviceOf('large');
  const outcomes = await send(profileOf(service, 16_500), {
    limits: { ...PUSH_LIMITS, samples: 20_000 },
  });
  assert.deepEqual(outcomes, [DELIVERED, DELIVERED]);
  assert.equal(
    await querier.total(`{service_name="${service}"}`),
    ((16_500 * 16_501) / 2) * period,
  );
});

test('one bad series does not take the others with it', async () => {
  const service = serviceOf('bad');
  const good = (name: string) => ({ labels: named(`${service}${name}`), profile: pprof() });
  const bad = { labels: [...named(service), ['', 'x']] as Pair[], profile: pprof() };
  const to = destination();
  const outcomes = await deliver(to, [encodePush([good('a'), bad, good('b'), good('c')])]);
  to.transport.close();
  assert.deepEqual(
    outcomes.map((one) => one.kind),
    ['delivered', 'refused', 'delivered'],
  );
  for (const name of ['a', 'b', 'c'])
    assert.ok((await querier.total(`{service_name="${service}${name}"}`)) >= 1000);
});

type Pair = [name: string, value: string];
const named = (service: string): Pair[] => [
  ['__name__', 'process_cpu'],
  ['service_name', service],
];

interface Shape {
  readonly samples?: number;
  readonly timeMs?: number;
  readonly values?: number[];
  readonly padding?: number;
  readonly label?: Pair;
  readonly type?: string;
}

function pprof(shape: Shape = {}): Uint8Array {
  const { samples = 1, timeMs = Date.now(), values = [1000], padding = 0, label } = shape;
  const strings = new StringTable();
  const type = { type: strings.dedup(shape.type ?? 'cpu'), unit: strings.dedup('nanoseconds') };
  const ids = Array.from({ length: samples }, (_, i) => i + 1);
  const labels = label
    ? [new Label({ key: strings.dedup(label[0]), str: strings.dedup(label[1]) })]
    : [];
  return new Pprof({
    sampleType: [new ValueType(type)],
    sample: ids.map((id) => new Sample({ locationId: [id], value: values, label: labels })),
    location: ids.map((id) => new Location({ id, line: [new Line({ functionId: id, line: 1 })] })),
    function: ids.map(
      (id) => new PprofFunction({ id, name: strings.dedup(`f${id}${'x'.repeat(padding)}`) }),
    ),
    timeNanos: BigInt(timeMs) * 1_000_000n,
    durationNanos: 10_000_000_000,
    periodType: new ValueType(type),
    period: 1,
    stringTable: strings,
  }).encode();
}

async function post(
  body: Uint8Array | string,
  headers: Record<string, string> = {},
): Promise<{ status: number; text: string }> {
  pass();
  const answer = await fetch(new URL('/push.v1.PusherService/Push', url), {
    method: 'POST',
    headers: { 'content-type': 'application/proto', ...headers },
    body: Buffer.from(body),
  });
  assert.equal(answer.headers.get('retry-after'), null);
  return { status: answer.status, text: await answer.text() };
}

test('the rules that our limits come from', async () => {
  const service = serviceOf('rules');
  const wide = (count: number): Pair[] => [
    ...named(service),
    ...Array.from({ length: count - 2 }, (_, i): Pair => [`l${i}`, 'v']),
  ];
  const rules: [labels: Pair[], shape: Shape, status: number, said: RegExp][] = [
    [named(service), {}, 200, /^$/],
    [[['service_name', service]], {}, 400, /"invalid_argument".*invalid metric name/],
    [[['__name__', 'process_cpu']], {}, 200, /^$/],
    [named(''), {}, 400, /service name is not provided/],
    [wide(30), {}, 200, /^$/],
    [wide(31), {}, 400, /has 31 label names; limit 30/],
    [wide(30), { label: ['endpoint', 'x'] }, 400, /has 31 label names; limit 30/],
    [wide(30), { label: ['span_id', '0123456789abcdef'] }, 200, /^$/],
    [[...named(service), ['a', 'v'.repeat(2048)]], {}, 200, /^$/],
    [[...named(service), ['a', 'v'.repeat(2049)]], {}, 400, /label value too long/],
    [[...named(service), ['a'.repeat(1025), 'v']], {}, 400, /label name too long/],
    [[...named(service), ['', 'v']], {}, 400, /invalid label name ''/],
    [[...named(service), ['a/b é', 'v']], {}, 200, /^$/],
    [[...named(service), ['a', '1'], ['a', '2']], {}, 400, /duplicate label name: 'a'/],
    [named(service), { samples: 16_001 }, 400, /samples count limit .*16001, limit: 16000/],
    [named(service), { timeMs: Date.now() - 7_200_000 }, 400, /outside of ingestion window/],
    [named(service), { timeMs: Date.now() + 1_200_000 }, 400, /outside of ingestion window/],
    [named(service), { timeMs: 0 }, 200, /^$/],
    [named(service), { values: [1, 2] }, 400, /sample value length mismatch/],
    [named(service), { values: [0] }, 200, /^$/],
    [named(service), { type: 'a-b' }, 400, /sample type contains -/],
  ];
  for (const [labels, shape, status, said] of rules) {
    const answer = await post(encodePush([{ labels, profile: pprof(shape) }]));
    const what = `${JSON.stringify(labels).slice(0, 80)} ${JSON.stringify(shape)}`;
    assert.equal(answer.status, status, `${what}: ${answer.text}`);
    assert.match(answer.text, said, what);
  }
});

test('requests that are none', async () => {
  const push = encodePush([{ labels: named(serviceOf('none')), profile: pprof() }]);
  const garbage = encodePush([{ labels: named('x'), profile: Buffer.from([0x1f, 0x8b, 8, 1]) }]);
  assert.match((await post('')).text, /no profiles received/);
  assert.equal((await post(garbage)).status, 500);
  assert.equal((await post(push, { 'content-type': 'application/octet-stream' })).status, 415);
  assert.match(
    (await post(push, { 'connect-protocol-version': '2' })).text,
    /Connect-Protocol-Version must be \\"1\\"/,
  );
  assert.match((await post(push, { 'content-encoding': 'gzip' })).text, /gzip: invalid header/);
  assert.equal((await post(push, { 'content-encoding': 'zstd' })).status, 501);
});

test('a series larger than the burst is refused, and larger than a profile too', async () => {
  const labels = named(serviceOf('burst'));
  const burst = await post(
    encodePush([{ labels, profile: pprof({ samples: 12_000, padding: 180 }) }]),
  );
  assert.equal(burst.status, 429);
  assert.match(burst.text, /"resource_exhausted".*push rate limit \(4\.0 MiB\) exceeded/);
  const large = await post(
    encodePush([{ labels, profile: pprof({ samples: 12_000, padding: 400 }) }]),
  );
  assert.equal(large.status, 400);
  assert.match(large.text, /uncompressed profile payload size exceeds limit of 4\.2 MB/);
});

async function postOtlp(
  body: Uint8Array,
  type = 'application/x-protobuf',
): Promise<{ status: number; text: string }> {
  pass();
  const answer = await fetch(new URL('/v1development/profiles', url), {
    method: 'POST',
    headers: { 'content-type': type },
    body: Buffer.from(body),
  });
  return { status: answer.status, text: await answer.text() };
}

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
    else if (imitation === undefined) await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.notEqual(outcome.kind, 'refused');
  }
  to.transport.close();
  // A real one that is slow has room again before it comes to the end.
  assert.deepEqual([waiting.length, divided > 0 || imitation === undefined], [0, true]);
  // What was stored before it was divided is there twice until then.
  const expected = 61 * 300 * period;
  const total = () => querier.total(`{service_name="${service}"}`);
  assert.ok((await total()) >= expected + (imitation === undefined ? 0 : 1));
  await compaction();
  const left = (await total()) - expected;
  assert.ok(left === 0 || (imitation === undefined && divided > 0 && left > 0), `${left}`);
});

/** CPU time in requests. */
function repeated(requests: readonly Uint8Array[]): number {
  const profiles = requests.flatMap(decodePush).map(({ profile }) => Pprof.decode(profile));
  return profiles
    .flatMap(({ sample }) => sample)
    .reduce((sum, one) => sum + Number(one.value[0]), 0);
}

/** A real one needs a minute; it has been at work when profiles of one time have become one. */
async function compaction(): Promise<void> {
  if (imitation !== undefined) {
    imitation.compact();
    return;
  }
  const service = serviceOf('canary');
  const timeMs = Date.now();
  const canary = encodePush([{ labels: named(service), profile: pprof({ timeMs }) }]);
  for (let i = 0; i < 3; i++) await post(canary);
  for (let waited = 0; waited < 240; waited += 5) {
    if ((await querier.total(`{service_name="${service}"}`)) < 3000) return;
    await new Promise((resolve) => setTimeout(resolve, 5000));
    // Segments are compacted when there are some of them.
    await post(encodePush([{ labels: named(serviceOf('filler')), profile: pprof() }]));
  }
  throw new Error('no compaction within four minutes');
}

if (realUrl === undefined) {
  test('tenants are kept apart, and nothing is taken without one', async () => {
    const shared = await PyroscopeReceiver.start({ multitenancy: true });
    try {
      const service = serviceOf('tenant');
      const changes = { endpoint: shared.url };
      const [without] = await send(profileOf(service), changes);
      assert.deepEqual(without, {
        kind: 'retry',
        fault: 'tenant',
        reason: 'unauthenticated: no org id',
        mend: 'set {tenant} to a tenant that the receiver knows',
      });
      assert.deepEqual(await send(profileOf(service), { ...changes, tenant: 'one' }), [DELIVERED]);
      const total = (tenant: string) =>
        new Querier(shared.url, { 'x-scope-orgid': tenant }).total(`{service_name="${service}"}`);
      assert.equal(await total('one'), 6 * period);
      assert.equal(await total('two'), 0);
    } finally {
      await shared.close();
    }
  });

  test('a server that takes less at once than we send gets it in parts', async () => {
    let slowMs = Date.now();
    const slow = await PyroscopeReceiver.start({
      limits: { rateBytes: 1_000_000, burstBytes: 200_000 },
      now: () => slowMs,
    });
    const to = destination({ endpoint: slow.url });
    const service = serviceOf('less');
    try {
      const waiting = [...to.encode(profileOf(service, 6000))];
      assert.ok(waiting.length === 1 && waiting[0]!.length > 300_000);
      for (let round = 0; waiting.length > 0 && round < 50; round++) {
        const outcome = await to.transport.send(waiting[0]!, signal);
        if (outcome.kind === 'too_large') waiting.splice(0, 1, ...to.split(waiting[0]!)!);
        else if (outcome.kind === 'delivered') waiting.shift();
        else slowMs += 1000;
      }
      const total = await new Querier(slow.url).total(`{service_name="${service}"}`);
      assert.equal(total, ((6000 * 6001) / 2) * period);
    } finally {
      to.transport.close();
      await slow.close();
    }
  });

  test('a limit on the rate passes with time', async () => {
    let slowMs = Date.now();
    const slow = await PyroscopeReceiver.start({
      limits: { rateBytes: 1000, burstBytes: 2000 },
      now: () => slowMs,
    });
    const to = destination({ endpoint: slow.url });
    try {
      const [request] = [...to.encode(profileOf(serviceOf('rate'), 20))];
      assert.deepEqual(await to.transport.send(request!, signal), DELIVERED);
      const limited = await to.transport.send(request!, signal);
      assert.equal(limited.kind, 'retry');
      assert.match(
        limited.kind === 'retry' ? limited.reason : '',
        /^resource_exhausted: push rate limit \(1000 B\) exceeded while adding [\d.]+ (B|KiB)$/,
      );
      slowMs += 2000;
      assert.deepEqual(await to.transport.send(request!, signal), DELIVERED);
    } finally {
      to.transport.close();
      await slow.close();
    }
  });
}
