import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IntervalClock } from '../capture/interval-clock.ts';
import { COUNTERS, type Counter } from '../capture/record.ts';
import { LiveIntervals } from './live-intervals.ts';

const zeros = Object.fromEntries(COUNTERS.map((name) => [name, 0])) as Record<Counter, number>;

function machine() {
  const state = {
    counters: { ...zeros, late: 50, swallowed: 9 },
    unsampled: { cpu_returned: 7e9, cpu_unwatched: 0, throttled: 0 },
    clocks: [1n, 1_790_000_000n, 1n].map((seconds) => seconds * 1_000_000_000n),
  };
  const clock = new IntervalClock(() => [...state.clocks, state.clocks[0]!]);
  const source = {
    counters: () => ({ ...state.counters }),
    get unsampled() {
      return { ...state.unsampled };
    },
  };
  return { state, intervals: new LiveIntervals(source, clock, 100) };
}

const withoutZeros = (counts: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== 0));

test('what was before the first interval is not told; what comes later is told once', () => {
  const { state, intervals } = machine();
  const quiet = intervals.next();
  assert.deepEqual(withoutZeros({ ...quiet.lost, ...quiet.timingMs }), {});
  state.counters = { ...state.counters, late: 53, swallowed: 14, ring_full: 2, event_ring_full: 1 };
  state.unsampled = { cpu_returned: 7.4e9, cpu_unwatched: 2e9, throttled: 0.6e6 };
  const busy = intervals.next();
  assert.deepEqual(withoutZeros(busy.lost), { swallowed: 5, ring_full: 2 });
  assert.deepEqual(busy.eventsLost, {
    event_ring_full: 1,
    process_map_full: 0,
    forks_untold: 0,
  });
  assert.deepEqual(withoutZeros(busy.timingMs), {
    cpu_returned: 400,
    cpu_unwatched: 2_000,
    throttled: 1,
    late_timer: 30,
  });
  const after = intervals.next();
  assert.deepEqual(withoutZeros({ ...after.lost, ...after.timingMs }), {});
});

test('parts of a millisecond are not lost by rounding', () => {
  const { state, intervals } = machine();
  let sum = 0;
  for (let i = 0; i < 100; i++) {
    state.unsampled = { ...state.unsampled, throttled: state.unsampled.throttled + 0.3e6 };
    sum += intervals.next().timingMs.throttled!;
  }
  assert.equal(sum, 30);
});

test('a suspension and a clock that was set back are told by how much', () => {
  const { state, intervals } = machine();
  const hour = 3_600_000_000_000n;
  state.clocks = [state.clocks[0]!, state.clocks[1]! + hour, state.clocks[2]! + hour];
  assert.deepEqual(withoutZeros(intervals.next().timingMs), { suspended: 3_600_000 });
  state.clocks = [state.clocks[0]!, state.clocks[1]! - hour / 2n, state.clocks[2]!];
  assert.deepEqual(withoutZeros(intervals.next().timingMs), { clock_set: 1_800_000 });
});

test('whatever was sent and did not arrive is not accounted for', () => {
  const { state, intervals } = machine();
  state.counters = { ...state.counters, sent: 100, deferred: 7 };
  intervals.next();
  assert.equal(intervals.unaccounted(104), 3);
});
