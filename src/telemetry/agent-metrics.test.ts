import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildProfile, plainSample } from '../profile/fixture.test-support.ts';
import type { Profile, Tally } from '../profile/model.ts';
import { AgentMetrics, type Readings } from './agent-metrics.ts';
import type { ExporterReading } from './exporter-metrics.ts';
import { parseExposition, sampleValue } from './strict-exposition.test-support.ts';

const nothing: Readings = {
  processes: undefined,
  tableBytes: undefined,
  userCpuSeconds: 0,
  kernelCpuSeconds: undefined,
  rssBytes: 0,
  mapBytes: undefined,
  hz: 0,
  resolverRestarts: undefined,
  retried: {},
  exporters: [],
  history: { restarts: 0, profiles: { behind: 0 } },
  page: { restarts: 0, drops: {} },
};
const everything: Readings = {
  processes: 7,
  tableBytes: 4096,
  userCpuSeconds: 1.25,
  kernelCpuSeconds: 0.5,
  rssBytes: 6e7,
  mapBytes: 8e6,
  hz: 99,
  resolverRestarts: 2,
  retried: { drain: 3 },
  exporters: [reading('pyroscope'), reading('files "a"\n')],
  history: { restarts: 2, profiles: { behind: 3, restarting: 1 } },
  page: { restarts: 1, drops: { flood: 7 } },
};

function reading(exporter: string): ExporterReading {
  return {
    exporter,
    queueSize: 2,
    queueBytes: 3000,
    queueCapacity: 1e6,
    sent: 40,
    sendFailed: 5,
    dropped: { queue_full: 6, refused: 0 },
    rejected: 0,
    requestBytes: 1e5,
    breaker: 'half_open',
    inFlight: 1,
    fault: undefined,
  };
}

function metrics(...profiles: Profile[]): AgentMetrics {
  const made = new AgentMetrics({ version: '0.1.0', runtime: 'v24.0.0' });
  for (const profile of profiles) made.add(profile);
  return made;
}

const profile = buildProfile([
  { ...plainSample, kernel: [7], user: [3, 5, 8], end: 5, weight: 2 },
  { ...plainSample, user: [8], pid: 43 },
]);
const withTally = (tally: Partial<Tally>): Profile => ({
  ...profile,
  tally: { ...profile.tally, ...tally },
});

