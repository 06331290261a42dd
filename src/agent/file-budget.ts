/** How much CPU time goes into files that are met first, per owner and in all. */

import { CpuDebt } from '../process/cpu-debt.ts';
import type { RawMapping } from '../process/maps.ts';
import type { Process } from '../process/process.ts';
import type { ProcessOwners } from '../process/process-owners.ts';

export interface FileBudgetLimits {
  /** CPU time ahead, milliseconds: of 1,936 files of a Debian one took 0.5 on average, the largest 26. */
  readonly ownerMs: number;
  readonly allMs: number;
  /** Share of one CPU in the long run. */
  readonly ownerShare: number;
  readonly allShare: number;
}

/** One recording may meet a whole build's programs. */
export const FILE_BUDGET: FileBudgetLimits = {
  ownerMs: 10_000,
  allMs: 20_000,
  ownerShare: 0.1,
  allShare: 0.2,
};

/**
 * An agent that runs for long. 3 s are 5,500 such files, more than are kept open at all (4,096): a
 * machine whose services are all root's, and on one device, is met whole when the agent starts.
 * After that 0.4 % of a CPU is 7 files a second for each owner, and less than a third of what the
 * agent takes anyway.
 */
export const AGENT_FILE_BUDGET: FileBudgetLimits = {
  ownerMs: 3_000,
  allMs: 9_000,
  ownerShare: 0.004,
  allShare: 0.03,
};

export interface FileClocks {
  /** Milliseconds that never go back. */
  readonly now: () => number;
  /** CPU time of this thread, milliseconds. */
  readonly cpu: () => number;
}

const realClocks: FileClocks = {
  now: () => performance.now(),
  cpu: () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  },
};

/** The least recently charged is forgotten. */
const MAX_OWNERS = 256;

export class FileBudget {
  readonly #owned: ProcessOwners;
  readonly #limits: FileBudgetLimits;
  readonly #clocks: FileClocks;
  readonly #all: CpuDebt;
  readonly #owners = new Map<string, CpuDebt>();
  #refused = 0;

  constructor(owners: ProcessOwners, limits: FileBudgetLimits, clocks: FileClocks = realClocks) {
    this.#owned = owners;
    this.#limits = limits;
    this.#clocks = clocks;
    this.#all = new CpuDebt(limits.allShare, 2 * limits.allMs, clocks.now);
  }

  get problems(): ReadonlyMap<string, number> {
    return new Map(this.#refused > 0 ? [['file_budget', this.#refused]] : []);
  }

  /** Runs `work` at the expense of a process's owner; undefined, and counted, when he has nothing left. */
  spend<Result>(process: Process, mapping: RawMapping, work: () => Result): Result | undefined {
    const owner = this.#owner(this.#owned.ofFile(process, mapping));
    const { ownerMs, allMs } = this.#limits;
    if (owner.ms >= ownerMs || this.#all.ms >= allMs) {
      this.#refused++;
      return undefined;
    }
    const begun = this.#clocks.cpu();
    try {
      return work();
    } finally {
      const ms = this.#clocks.cpu() - begun;
      owner.owe(ms);
      this.#all.owe(ms);
    }
  }

  #owner(key: string): CpuDebt {
    const { ownerMs, ownerShare } = this.#limits;
    const owner = this.#owners.get(key) ?? new CpuDebt(ownerShare, 2 * ownerMs, this.#clocks.now);
    this.#owners.delete(key);
    this.#owners.set(key, owner);
    for (const oldest of this.#owners.keys()) {
      if (this.#owners.size <= MAX_OWNERS) break;
      this.#owners.delete(oldest);
    }
    return owner;
  }
}
