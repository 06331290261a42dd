import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { Profile as Pprof } from 'pprof-format';
import { violations } from '../profile/otlp-validator.test-support.ts';
import { ask } from './ask.test-support.ts';
import { exampleProfile, exampleSpanId, exampleTraceId } from './example-profile.test-support.ts';
import { localHistory } from './history.ts';
import type { PageTemplate } from './page-file.ts';
import { startViewer, type Viewer } from './server.ts';
import { ProfileStore } from './store.ts';

const page: PageTemplate = {
  policy: "default-src 'none'",
  html: '<title><!--flametap:title--></title><script data-mode="<!--flametap:mode-->"><!--flametap:data--></script>',
};
const START = 1_790_000_000_000;
const store = new ProfileStore({ maxBytes: 1e8, retentionMs: 1e15 });
store.add(exampleProfile({ samples: 2_000, traces: 12, startMs: START }));
const [first] = store.slowestTraces({}, 1).traces;
const traceId = first!.traceId;
const [span] = store.request({ traceId }).spans;

let viewer: Viewer;
before(async () => {
  viewer = await startViewer({
    listen: '127.0.0.1:0',
    history: localHistory(store, () => page),
    page,
  });
});
after(() => viewer.close());

async function get(path: string, headers: Record<string, string> = {}) {
  const reply = await ask(viewer.url, path, headers);
  const isJson = reply.headers['content-type'] === 'application/json';
  return { ...reply, value: isJson ? JSON.parse(reply.body.toString()) : undefined };
}

test('the list of traces, a trace and a span say what the store says', async () => {
  const list = await get('/api/traces?limit=3');
  assert.deepEqual(list.value, JSON.parse(JSON.stringify(store.slowestTraces({}, 3))));
  const trace = await get(`/api/traces/${traceId}`);
  assert.deepEqual(trace.value, { traceId, spanId: null, ...store.request({ traceId }) });
  const { spanId, service } = span!;
  const one = await get(`/api/traces/${traceId}?span_id=${spanId}`);
  assert.equal(one.value.samples, span!.samples);
  assert.deepEqual((await get(`/api/spans/${spanId}`)).value.spans, one.value.spans);
  const ofService = await get(`/api/traces/${traceId}?service=${encodeURIComponent(service)}`);
  assert.equal(ofService.value.samples, store.request({ traceId, services: [service] }).samples);
});

test('ids are taken as they are pasted', async () => {
  const dashed = traceId.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-').toUpperCase();
  assert.equal((await get(`/api/traces/${dashed}`)).value.traceId, traceId);
  const flame = await get(`/api/flame?trace_id=${dashed}`);
  assert.equal(flame.value.total, first!.samples);
});

test('a trace comes as pprof with its ids, and in every other form', async () => {
  const { status, headers, body } = await get(`/api/traces/${traceId}/profile.pprof`);
  assert.equal(status, 200);
  assert.equal(
    headers['content-disposition'],
    `attachment; filename="flametap-trace-${traceId}.pb.gz"`,
  );
  const pprof = Pprof.decode(gunzipSync(body));
  const text = (index: number | bigint) => pprof.stringTable.strings[Number(index)];
  let cpuNs = 0;
  for (const { label, value } of pprof.sample) {
    const ids = label.filter(({ key }) => text(key) === 'trace_id').map(({ str }) => text(str));
    assert.deepEqual(ids, [traceId]);
    cpuNs += Number(value[1]);
  }
  assert.equal(cpuNs, first!.cpuNs);
  const otlp = await get(`/api/spans/${span!.spanId}/profile.otlp`);
  assert.equal(otlp.headers['content-type'], 'application/x-protobuf');
  assert.deepEqual(violations(otlp.body), []);
  const json = await get(`/api/traces/${traceId}/profile.json?span_id=${span!.spanId}`);
  for (const sample of json.value.samples) {
    assert.deepEqual([sample.trace_id, sample.span_id], [traceId, span!.spanId]);
  }
  const folded = (await get(`/api/traces/${traceId}/profile.folded`)).body.toString();
  const counts = folded
    .trim()
    .split('\n')
    .map((line) => Number(/ (\d+)$/.exec(line)![1]));
  assert.equal(
    counts.reduce((all, count) => all + count),
    first!.samples,
  );
  assert.match((await get(`/api/traces/${traceId}/profile.html`)).body.toString(), /trace-4bf9/);
  assert.equal((await get(`/api/traces/${traceId}/profile.svg`)).status, 404);
  assert.equal(
    (await get('/api/profile.pb.gz')).headers['content-type'],
    'application/octet-stream',
  );
});

