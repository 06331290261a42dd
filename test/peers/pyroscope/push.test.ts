/** What we push, as Pyroscope stores it: see session.ts. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Profile as Pprof } from 'pprof-format';
import { decodePush, encodePush } from '../../../src/export/push-message.ts';
import { PUSH_LIMITS } from '../../../src/export/pyroscope.ts';
import { CPU } from './querier.ts';
import { named, type Pair, period, pprof, profileOf, type Shape, serviceOf } from './requests.ts';
import { DELIVERED, PyroscopeSession } from './session.ts';

const session = await PyroscopeSession.start();
after(session.close);
const { querier, destination, deliver, send, post, compaction } = session;

/** CPU time in requests. */
function repeated(requests: readonly Uint8Array[]): number {
  const profiles = requests.flatMap(decodePush).map(({ profile }) => Pprof.decode(profile));
  return profiles
    .flatMap(({ sample }) => sample)
    .reduce((sum, one) => sum + Number(one.value[0]), 0);
}

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
  assert.ok(left === 0 || (session.isReal && left === repeated(requests.slice(0, 2))));
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
