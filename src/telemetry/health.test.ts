import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Health } from './health.ts';

test('ready comes with the first profile, once exporters are open', () => {
  const health = new Health(10_000, () => 0);
  assert.deepEqual(health.ready, { ok: false, words: 'starting' });
  assert.ok(health.live.ok);
  health.sampling();
  assert.deepEqual(health.ready, { ok: false, words: 'exporters are not open yet' });
  health.exportersOpen();
  assert.deepEqual(health.ready, { ok: false, words: 'no profile has been made yet' });
  health.flushed();
  assert.deepEqual(health.ready, { ok: true, words: 'sampling' });
  health.stopping();
  assert.deepEqual(health.ready, { ok: false, words: 'stopping' });
  assert.ok(health.live.ok, 'a restart would not help');
});

test('without names it is not ready, but alive', () => {
  const health = new Health(10_000, () => 0);
  let isUp = false;
  health.followResolver(() => isUp);
  health.sampling();
  health.exportersOpen();
  health.flushed();
  assert.match(health.ready.words, /thread that reads programs has failed/);
  assert.ok(!health.ready.ok && health.live.ok);
  isUp = true;
  assert.ok(health.ready.ok);
});

test('when profiles stop coming it is neither ready nor alive, until they come again', () => {
  let now = 0;
  const health = new Health(30_000, () => now);
  health.sampling();
  health.exportersOpen();
  now = 90_000;
  assert.ok(health.live.ok);
  now = 90_001;
  assert.deepEqual(health.live, { ok: false, words: 'no profile for 90 s' });
  health.flushed();
  assert.ok(health.live.ok && health.ready.ok);
  now += 90_001;
  assert.ok(!health.live.ok && !health.ready.ok);
});

test('short intervals have a minute all the same', () => {
  let now = 0;
  const health = new Health(500, () => now);
  health.sampling();
  now = 60_000;
  assert.ok(health.live.ok);
});

test('not ready while a receiver takes nothing until somebody mends it; a restart would not help', () => {
  const health = new Health(10_000, () => 0);
  let faults: string[] = [];
  health.watchExporters(() => faults);
  health.sampling();
  health.exportersOpen();
  health.flushed();
  assert.ok(health.ready.ok);
  faults = ['otlp tenant exporters.0.otlp.headers'];
  assert.deepEqual(health.ready, {
    ok: false,
    words: 'profiles wait: otlp tenant exporters.0.otlp.headers',
  });
  assert.ok(health.live.ok);
});
