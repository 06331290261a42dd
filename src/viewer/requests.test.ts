import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeJson } from '../profile/json.ts';
import type { Label, Profile } from '../profile/model.ts';
import { nanoseconds } from '../units/units.ts';
import { exampleProfile, exampleSpanId, exampleTraceId } from './example-profile.test-support.ts';
import { ProfileStore, type StoreQuery } from './store.ts';

const START = 1_790_000_000_000;
const PLACES = 6;

/** Six profiles of ten seconds; each has the traces of its place and of the next. */
const profiles = Array.from({ length: PLACES }, (_, place) =>
  exampleProfile({
    seed: place,
    samples: 600,
    seconds: 10,
    startMs: START + place * 10_000,
    traces: 20,
    firstTrace: place * 10,
  }),
);

const storeOf = (
  list: readonly Profile[],
  options: Partial<{ maxBytes: number; retentionMs: number }> = {},
): ProfileStore => {
  let now = START;
  const monotonic = () => now;
  const store = new ProfileStore({ maxBytes: 1e9, retentionMs: 1e12, monotonic, ...options });
  list.forEach((profile, place) => {
    now = START + (place + 1) * 10_000;
    store.add(profile);
  });
  return store;
};

interface PlainSample {
  readonly process: string;
  readonly count: number;
  readonly trace_id: string | null;
  readonly span_id: string | null;
  readonly stack: readonly { readonly name: string }[];
  readonly place: number;
}

const samplesOf = (profile: Profile): PlainSample[] =>
  JSON.parse([...encodeJson(profile)].join('')).samples;

/** The same samples without the store. */
const all: PlainSample[] = profiles.flatMap((profile, place) =>
  samplesOf(profile).map((sample) => ({ ...sample, place })),
);
const total = (samples: readonly PlainSample[]): number =>
  samples.reduce((sum, { count }) => sum + count, 0);

/** A trace of the first two profiles with several services; and the span of it with most samples. */
const traceId = [...new Set(all.map(({ trace_id }) => trace_id ?? ''))].find((id) => {
  const own = all.filter(({ trace_id }) => trace_id === id);
  const has = (process: string) => own.some((sample) => sample.process === process);
  return (
    id !== '' &&
    own.some(({ place }) => place === 0) &&
    own.some(({ place }) => place === 1) &&
    has('node') &&
    has('checkout') &&
    has('ingest')
  );
})!;
const { spanId } = storeOf(profiles).request({ traceId }).spans[0]!;

const stacks = (samples: readonly PlainSample[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { process, stack, span_id, count } of samples) {
    const key = `${process} ${span_id} ${stack.map(({ name }) => name).join(';')}`;
    counts[key] = (counts[key] ?? 0) + count;
  }
  return Object.fromEntries(Object.entries(counts).sort());
};

test('a trace, a span, a service and a time get exactly their samples', () => {
  const store = storeOf(profiles);
  const cases: [StoreQuery, (sample: PlainSample) => boolean][] = [
    [{ traceId }, (sample) => sample.trace_id === traceId],
    [{ spanId }, (sample) => sample.span_id === spanId],
    [{ traceId, spanId }, (sample) => sample.span_id === spanId],
    [
      { traceId, services: ['checkout', 'ingest'] },
      ({ trace_id, process }) => trace_id === traceId && process !== 'node',
    ],
    [
      { traceId, fromMs: START + 10_000, untilMs: START + 20_000 },
      ({ trace_id, place }) => trace_id === traceId && place === 1,
    ],
    [{ traceId, seconds: 50 }, ({ trace_id, place }) => trace_id === traceId && place >= 1],
  ];
  for (const [query, belongs] of cases) {
    const wanted = all.filter(belongs);
    assert.ok(wanted.length > 0, JSON.stringify(query));
    const profile = store.profile(query);
    assert.deepEqual(stacks(samplesOf(profile)), stacks(wanted), JSON.stringify(query));
    assert.equal(store.flame(query).total, total(wanted));
    assert.equal(store.request(query).samples, total(wanted));
  }
  assert.equal(store.flame({ traceId, spanId: 'f'.repeat(16) }).total, 0);
  assert.equal(store.flame({ traceId: 'f'.repeat(32) }).total, 0);
});

test('a request lasts from its first profile to its last, with their tallies', () => {
  const store = storeOf(profiles);
  const { startTime, duration, tally } = store.profile({ traceId });
  assert.equal(startTime, BigInt(START) * 1_000_000n);
  assert.equal(duration, 20e9);
  assert.equal(tally.lost.ring_full, 14);
});

test('the slowest traces come with their CPU time, spans, services and times', () => {
  const store = storeOf(profiles);
  const byTrace = new Map<string, PlainSample[]>();
  for (const sample of all) {
    if (sample.trace_id === null) continue;
    byTrace.set(sample.trace_id, [...(byTrace.get(sample.trace_id) ?? []), sample]);
  }
  const { traces, count } = store.slowestTraces({}, 10);
  assert.equal(count, byTrace.size);
  assert.equal(traces.length, 10);
  const totals = [...byTrace.values()].map(total).sort((a, b) => b - a);
  assert.deepEqual(
    traces.map(({ samples }) => samples),
    totals.slice(0, 10),
  );
  for (const { traceId, cpuNs, samples, spans, services, firstMs, lastMs } of traces) {
    const own = byTrace.get(traceId)!;
    const places = own.map(({ place }) => place);
    assert.equal(samples, total(own));
    assert.equal(cpuNs, total(own) * profiles[0]!.period);
    assert.equal(spans, new Set(own.map(({ span_id }) => span_id)).size);
    assert.deepEqual([...services].sort(), [...new Set(own.map(({ process }) => process))].sort());
    assert.equal(firstMs, START + Math.min(...places) * 10_000);
    assert.equal(lastMs, START + Math.max(...places) * 10_000 + 10_000);
  }
});