test('every name of the design is there, with its labels and type', () => {
  const families = parseExposition(metrics(profile).render(everything));
  const names = Object.fromEntries(
    [...families].map(([name, { samples }]) => {
      const [labels] = samples.keys();
      return [name, [...labels!.matchAll(/(\w+)="/g)].map((match) => match[1]).join()];
    }),
  );
  assert.deepEqual(names, {
    flametap_build_info: 'version,runtime',
    flametap_profiles_total: '',
    flametap_samples_total: 'outcome',
    flametap_samples_lost_total: 'reason',
    flametap_labels_lost_total: 'reason',
    flametap_unwind_errors_total: 'reason',
    flametap_events_lost_total: 'reason',
    flametap_unsampled_seconds_total: 'reason',
    flametap_clock_set_seconds_total: '',
    flametap_frames_total: 'type,named',
    flametap_processes: '',
    flametap_unwind_tables_bytes: '',
    flametap_cpu_seconds_total: 'where',
    flametap_memory_bytes: 'where',
    flametap_sampling_hz: '',
    flametap_resolver_restarts_total: '',
    flametap_retries_total: 'work',
    flametap_exporter_queue_size: 'exporter',
    flametap_exporter_queue_bytes: 'exporter',
    flametap_exporter_queue_capacity: 'exporter',
    flametap_exporter_sent_total: 'exporter',
    flametap_exporter_send_failed_total: 'exporter',
    flametap_exporter_dropped_total: 'exporter,reason',
    flametap_exporter_rejected_total: 'exporter',
    flametap_exporter_request_bytes_total: 'exporter',
    flametap_exporter_in_flight: 'exporter',
    flametap_exporter_breaker_state: 'exporter,state',
    flametap_exporter_fault: 'exporter,fault',
    flametap_history_restarts_total: '',
    flametap_history_profiles_lost_total: 'reason',
    flametap_page_restarts_total: '',
    flametap_page_connections_dropped_total: 'reason',
  });
});

test('outcomes of samples add up to those taken, and reasons to their outcome', () => {
  const lossy = withTally({ taken: 8, lost: { ring_full: 4, aggregation_full: 1 } });
  const families = parseExposition(metrics(profile, lossy).render(everything));
  const outcome = (name: string) =>
    sampleValue(families, 'flametap_samples_total', `{outcome="${name}"}`);
  assert.deepEqual([outcome('whole'), outcome('truncated'), outcome('lost')], [2, 4, 5]);
  const sum = (name: string) => [...families.get(name)!.samples.values()].reduce((a, b) => a + b);
  assert.equal(sum('flametap_samples_total'), profile.tally.taken + lossy.tally.taken);
  assert.equal(sum('flametap_samples_lost_total'), outcome('lost'));
  assert.equal(sum('flametap_unwind_errors_total'), outcome('truncated'));
  assert.equal(
    sampleValue(families, 'flametap_unwind_errors_total', '{reason="no_unwind_info"}'),
    4,
  );
});

test('times without samples are told in seconds, how far the clock was set apart from them', () => {
  const made = metrics(
    withTally({ timingMs: { suspended: 3_600_000, cpu_returned: 700 } }),
    withTally({ timingMs: { cpu_returned: 50, clock_set: 1_500 } }),
  );
  const families = parseExposition(made.render(everything));
  const unsampled = (reason: string) =>
    sampleValue(families, 'flametap_unsampled_seconds_total', `{reason="${reason}"}`);
  assert.deepEqual(
    ['suspended', 'cpu_returned', 'cpu_unwatched', 'throttled', 'late_timer'].map(unsampled),
    [3_600, 0.75, 0, 0, 0],
  );
  assert.equal(sampleValue(families, 'flametap_clock_set_seconds_total'), 1.5);
});

test('frames by type add up to those of the tally', () => {
  const { samples } = parseExposition(metrics(profile, profile).render(everything)).get(
    'flametap_frames_total',
  )!;
  const of = (named: boolean) =>
    [...samples].reduce(
      (sum, [labels, n]) => (labels.includes(`named="${named}"`) ? sum + n : sum),
      0,
    );
  assert.equal(of(true), 2 * profile.tally.framesNamed);
  assert.equal(of(false), 2 * profile.tally.framesUnnamed);
  assert.ok(of(false) > 0 && of(true) > of(false));
  assert.ok([...samples.keys()].every((labels) => !labels.includes('marker')));
});

test('losses that have not happened are zero, so that the first one is an increase', () => {
  const families = parseExposition(metrics().render(nothing));
  assert.equal(sampleValue(families, 'flametap_samples_lost_total', '{reason="ring_full"}'), 0);
  assert.equal(sampleValue(families, 'flametap_unwind_errors_total', '{reason="no_table"}'), 0);
  assert.equal(
    sampleValue(families, 'flametap_events_lost_total', '{reason="mapping_ring_full"}'),
    0,
  );
  assert.equal(sampleValue(families, 'flametap_sampling_hz'), 0);
});

test('what is not known is not told', () => {
  const families = parseExposition(metrics().render(nothing));
  for (const name of [
    'flametap_processes',
    'flametap_unwind_tables_bytes',
    'flametap_frames_total',
  ])
    assert.ok(!families.has(name), name);
  assert.deepEqual(
    [...families.get('flametap_cpu_seconds_total')!.samples.keys()],
    ['{where="user"}'],
  );
  assert.deepEqual([...families.get('flametap_memory_bytes')!.samples.keys()], ['{where="rss"}']);
});

test('readings and exporters are told as they are', () => {
  const families = parseExposition(metrics().render(everything));
  const of = (name: string, labels?: string) => sampleValue(families, `flametap_${name}`, labels);
  assert.equal(of('processes'), 7);
  assert.equal(of('cpu_seconds_total', '{where="kernel"}'), 0.5);
  assert.equal(of('cpu_seconds_total', '{where="user"}'), 1.25);
  assert.equal(of('memory_bytes', '{where="maps"}'), 8e6);
  assert.equal(of('build_info', '{version="0.1.0",runtime="v24.0.0"}'), 1);
  assert.equal(of('exporter_dropped_total', '{exporter="pyroscope",reason="queue_full"}'), 6);
  assert.equal(of('exporter_sent_total', '{exporter="files \\"a\\"\\n"}'), 40);
  assert.equal(of('exporter_breaker_state', '{exporter="pyroscope",state="half_open"}'), 1);
  assert.equal(of('exporter_breaker_state', '{exporter="pyroscope",state="open"}'), 0);
});
