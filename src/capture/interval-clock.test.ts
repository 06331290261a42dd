import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadAddon } from './addon.ts';
import { IntervalClock, type IntervalTime } from './interval-clock.ts';

const [MS, SECOND, HOUR] = [1_000_000n, 1_000_000_000n, 3_600_000_000_000n];
const START = 1_790_000_000_123_456_789n;

/** Clocks as the kernel keeps them. */
class Clocks {
  monotonic = 5n * SECOND;
  real = START;
  boot = 7n * SECOND;
  /** Time that passes between two readings. */
  delay = 100n;

  pass(time: bigint): this {
    this.monotonic += time;
    this.real += time;
    this.boot += time;
    return this;
  }

  suspend(time: bigint): this {
    this.real += time;
    this.boot += time;
    return this;
  }

  set(by: bigint): this {
    this.real += by;
    return this;
  }

  readonly read = (): bigint[] => {
    const next = (clock: 'monotonic' | 'real' | 'boot') => {
      this.pass(this.delay);
      return this[clock];
    };
    return [next('monotonic'), next('real'), next('boot'), next('monotonic')];
  };
}

const near = (actual: bigint | number, expected: bigint, within = 10_000n): void => {
  const off = BigInt(actual) - expected;
  assert.ok(off <= within && off >= -within, `${actual} instead of ${expected}`);
};

const endOf = ({ startTime, duration }: IntervalTime): bigint => startTime + BigInt(duration);

test('intervals follow one another to the nanosecond', () => {
  const clocks = new Clocks();
  const clock = new IntervalClock(clocks.read);
  near(clock.startTime, START);
  let end = clock.startTime as bigint;
  for (let i = 0; i < 1_000; i++) {
    clocks.pass(10n * SECOND + BigInt(i) * 12_345n);
    const interval = clock.next();
    assert.equal(interval.startTime, end);
    end = endOf(interval);
    assert.deepEqual([interval.suspended, interval.clockSet], [0, 0]);
  }
  near(end, clocks.real);
});

test('an hour suspended: the next interval is where the wall clock is, no time is made up', () => {
  const clocks = new Clocks();
  const clock = new IntervalClock(clocks.read);
  const began = clock.startTime;
  clocks
    .pass(4n * SECOND)
    .suspend(HOUR)
    .pass(6n * SECOND);
  const across = clock.next();
  near(across.startTime, began);
  near(across.duration, 10n * SECOND);
  near(across.suspended, HOUR);
  assert.equal(across.clockSet, 0);
  clocks.pass(10n * SECOND);
  const after = clock.next();
  near(after.startTime, clocks.real - 10n * SECOND);
  assert.deepEqual([after.suspended, after.clockSet], [0, 0]);
});

test('the clock is set back an hour: the interval is told by the clock as it is now', () => {
  const clocks = new Clocks();
  const clock = new IntervalClock(clocks.read);
  clocks.pass(10n * SECOND).set(-HOUR);
  const across = clock.next();
  near(across.startTime, clocks.real - 10n * SECOND);
  near(across.duration, 10n * SECOND);
  near(across.clockSet, -HOUR);
  assert.equal(across.suspended, 0);
});

test('kept waiting between two clocks, it reads them again', () => {
  const clocks = new Clocks();
  const clock = new IntervalClock(clocks.read);
  clocks.pass(SECOND);
  let calls = 0;
  const slow = new IntervalClock(() => {
    clocks.delay = ++calls % 3 === 0 ? 100n : 50n * MS;
    return clocks.read();
  });
  for (let i = 0; i < 50; i++) {
    clocks.pass(SECOND);
    assert.deepEqual(
      [slow.next()].map(({ suspended, clockSet }) => [suspended, clockSet]),
      [[0, 0]],
    );
  }
  clocks.delay = 100n;
  assert.equal(clock.next().clockSet, 0);
});

test('any steps and suspensions: plausible intervals, told to the millisecond', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9);
  let state = seed;
  const random = (below: number): bigint => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return BigInt((state >>> 8) % below);
  };
  for (let run = 0; run < 50; run++) {
    const clocks = new Clocks();
    const clock = new IntervalClock(clocks.read);
    let end = clock.startTime as bigint;
    for (let i = 0; i < 100; i++) {
      const what = `seed ${seed}, run ${run}, interval ${i}`;
      const [passes, set, suspends] = [random(20_000) * MS, random(4), random(4)];
      const by = set === 0n ? (random(7_200_000) - 3_600_000n) * MS : 0n;
      const asleep = suspends === 0n ? random(7_200_000) * MS : 0n;
      clocks
        .pass(passes / 2n)
        .set(by)
        .suspend(asleep)
        .pass(passes / 2n);
      const interval = clock.next();
      assert.ok(interval.duration >= 0 && interval.suspended >= 0, what);
      near(interval.duration, passes);
      // A change of less than a millisecond is none, and stays within the offset.
      near(interval.suspended, asleep, MS);
      near(interval.clockSet, by, 2n * MS);
      near(endOf(interval) + asleep, clocks.real, 5n * MS);
      const repeated = by < 0n ? -by : 0n;
      assert.ok(interval.startTime >= end - repeated - 5n * MS, `${what}: overlap`);
      if (interval.clockSet === 0) assert.ok(interval.startTime >= end, `${what}: overlap`);
      end = endOf(interval);
    }
  }
});

test('the clocks of this machine', () => {
  const { clocks } = loadAddon();
  const [before, real, boot, after] = Array.from(clocks()) as [bigint, bigint, bigint, bigint];
  assert.ok(before > 0n && before <= after && boot >= before);
  // Beside the one that Date reads, within what a busy machine may take between the two.
  const off = Number(real / MS) - Date.now();
  assert.ok(Math.abs(off) < 60_000, `${off} ms`);
});
