import type { Clock } from './clock.ts';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** Lets everything run that waits for nothing but the event loop. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Time passes when the test says so. */
export class SimulatedClock implements Clock {
  #monotonic = 0;
  #calendar: number;
  readonly #timers = new Set<Timer>();

  constructor(calendar = Date.UTC(2026, 0, 1)) {
    this.#calendar = calendar;
  }

  now(): number {
    return this.#calendar + this.#monotonic;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#monotonic + Math.max(ms, 0), callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  get pending(): number {
    return this.#timers.size;
  }

  /** As `date --set` does. */
  jump(ms: number): void {
    this.#calendar += ms;
  }

  /** Timers go off in their order, each with all that it starts. */
  async advance(ms: number): Promise<void> {
    const end = this.#monotonic + ms;
    await settled();
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end);
      if (due.length === 0) break;
      const first = due.reduce((a, b) => (b.at < a.at ? b : a));
      this.#timers.delete(first);
      this.#monotonic = Math.max(this.#monotonic, first.at);
      first.callback();
      await settled();
    }
    this.#monotonic = end;
  }
}
