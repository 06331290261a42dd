/** The intervals of live sampling: when each was, and what was lost and missed in it. */
import type { UnsampledTimes } from '../capture/cpus.ts';
import type { IntervalClock } from '../capture/interval-clock.ts';
import type { Counters } from '../capture/live.ts';
import { LOST_COUNTERS } from '../capture/record.ts';
import type { UnixTime } from '../units/units.ts';
import { type Interval, periodOf } from './pipeline.ts';

/** `LiveCapture`, as far as it is needed here. */
export interface Counted {
  counters(): Counters;
  readonly unsampled: UnsampledTimes;
}

type LiveInterval = Omit<Interval, 'host'>;

export class LiveIntervals {
  readonly #source: Counted;
  readonly #clock: IntervalClock;
  readonly #hz: number;
  #counters: Counters;
  /** Whole milliseconds since the start, by reason. */
  #missed: Readonly<Record<string, number>>;

  /** The first one begins now. */
  constructor(source: Counted, clock: IntervalClock, hz: number) {
    this.#source = source;
    this.#clock = clock;
    this.#hz = hz;
    this.#counters = source.counters();
    this.#missed = this.#missedSinceStart();
  }

  /** When the present one began. */
  get startTime(): UnixTime {
    return this.#clock.startTime;
  }

  /** Samples that were sent since the start and did not arrive; once all is quiet. */
  unaccounted(arrived: number): number {
    return this.#counters.sent + this.#counters.deferred - arrived;
  }

  /** Ends one and begins the next. */
  next(): LiveInterval {
    const { startTime, duration, suspended, clockSet } = this.#clock.next();
    const before = this.#counters;
    const counters = this.#source.counters();
    this.#counters = counters;
    const lost = Object.fromEntries(
      LOST_COUNTERS.map((name) => [name, counters[name] - before[name]]),
    );
    const missedBefore = this.#missed;
    this.#missed = this.#missedSinceStart();
    const missed = Object.entries(this.#missed).map(
      ([reason, time]) => [reason, time - missedBefore[reason]!] as const,
    );
    return {
      startTime,
      duration,
      period: periodOf(this.#hz),
      lost,
      eventsLost: {
        event_ring_full: counters.event_ring_full - before.event_ring_full,
        process_map_full: counters.process_map_full - before.process_map_full,
        forks_untold: counters.forks_untold - before.forks_untold,
      },
      timingMs: {
        ...Object.fromEntries(missed),
        suspended: Math.round(suspended / 1e6),
        clock_set: Math.round(Math.abs(clockSet) / 1e6),
      },
    };
  }

  #missedSinceStart(): Record<string, number> {
    const late_timer = (this.#counters.late / this.#hz) * 1e9;
    const times = Object.entries({ ...this.#source.unsampled, late_timer });
    return Object.fromEntries(times.map(([reason, time]) => [reason, Math.round(time / 1e6)]));
  }
}
