/** Time that passes or jumps, and backends that come back: what was accepted arrives, or is counted. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { balanced, DELIVERED, DOWN, profileOf, SETTINGS } from './backend.test-support.ts';
import { FaultWorld } from './fault-world.test-support.ts';
import { settled } from './simulated-clock.test-support.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const names = (first: number, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `p${first + index}`);

describe('requests that wait too long', () => {
  test('are dropped as too_old, oldest first; younger ones arrive', async () => {
    const world = new FaultWorld();
    world.down();
    const exporter = world.open();
    exporter.accept(profileOf('old 1', 'old 2'));
    await world.clock.advance(40 * MINUTE);
    exporter.accept(profileOf('young'));
    await world.clock.advance(HOUR - 40 * MINUTE);
    assert.deepEqual(exporter.stats().dropped, {}, 'exactly an hour is not too old');
    await world.clock.advance(MINUTE);
    assert.deepEqual(balanced(exporter.stats()).dropped, { too_old: 2 });
    world.up();
    await world.clock.advance(MINUTE);
    assert.deepEqual(world.backend.received, ['young']);
    balanced(exporter.stats());
    await exporter.close(0);
  });

  test('also in memory, and while nothing comes in', async () => {
    const world = new FaultWorld();
    world.down();
    const queue = { ...SETTINGS.queue, directory: undefined, maxAgeMs: HOUR };
    const exporter = world.open({ queue });
    exporter.accept(profileOf('a', 'b'));
    await world.clock.advance(HOUR + MINUTE);
    const { dropped, queueSize, queueBytes } = balanced(exporter.stats());
    assert.deepEqual(
      { dropped, queueSize, queueBytes },
      { dropped: { too_old: 2 }, queueSize: 0, queueBytes: 0 },
    );
    await exporter.close(0);
  });

  test('one on its way is not: its answer decides', async () => {
    const world = new FaultWorld();
    const exporter = world.open({ timeoutMs: 3 * HOUR });
    const answer = Promise.withResolvers<typeof DELIVERED>();
    world.backend.answer = () => answer.promise;
    exporter.accept(profileOf('a'));
    await world.clock.advance(2 * HOUR);
    exporter.accept(profileOf('b'));
    world.up();
    answer.resolve(DELIVERED);
    await settled();
    assert.deepEqual(world.backend.received, ['a', 'b']);
    assert.deepEqual(balanced(exporter.stats()).dropped, {});
    await exporter.close(0);
  });

  test('the age counts across agents', async () => {
    const world = new FaultWorld();
    world.down();
    const first = world.open();
    first.accept(profileOf('a'));
    await world.clock.advance(50 * MINUTE);
    first.accept(profileOf('b'));
    await first.close(0);
    await world.clock.advance(30 * MINUTE);
    world.up();
    const second = world.open();
    await settled();
    assert.deepEqual(world.backend.received, ['b']);
    const { recovered, dropped } = balanced(second.stats());
    assert.deepEqual({ recovered, dropped }, { recovered: 2, dropped: { too_old: 1 } });
    await second.close(0);
  });
});

describe('the clock jumps', () => {
  for (const [where, jump] of [
    ['forwards', DAY],
    ['backwards', -DAY],
  ] as const) {
    test(`${where} under a running agent: ages, waits and demands stay what they were`, async () => {
      const world = new FaultWorld();
      world.down();
      const exporter = world.open();
      exporter.accept(profileOf('a'));
      await settled();
      const before = world.backend.attempts.length;
      world.clock.jump(jump);
      await world.clock.advance(999);
      assert.equal(world.backend.attempts.length, before, 'backoff');
      world.backend.answer = () => ({ kind: 'retry', reason: '429', afterMs: 10 * MINUTE });
      await world.clock.advance(1);
      assert.equal(world.backend.attempts.length, before + 1);
      world.clock.jump(-2 * jump);
      await world.clock.advance(10 * MINUTE - 1);
      assert.equal(world.backend.attempts.length, before + 1, 'Retry-After');
      world.down();
      await world.clock.advance(HOUR - 15 * MINUTE);
      exporter.accept(profileOf('b'));
      assert.deepEqual(balanced(exporter.stats()).dropped, {}, 'not an hour yet');
      await world.clock.advance(6 * MINUTE);
      assert.deepEqual(balanced(exporter.stats()).dropped, { too_old: 1 });
      world.up();
      await world.clock.advance(MINUTE);
      assert.deepEqual(world.backend.received, ['b']);
      await exporter.close(0);
    });
  }

  test('backwards between two agents: nothing is lost, and what waited goes on getting older', async () => {
    const world = new FaultWorld();
    world.down();
    const first = world.open();
    first.accept(profileOf('a'));
    await world.clock.advance(30 * MINUTE);
    first.accept(profileOf('b'));
    await first.close(0);
    world.clock.jump(-DAY);
    const second = world.open();
    second.accept(profileOf('c'));
    await world.clock.advance(29 * MINUTE);
    assert.deepEqual(balanced(second.stats()).dropped, {});
    await world.clock.advance(2 * MINUTE);
    assert.deepEqual(balanced(second.stats()).dropped, { too_old: 1 });
    world.up();
    await world.clock.advance(MINUTE);
    assert.deepEqual(world.backend.received, ['b', 'c']);
    await second.close(0);
  });

  test('forwards between two agents: what is too old by that clock is counted, not lost in silence', async () => {
    const world = new FaultWorld();
    world.down();
    const first = world.open();
    first.accept(profileOf('a', 'b'));
    await first.close(0);
    world.clock.jump(DAY);
    const second = world.open();
    second.accept(profileOf('c'));
    world.up();
    await world.clock.advance(MINUTE);
    assert.deepEqual(world.backend.received, ['c']);
    const { recovered, dropped } = balanced(second.stats());
    assert.deepEqual({ recovered, dropped }, { recovered: 2, dropped: { too_old: 2 } });
    await second.close(0);
    // Set right again: the next agent neither waits a day nor drops what is young.
    world.clock.jump(-DAY);
    world.down();
    const third = world.open();
    third.accept(profileOf('d'));
    await world.clock.advance(30 * MINUTE);
    world.up();
    await world.clock.advance(MINUTE);
    assert.deepEqual(world.backend.received, ['c', 'd']);
    balanced(third.stats());
    await third.close(0);
  });
});

describe('a backend', () => {
  test('that is down for an hour and comes back slow gets everything, in order, one at a time', async () => {
    const world = new FaultWorld();
    world.down();
    const exporter = world.open({ queue: { ...SETTINGS.queue, maxAgeMs: DAY } });
    for (let i = 0; i < 360; i++) {
      exporter.accept(profileOf(`p${i}`));
      await world.clock.advance(10_000);
    }
    // Just within the time limit; now and then beyond it.
    let answers = 0;
    let underWay = 0;
    world.backend.answer = async () => {
      assert.equal(++underWay, 1);
      const isLate = ++answers % 50 === 0;
      await new Promise<void>((resolve) => world.clock.after(isLate ? 6000 : 4900, resolve));
      underWay = 0;
      return DELIVERED;
    };
    // A request every 4.9 s leaves, one every 10 s comes.
    let accepted = 360;
    for (let i = 0; i < 400; i++) {
      exporter.accept(profileOf(`p${accepted++}`));
      await world.clock.advance(10_000);
    }
    const { queueSize, dropped, breaker, sendFailed } = balanced(exporter.stats());
    assert.ok(queueSize <= 1, `${queueSize} wait`);
    assert.deepEqual({ dropped, breaker }, { dropped: {}, breaker: 'closed' });
    assert.ok(sendFailed > 360 / 50);
    assert.deepEqual(world.backend.received, names(0, world.backend.received.length));
    assert.ok(world.backend.received.length >= accepted - 1);
    await exporter.close(0);
  });

  test('that comes back for moments only gets everything once, in order', async () => {
    const world = new FaultWorld();
    const exporter = world.open({ queue: { ...SETTINGS.queue, maxAgeMs: DAY } });
    let attempts = 0;
    world.backend.answer = () => (++attempts % 7 < 3 ? DELIVERED : DOWN);
    for (let i = 0; i < 100; i++) {
      exporter.accept(profileOf(`p${i}`));
      await world.clock.advance(10_000);
    }
    await world.clock.advance(HOUR);
    assert.deepEqual(world.backend.received, names(0, 100));
    assert.equal(balanced(exporter.stats()).queueSize, 0);
    await exporter.close(0);
  });
});
