/**
 * CPU time of our BPF programs. While the kernel measures it, every BPF program
 * of the machine pays two looks at the clock per run: so it does for one second
 * in each minute only, and the time between is estimated from the samples taken.
 */

/** `LiveCapture`, as far as it is needed here. */
export interface RunTimeSource {
  enableRunStats(): void;
  disableRunStats(): void;
  runStats(): readonly { readonly nanoseconds: number }[];
}

const WINDOW_MS = 1_000;
const PERIOD_MS = 60_000;
/** Weight of all windows before, in the cost of a sample, against the newest one. */
const MEMORY = 0.5;

export class KernelCost {
  readonly #source: RunTimeSource;
  #window:
    | { readonly sinceMs: number; readonly nanoseconds: number; readonly samples: number }
    | undefined;
  #nextMs = 0;
  /** Of the windows so far, old ones fading. */
  #nanoseconds = 0;
  #samples = 0;
  #total = 0;
  /** Samples up to here are in the total. */
  #counted = 0;

  constructor(source: RunTimeSource) {
    this.#source = source;
  }

  /**
   * Called several times a second.
   * @param nowMs of a clock that only goes forward
   * @param samples taken since the start
   */
  tick(nowMs: number, samples: number): void {
    if (this.#window) {
      if (nowMs - this.#window.sinceMs >= WINDOW_MS) this.#close(this.#window, samples);
    } else if (nowMs >= this.#nextMs) {
      this.#estimateUpTo(samples);
      this.#nextMs = nowMs + PERIOD_MS;
      if (!this.#enable()) return;
      this.#window = { sinceMs: nowMs, nanoseconds: this.#measured(), samples };
    }
  }

  /** CPU seconds since the start; undefined before the first window has ended. Never falls. */
  seconds(samples: number): number | undefined {
    if (this.#samples === 0) return undefined;
    if (!this.#window) this.#estimateUpTo(samples);
    return this.#total / 1e9;
  }

  /** Needs CAP_SYS_ADMIN, which an agent can do without: then the cost is not known. */
  #enable(): boolean {
    try {
      this.#source.enableRunStats();
      return true;
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (code !== 'EPERM' && code !== 'EINVAL') throw cause;
      this.#nextMs = Number.POSITIVE_INFINITY;
      return false;
    }
  }

  #close(
    window: { readonly nanoseconds: number; readonly samples: number },
    samples: number,
  ): void {
    const nanoseconds = this.#measured() - window.nanoseconds;
    this.#source.disableRunStats();
    this.#window = undefined;
    this.#nanoseconds = this.#nanoseconds * MEMORY + nanoseconds;
    this.#samples = this.#samples * MEMORY + (samples - window.samples);
    this.#total += nanoseconds;
    this.#counted = samples;
  }

  #estimateUpTo(samples: number): void {
    const perSample = this.#samples === 0 ? 0 : this.#nanoseconds / this.#samples;
    this.#total += perSample * (samples - this.#counted);
    this.#counted = samples;
  }

  #measured(): number {
    return this.#source.runStats().reduce((sum, { nanoseconds }) => sum + nanoseconds, 0);
  }
}
