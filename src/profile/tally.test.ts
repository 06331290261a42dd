import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tally } from './model.ts';
import { checkTally, tallyLines } from './tally.ts';

const good: Tally = {
  taken: 10,
  exported: 7,
  lost: { ring_full: 2, no_ring: 1 },
  truncated: { depth_limit: 4 },
  deferred: { no_table: 7 },
  framesNamed: 5,
  framesUnnamed: 1,
  labelsLost: {},
  eventsLost: { event_ring_full: 3 },
  problems: { debug_info_time_limit: 1 },
  timingMs: { suspended: 3_600_000 },
};

test('a tally that adds up passes', () => {
  checkTally(good);
  // One sample may lack both its goroutine and its request.
  checkTally({ ...good, labelsLost: { go_state_unknown: 7, context_unreadable: 7 } });
});

test('each way not to add up is an error that gives the numbers', () => {
  assert.throws(() => checkTally({ ...good, taken: 11 }), /11 samples taken, but 7 exported \+ 3/);
  assert.throws(() => checkTally({ ...good, lost: {} }), /TallyError|10 samples taken/);
  assert.throws(() => checkTally({ ...good, truncated: { x: 8 } }), /8 samples truncated/);
  assert.throws(() => checkTally({ ...good, deferred: { x: 8 } }), /8 samples deferred/);
  assert.throws(() => checkTally({ ...good, labelsLost: { x: 8 } }), /8 samples labelsLost/);
  assert.throws(() => checkTally({ ...good, framesNamed: -1 }), /no count/);
  assert.throws(() => checkTally({ ...good, eventsLost: { x: Number.NaN } }), /no count/);
});

test('lines name every number once', () => {
  assert.deepEqual(tallyLines(good), [
    'flametap.tally.taken=10',
    'flametap.tally.exported=7',
    'flametap.tally.frames_named=5',
    'flametap.tally.frames_unnamed=1',
    'flametap.tally.lost.no_ring=1',
    'flametap.tally.lost.ring_full=2',
    'flametap.tally.truncated.depth_limit=4',
    'flametap.tally.deferred.no_table=7',
    'flametap.tally.events_lost.event_ring_full=3',
    'flametap.tally.problems.debug_info_time_limit=1',
    'flametap.tally.timing_ms.suspended=3600000',
  ]);
});
