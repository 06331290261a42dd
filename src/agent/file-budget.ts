/** How much CPU time goes into files that are met first, per owner and in all. */

import { OwnerBudget, type OwnerLimits } from '../process/owner-budget.ts';
import type { Process } from '../process/process.ts';
import type { ProcessOwner } from '../process/process-owners.ts';

/**
 * One recording may meet a whole build's programs. CPU time, of which one of a Debian's 1,936 files
 * took 0.5 ms on average, the largest 26.
 */
export const FILE_BUDGET: OwnerLimits = {
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
export const AGENT_FILE_BUDGET: OwnerLimits = {
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

export class FileBudget {
  readonly #ownerOf: (process: Process) => ProcessOwner;
  readonly #clocks: FileClocks;
  readonly #budget: OwnerBudget;
  #refused = 0;

  constructor(
    ownerOf: (process: Process) => ProcessOwner,
    limits: OwnerLimits,
    clocks: FileClocks = realClocks,
  ) {
    this.#ownerOf = ownerOf;
    this.#clocks = clocks;
    this.#budget = new OwnerBudget(limits, clocks.now);
  }

  get problems(): ReadonlyMap<string, number> {
    return new Map(this.#refused > 0 ? [['file_budget', this.#refused]] : []);
  }

  /** Runs `work` at the expense of a process's owner; undefined, and counted, when he has nothing left. */
  spend<Result>(process: Process, work: () => Result): Result | undefined {
    const owner = this.#ownerOf(process).name;
    if (this.#budget.left(owner) <= 0) {
      this.#refused++;
      return undefined;
    }
    const begun = this.#clocks.cpu();
    try {
      return work();
    } finally {
      this.#budget.owe(owner, this.#clocks.cpu() - begun);
    }
  }
}