test('what is no id, and what does not go together, is 400 and says what would be right', async () => {
  for (const [path, message] of [
    ['/api/traces/xyz', /'xyz' is no trace id: 32 hex digits/],
    [`/api/traces/${'0'.repeat(32)}`, /is no trace id/],
    [`/api/traces/${exampleSpanId(0, 0)}`, /is no trace id/],
    ['/api/traces/%E0%A4%A', /is no trace id/],
    ['/api/traces/', /is no trace id/],
    [`/api/spans/${traceId}`, /is no span id: 16 hex digits/],
    [`/api/traces/${traceId}?span_id=1`, /is no span id/],
    [`/api/traces/${traceId}?trace_id=${traceId}`, /unknown parameter 'trace_id'/],
    ['/api/traces?limit=0', /limit must be/],
    ['/api/traces?from=yesterday', /from must be a time/],
    ['/api/flame?trace_id=1', /is no trace id/],
  ] as const) {
    const { status, value } = await get(path);
    assert.equal(status, 400, path);
    assert.match(value.error, message);
  }
});

test('an id without samples is 404 and tells what is kept', async () => {
  const unknown = exampleTraceId(4_711);
  for (const path of [`/api/traces/${unknown}`, `/api/traces/${unknown}/profile.pprof`]) {
    const { status, value } = await get(path);
    assert.equal(status, 404);
    assert.match(
      value.error,
      /no sample of trace 4bf91267.*from 2026-09-21T14:13:20Z to .*at most/,
    );
    assert.deepEqual(value.kept, {
      profiles: 1,
      fromMs: START,
      untilMs: START + 30_000,
      retentionMs: 1e15,
    });
  }
  const elsewhere = await get(`/api/traces/${traceId}?service=nobody`);
  assert.match(elsewhere.value.error, /no sample of trace \w+ that was asked for/);
});

test('times are milliseconds or dates, with or without an encoded plus', async () => {
  for (const [window, count] of [
    [`from=${START - 5}&until=${START + 5}`, 1],
    [`until=${START}`, 0],
    ['from=2026-09-21T14:13:49Z', 1],
    ['from=2026-09-21T14:13:50Z', 0],
    ['from=2026-09-21T16:13:49%2B02:00', 1],
    ['from=2026-09-21T16:13:50+02:00', 0],
  ] as const) {
    const { value } = await get(`/api/traces?limit=1&${window}`);
    assert.equal(value.traces.length, count, window);
  }
});

test('a tracing UI may link to a trace; neither it nor others can read or frame it', async () => {
  const path = `/api/traces/${traceId}/profile.pprof`;
  const from = (mode: string, dest: string) => ({
    'sec-fetch-site': 'cross-site',
    'sec-fetch-mode': mode,
    'sec-fetch-dest': dest,
  });
  assert.equal((await get(path, from('navigate', 'document'))).status, 200);
  assert.equal((await get(`/?trace_id=${traceId}`, from('navigate', 'document'))).status, 200);
  assert.equal((await get(path, from('navigate', 'iframe'))).status, 403);
  assert.equal((await get(path, from('no-cors', 'empty'))).status, 403);
  assert.equal((await get('/api/flame', from('navigate', 'document'))).status, 403);
  const { headers } = await get(path);
  assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
  assert.match(String(headers['content-security-policy']), /default-src 'none'/);
});
