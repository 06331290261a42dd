/** How much CPU time goes into what run times write about their code, per process and in all. */
import { CpuDebt } from '../process/cpu-debt.ts';
import type { ReadingTime } from './generated-code.ts';

export interface ReadingLimits {
  /** CPU time ahead, milliseconds: a map of 63 MB takes 200. */
  readonly processMs: number;
  readonly allMs: number;
  /** Share of one CPU in the long run. */
  readonly processShare: number;
  readonly allShare: number;
}

/** One recording: all of a large map, once. */
export const READING_LIMITS: ReadingLimits = {
  processMs: 2000,
  allMs: 6000,
  processShare: 0.02,
  allShare: 0.05,
};

/** An agent that runs for long gets round to a large map after a few flushes. */
export const AGENT_READING_LIMITS: ReadingLimits = {
  processMs: 200,
  allMs: 800,
  processShare: 0.0015,
  allShare: 0.005,
};

export interface ReadingClocks {
  /** Milliseconds that never go back. */
  readonly now: () => number;
  /** CPU time of this thread, milliseconds. */
  readonly cpu: () => number;
}

const realClocks: ReadingClocks = {
  now: () => performance.now(),
  cpu: () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  },
};

export class ReadingBudget {
  readonly #limits: ReadingLimits;
  readonly #clocks: ReadingClocks;
  readonly #all: CpuDebt;

  constructor(limits: ReadingLimits = READING_LIMITS, clocks: ReadingClocks = realClocks) {
    this.#limits = limits;
    this.#clocks = clocks;
    this.#all = new CpuDebt(limits.allShare, 2 * limits.allMs, clocks.now);
  }

  /** For one process. */
  account(): CpuDebt {
    const { processMs, processShare } = this.#limits;
    return new CpuDebt(processShare, 2 * processMs, this.#clocks.now);
  }

  /** Runs `read` on the account of a process. */
  spend(account: CpuDebt, read: (time: ReadingTime) => void): void {
    const { processMs, allMs } = this.#limits;
    const left = Math.min(processMs - account.ms, allMs - this.#all.ms);
    const begun = this.#clocks.cpu();
    const used = (): number => this.#clocks.cpu() - begun;
    try {
      read({
        isSpent: () => used() >= left,
        isShort: () => used() >= left - processMs / 4,
      });
    } finally {
      const ms = used();
      account.owe(ms);
      this.#all.owe(ms);
    }
  }
}