test('who took part in a trace adds up to it', () => {
  const store = storeOf(profiles);
  const summary = store.request({ traceId });
  for (const part of ['spans', 'services', 'processes'] as const) {
    const shares: readonly { readonly cpuNs: number; readonly samples: number }[] = summary[part];
    assert.equal(
      shares.reduce((sum, { samples }) => sum + samples, 0),
      summary.samples,
      part,
    );
    assert.ok(
      shares.every(({ cpuNs }, at) => at === 0 || cpuNs <= shares[at - 1]!.cpuNs),
      part,
    );
  }
  assert.equal(summary.spanCount, summary.spans.length);
  const [span] = summary.spans;
  assert.equal(span!.traceId, traceId);
  assert.equal(store.request({ spanId: span!.spanId }).samples, span!.samples);
});

test('CPU time is what samples stood for when they were taken', () => {
  const rates = profiles.map((profile, place) => ({
    ...profile,
    period: nanoseconds(place === 0 ? 1e6 : 20e6),
  }));
  const store = storeOf(rates);
  const own = all.filter(({ trace_id }) => trace_id === traceId);
  const cpuNs = own.reduce((sum, { count, place }) => sum + count * (place === 0 ? 1e6 : 20e6), 0);
  assert.equal(store.request({ traceId }).cpuNs, cpuNs);
  const { total: samples, periodNs } = store.flame({ traceId });
  assert.ok(Math.abs(samples * periodNs - cpuNs) < 1);
});

const withLabels = (profile: Profile, labelSets: Label[][]): Profile => ({ ...profile, labelSets });

test('a span whose program tells no trace is found by itself; what is no id is no request', () => {
  const [profile] = profiles;
  const alone = '00f067aa0ba902b7';
  const labelSets = profile!.labelSets.map((_, set): Label[] =>
    set === 0
      ? []
      : set % 2 === 0
        ? [{ key: 'span_id', value: alone }]
        : [
            { key: 'trace_id', value: 'no hex' },
            { key: 'endpoint', value: '/cart' },
          ],
  );
  const store = storeOf([withLabels(profile!, labelSets)]);
  const { traces, count } = store.slowestTraces({}, 10);
  assert.equal(count, 1);
  assert.deepEqual([traces[0]!.traceId, traces[0]!.spanId, traces[0]!.spans], ['', alone, 1]);
  assert.equal(store.request({ spanId: alone }).samples, traces[0]!.samples);
  const kept = store.profile().labelSets;
  assert.deepEqual(
    kept.find((labels) => labels.length === 2),
    labelSets[1],
  );
});

test('ids survive that old profiles go and tables are made anew', () => {
  const store = storeOf(profiles, { retentionMs: 15_000 });
  assert.equal(store.profiles, 2);
  const late = all.find(({ trace_id, place }) => trace_id !== null && place === 5)!.trace_id!;
  const own = all.filter(({ trace_id, place }) => trace_id === late && place >= 4);
  assert.equal(store.request({ traceId: late }).samples, total(own));
  assert.equal(store.request({ traceId: exampleTraceId(0) }).samples, 0);
});

test('thirty thousand requests take few bytes each, and the limit holds with them', () => {
  const spans = 2_000;
  const base = exampleProfile({ samples: 400, traces: 1 });
  /** Each sample of a request of its own. */
  const profileAt = (place: number): Profile => ({
    ...base,
    labelSets: [
      [],
      ...Array.from({ length: spans }, (_, span): Label[] => [
        { key: 'trace_id', value: exampleTraceId(place * spans + span) },
        { key: 'span_id', value: exampleSpanId(place, span) },
      ]),
    ],
    samples: {
      ...base.samples,
      length: spans,
      process: new Uint32Array(spans).fill(1),
      thread: new Uint32Array(spans),
      stack: new Uint32Array(spans).map((_, row) => row % base.stacks.length),
      count: new Uint32Array(spans).fill(1),
      labels: new Uint32Array(spans).map((_, row) => row + 1),
    },
  });
  const store = storeOf([]);
  const empty = storeOf([base]).bytes;
  for (let place = 0; place < 15; place++) store.add(profileAt(place));
  const each = (store.bytes - empty) / (15 * spans);
  assert.ok(each < 110, `${each} bytes for a request with its row`);
  assert.equal(store.slowestTraces({}, 3).count, 15 * spans);
  const small = storeOf([], { maxBytes: 2e6 });
  for (let place = 0; place < 15; place++) {
    small.add(profileAt(place));
    assert.ok(small.bytes <= 2e6, `${small.bytes} after ${place}`);
  }
  assert.equal(small.request({ traceId: exampleTraceId(15 * spans - 1) }).samples, 1);
  assert.equal(small.request({ traceId: exampleTraceId(0) }).samples, 0);
});
