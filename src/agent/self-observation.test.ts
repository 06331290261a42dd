import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildProfile, plainSample } from '../profile/fixture.test-support.ts';
import { parseExposition, sampleValue } from '../telemetry/strict-exposition.test-support.ts';
import { SelfObservation } from './self-observation.ts';

interface Told {
  readonly fields: object;
  readonly message: string;
}

function observe(): { observation: SelfObservation; told: Told[] } {
  const told: Told[] = [];
  const log = { warn: (fields: object, message: string) => told.push({ fields, message }) };
  return { observation: new SelfObservation('0.1.0', 10_000, log), told };
}

const NONE_LOST = { restarts: 0, profiles: {} };
const NO_DROPS = { restarts: 0, drops: {} };

test('a warning is told once, and at the end how often it came again', () => {
  const { observation, told } = observe();
  for (let i = 0; i < 5; i++) observation.warn('a send_failed', { exporter: 'a' }, `attempt ${i}`);
  observation.warn('b send_failed', { exporter: 'b' }, 'other');
  assert.deepEqual(told, [
    { fields: { exporter: 'a' }, message: 'attempt 0' },
    { fields: { exporter: 'b' }, message: 'other' },
  ]);
  observation.tellRest();
  assert.deepEqual(told[2]?.fields, { cause: 'a send_failed', repeated: 4 });
  assert.equal(told.length, 3);
});

test('the first profile makes it ready, and its samples are in the metrics', () => {
  const { observation } = observe();
  observation.health.exportersOpen();
  observation.health.sampling();
  assert.ok(!observation.health.ready.ok);
  observation.flushed(buildProfile([plainSample, plainSample]));
  assert.ok(observation.health.ready.ok);
  const counts = { samples: 2, lost: 0, unresolved: 0, processes: 5, mapBytes: 9 };
  const render = (state: { counts: typeof counts | undefined }) =>
    parseExposition(
      observation.metrics({ ...state, hz: 99, exporters: [], history: NONE_LOST, page: NO_DROPS }),
    );
  const sampling = render({ counts });
  assert.equal(sampleValue(sampling, 'flametap_samples_total', '{outcome="whole"}'), 2);
  assert.equal(sampleValue(sampling, 'flametap_processes'), 5);
  assert.equal(sampleValue(sampling, 'flametap_sampling_hz'), 99);
  const own = '{where="user"}';
  assert.ok(sampleValue(sampling, 'flametap_cpu_seconds_total', own) > 0);
  const between = render({ counts: undefined });
  assert.equal(sampleValue(between, 'flametap_sampling_hz'), 0);
  assert.ok(!between.has('flametap_processes'));
});
