import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drained, sampleRecord } from '../capture/testing.ts';
import { nanoseconds, unixTime } from '../units/units.ts';
import { Pipeline, patienceOf } from './pipeline.ts';

const INTERVAL = {
  startTime: unixTime(0n),
  duration: nanoseconds(1),
  period: nanoseconds(1),
  host: 'host',
  lost: {},
  eventsLost: {},
  timingMs: {},
};

/** Of no process that there is, so that all of it is the test's. */
const PID = 0x7fff_0000;
const finished = sampleRecord({ pid: PID, kernel: [0x1000] });
/** Goes to the resolver, and comes back as a finished one. */
const deferred = sampleRecord({ pid: PID, kernel: [0x2000], stack: new Uint8Array(64) });

// A busy resolver takes seconds to answer: an interval would have CPU time of the next one.
test('what is consumed while a profile is made is of the next one', async (context) => {
  const pipeline = new Pipeline({
    threads: false,
    wanted: [],
    onSnapshot() {},
    onFailure: (error) => assert.fail(error),
  });
  context.after(() => pipeline.close());
  await pipeline.start({
    maps: undefined,
    maxDepth: 128,
    patience: patienceOf(true),
    isSteady: true,
    saveSnapshots: false,
    snapshots: [],
    announcesContexts: false,
    symbols: undefined,
  });
  const consume = (...records: Uint8Array[]): void => {
    const { buffer, length } = drained(...records);
    pipeline.consume(buffer, length, new Uint8Array());
  };
  consume(finished, deferred, finished, deferred, finished);
  const first = pipeline.profile(INTERVAL);
  consume(finished, deferred);
  // Taken before the first profile is there.
  const second = pipeline.profile(INTERVAL);
  consume(deferred, finished, deferred, finished);
  assert.deepEqual([(await first).tally.taken, (await second).tally.taken], [5, 2]);
  consume(finished);
  assert.equal((await pipeline.profile(INTERVAL)).tally.taken, 5);
  assert.equal((await pipeline.profile(INTERVAL)).tally.taken, 0);
});
