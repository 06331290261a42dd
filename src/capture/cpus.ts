/** Which CPUs are sampled, as they come and go, and for how long some are not. */
import { readFileSync } from 'node:fs';

/** What following CPUs takes; times are nanoseconds of CLOCK_MONOTONIC. */
export interface CpuEvents {
  /** @throws Error with `code` */
  watch(cpu: number): void;
  unwatch(cpu: number): void;
  /** [enabled, counted] since `watch()`; see `NativeSampler.eventTimes`. */
  eventTimes(cpu: number): BigUint64Array | undefined;
  online(): readonly number[];
  now(): bigint;
}

/**
 * Time that CPUs were not sampled for, in nanoseconds, each a sum over CPUs:
 * - `cpu_returned`: from when a CPU came online, or back, until it was noticed; at most.
 * - `cpu_unwatched`: the kernel had no event for a CPU that is online (memory, descriptors).
 * - `throttled`: the kernel held the event back.
 */
export type UnsampledReason = 'cpu_returned' | 'cpu_unwatched' | 'throttled';
export type UnsampledTimes = Readonly<Record<UnsampledReason, number>>;

interface Watched {
  /** After the event was last looked at. */
  readonly at: bigint;
  readonly enabled: bigint;
  readonly counted: bigint;
}

/** Clocks of CPUs differ by this much at most, and what is shorter is no gap. */
const SLACK_NS = 20_000_000n;

export class CpuFollower {
  readonly #events: CpuEvents;
  readonly #watched = new Map<number, Watched>();
  readonly #unsampled = { cpu_returned: 0, cpu_unwatched: 0, throttled: 0 };
  /** CPUs that the last look found online, watched or not; undefined before the first. */
  #online: ReadonlySet<number> | undefined;
  #lookedAt = 0n;

  constructor(events: CpuEvents) {
    this.#events = events;
  }

  /** CPUs being sampled. */
  get size(): number {
    return this.#watched.size;
  }

  get unsampled(): UnsampledTimes {
    return this.#unsampled;
  }

  /**
   * Takes up what has changed since the last call. @throws the first error of a CPU that
   * cannot be watched, after all others were seen to; the next call tries again
   */
  follow(): void {
    const now = this.#events.now();
    const sinceLook = this.#online ? now - this.#lookedAt : 0n;
    const online = new Set(this.#events.online());
    const lost = new Set<number>();
    let failure: unknown;
    for (const cpu of this.#watched.keys()) {
      if (!online.has(cpu)) this.#forget(cpu);
      else if (!this.#check(cpu)) lost.add(cpu);
    }
    for (const cpu of online) {
      if (this.#watched.has(cpu)) continue;
      if (!lost.has(cpu)) {
        this.#add(this.#online?.has(cpu) ? 'cpu_unwatched' : 'cpu_returned', sinceLook);
      }
      try {
        this.#watch(cpu);
      } catch (cause) {
        // It went away between the list and the call.
        if ((cause as NodeJS.ErrnoException).code !== 'ENODEV') failure ??= cause;
      }
    }
    this.#online = online;
    this.#lookedAt = now;
    if (failure !== undefined) throw failure;
  }

  /** Ends sampling, after a last look. */
  pause(): void {
    const online = new Set(this.#events.online());
    for (const cpu of this.#watched.keys()) {
      if (!online.has(cpu) || this.#check(cpu)) this.#forget(cpu);
    }
    this.#online = undefined;
  }

  /**
   * The kernel takes the events of a CPU that goes off its list and never puts them back:
   * the time that they were enabled stands still then, however short the CPU was away.
   * @returns false when the event was lost so
   */
  #check(cpu: number): boolean {
    const last = this.#watched.get(cpu)!;
    // The clock is read on both sides of the event: being kept waiting is no gap.
    const elapsed = this.#events.now() - last.at;
    const times = this.#events.eventTimes(cpu);
    const [enabled, counted] = times ?? [last.enabled, last.counted];
    const alive = enabled! - last.enabled;
    const gap = elapsed - alive;
    if (!times || gap > slackOf(elapsed)) {
      this.#add('cpu_returned', gap);
      this.#forget(cpu);
      return false;
    }
    const held = alive - (counted! - last.counted);
    if (held > slackOf(alive)) this.#add('throttled', held);
    this.#watched.set(cpu, { at: this.#events.now(), enabled: enabled!, counted: counted! });
    return true;
  }

  #watch(cpu: number): void {
    this.#events.watch(cpu);
    this.#watched.set(cpu, { at: this.#events.now(), enabled: 0n, counted: 0n });
  }

  #forget(cpu: number): void {
    this.#events.unwatch(cpu);
    this.#watched.delete(cpu);
  }

  #add(reason: UnsampledReason, nanoseconds: bigint): void {
    if (nanoseconds > 0n) this.#unsampled[reason] += Number(nanoseconds);
  }
}

/** Clocks of CPUs also drift, by 500 ppm at most where NTP slews one of them. */
const slackOf = (elapsed: bigint): bigint => {
  const share = elapsed / 50n;
  return share > SLACK_NS ? share : SLACK_NS;
};

export const possibleCpus = (): number[] => cpuNumbers('possible');
export const onlineCpus = (): number[] => cpuNumbers('online');

function cpuNumbers(which: 'possible' | 'online'): number[] {
  return parseCpuList(readFileSync(`/sys/devices/system/cpu/${which}`, 'latin1'));
}

/** CPU numbers from a list such as `0-3,8`; an empty one has none. */
export function parseCpuList(text: string): number[] {
  return [...text.matchAll(/(\d+)(?:-(\d+))?/g)].flatMap(([, first, last]) => {
    const from = Number(first);
    return Array.from({ length: Number(last ?? first) - from + 1 }, (_, i) => from + i);
  });
}
