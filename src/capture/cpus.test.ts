import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CpuFollower, parseCpuList } from './cpus.ts';

const MS = 1_000_000n;
const refusal = (code: string): Error => Object.assign(new Error(code), { code });

/** CPUs as the kernel keeps their events: dropped for good when one goes offline. */
class Machine {
  now = 0n;
  readonly cpus = new Set<number>();
  /** Milliseconds that looking at an event takes. */
  slow = 0n;
  /** What watching a CPU meets. */
  readonly refusals = new Map<number, string>();
  readonly #events = new Map<number, { since: bigint; enabled: bigint; held: bigint }>();
  readonly follower = new CpuFollower({
    watch: (cpu) => {
      const code = this.refusals.get(cpu) ?? (this.cpus.has(cpu) ? undefined : 'ENODEV');
      if (code) throw refusal(code);
      assert.ok(!this.#events.has(cpu), `CPU ${cpu} is watched twice`);
      this.#events.set(cpu, { since: this.now, enabled: -1n, held: 0n });
    },
    unwatch: (cpu) => assert.ok(this.#events.delete(cpu), `CPU ${cpu} was not watched`),
    eventTimes: (cpu) => {
      this.now += this.slow * MS;
      const event = this.#events.get(cpu)!;
      const enabled = event.enabled >= 0n ? event.enabled : this.now - event.since;
      return BigUint64Array.of(enabled, enabled - event.held);
    },
    online: () => [...this.cpus],
    now: () => this.now,
  });

  constructor(...cpus: number[]) {
    for (const cpu of cpus) this.cpus.add(cpu);
    this.follower.follow();
  }

  wait(milliseconds: number): this {
    this.now += BigInt(milliseconds) * MS;
    return this;
  }

  offline(cpu: number): this {
    this.cpus.delete(cpu);
    const event = this.#events.get(cpu);
    if (event && event.enabled < 0n) event.enabled = this.now - event.since;
    return this;
  }

  online(cpu: number): this {
    this.cpus.add(cpu);
    return this;
  }

  hold(cpu: number, milliseconds: number): this {
    this.#events.get(cpu)!.held += BigInt(milliseconds) * MS;
    return this;
  }

  /** CPUs that ticks come from. */
  sampled(): number[] {
    return [...this.#events]
      .filter(([, { enabled }]) => enabled < 0n)
      .map(([cpu]) => cpu)
      .sort();
  }

  /** In milliseconds, without zeros. */
  unsampled(): Record<string, number> {
    const found = Object.entries(this.follower.unsampled).filter(([, time]) => time > 0);
    return Object.fromEntries(found.map(([reason, time]) => [reason, Math.round(time / 1e6)]));
  }
}

test('a CPU that goes and comes back between two looks is sampled again, the gap counts', () => {
  const machine = new Machine(0, 1);
  machine.wait(300).offline(1).wait(100).online(1).wait(600);
  assert.deepEqual(machine.sampled(), [0]);
  machine.follower.follow();
  assert.deepEqual(machine.sampled(), [0, 1]);
  assert.deepEqual(machine.unsampled(), { cpu_returned: 700 });
});

test('a CPU that stays away is no gap; what passes before it is noticed again is', () => {
  const machine = new Machine(0, 1);
  machine.wait(500).offline(1).wait(500);
  machine.follower.follow();
  machine.wait(60_000);
  machine.follower.follow();
  assert.deepEqual(machine.unsampled(), {});
  machine.wait(400).online(1).wait(600);
  machine.follower.follow();
  assert.deepEqual(machine.sampled(), [0, 1]);
  assert.deepEqual(machine.unsampled(), { cpu_returned: 1_000 });
});

test('all but one CPU went and came back, as in a suspend', () => {
  const machine = new Machine(0, 1, 2, 3);
  machine.wait(10);
  for (const cpu of [1, 2, 3]) machine.offline(cpu).online(cpu);
  machine.wait(990).follower.follow();
  assert.deepEqual(machine.sampled(), [0, 1, 2, 3]);
  assert.deepEqual(machine.unsampled(), { cpu_returned: 2_970 });
});

test('no event for a CPU: the others are sampled, the error is thrown, each look tries again', () => {
  const machine = new Machine(0);
  machine.refusals.set(1, 'EMFILE');
  machine.online(1).online(2).wait(1_000);
  assert.throws(() => machine.follower.follow(), { code: 'EMFILE' });
  assert.deepEqual(machine.sampled(), [0, 2]);
  machine.wait(1_000);
  assert.throws(() => machine.follower.follow(), { code: 'EMFILE' });
  machine.refusals.clear();
  machine.wait(1_000).follower.follow();
  assert.deepEqual(machine.sampled(), [0, 1, 2]);
  assert.deepEqual(machine.unsampled(), { cpu_returned: 2_000, cpu_unwatched: 2_000 });
});

test('a CPU that is gone again before it is watched is no error', () => {
  const machine = new Machine(0);
  machine.refusals.set(1, 'ENODEV');
  machine.online(1).wait(1_000).follower.follow();
  assert.deepEqual(machine.sampled(), [0]);
});

test('an event that the kernel holds back is told', () => {
  const machine = new Machine(0);
  machine.wait(1_000).hold(0, 250).follower.follow();
  assert.deepEqual(machine.unsampled(), { throttled: 250 });
  machine.wait(1_000).follower.follow();
  assert.deepEqual(machine.unsampled(), { throttled: 250 });
});

test('whoever looks late, or is kept waiting while looking, sees no gap', () => {
  const machine = new Machine(0, 1);
  machine.slow = 700n;
  for (let i = 0; i < 10; i++) machine.wait(1_000 + i * 500).follower.follow();
  assert.deepEqual(machine.unsampled(), {});
});

test('what is not sampled in the last moments counts too', () => {
  const machine = new Machine(0, 1, 2);
  machine.wait(200).offline(1).online(1).offline(2).wait(500);
  machine.follower.pause();
  assert.deepEqual(machine.sampled(), []);
  assert.deepEqual(machine.unsampled(), { cpu_returned: 500 });
});

test('after a pause nothing is sampled until it is followed again', () => {
  const machine = new Machine(0, 1);
  machine.follower.pause();
  assert.equal(machine.follower.size, 0);
  machine.wait(60_000).follower.follow();
  assert.deepEqual(machine.sampled(), [0, 1]);
  assert.deepEqual(machine.unsampled(), {});
});

test('any coming and going: all online CPUs are sampled after a look, gaps are never negative', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9);
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  const machine = new Machine(0, 1, 2, 3);
  let before = 0;
  for (let i = 0; i < 2_000; i++) {
    const cpu = 1 + random(5);
    if (random(2) === 0) machine.offline(cpu);
    else machine.online(cpu);
    machine.wait(random(400));
    if (random(3) > 0) continue;
    machine.follower.follow();
    // A gap shorter than the slack may be left until the next look.
    machine.wait(1_100).follower.follow();
    assert.deepEqual(machine.sampled(), [...machine.cpus].sort(), `seed ${seed}, step ${i}`);
    const now = machine.follower.unsampled.cpu_returned;
    assert.ok(now >= before && now <= Number(machine.now) * 5, `seed ${seed}, step ${i}`);
    before = now;
  }
});

test('CPU lists of the kernel', () => {
  const lists: [string, number[]][] = [
    ['0\n', [0]],
    ['0-3\n', [0, 1, 2, 3]],
    ['0-1,4,6-7\n', [0, 1, 4, 6, 7]],
    ['127\n', [127]],
    ['\n', []],
    ['', []],
  ];
  for (const [text, numbers] of lists) assert.deepEqual(parseCpuList(text), numbers, text);
});
