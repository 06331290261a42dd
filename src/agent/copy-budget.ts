/**
 * CPU time that copied stacks may cost: a share of one CPU in the long run. A program whose
 * every sample needs a copy (rules only user space can follow, mappings that come and go)
 * would otherwise have the resolver work for it alone. Over budget, those who have cost
 * little still have theirs unwound.
 */
import { CpuDebt } from '../process/cpu-debt.ts';
import { RecentAccounts } from '../process/recent-accounts.ts';

export interface CopyBudgetLimits {
  /** Of one CPU, for all processes. */
  readonly share: number;
  /** CPU time ahead: first samples load tables, on a busy machine for seconds. */
  readonly creditMs: number;
  /** Of one CPU, for a process when all are over budget. */
  readonly ownShare: number;
  readonly ownCreditMs: number;
}

/** One recording: also on an emulated machine, where everything takes forty times as long. */
export const COPY_BUDGET: CopyBudgetLimits = {
  share: 0.2,
  creditMs: 60_000,
  ownShare: 0.02,
  ownCreditMs: 1_000,
};

/** An agent that runs for long. */
export const AGENT_COPY_BUDGET: CopyBudgetLimits = {
  share: 0.03,
  creditMs: 10_000,
  ownShare: 0.002,
  ownCreditMs: 100,
};

/** Most that is owed, of the credit: a flood that ended is paid back in minutes. */
const MOST_OWED = 1.5;
/** The one that cost something longest ago is forgotten first. */
const MAX_PROCESSES = 4096;

export class CopyBudget {
  readonly #limits: CopyBudgetLimits;
  readonly #all: CpuDebt;
  readonly #clock: () => number;
  readonly #processes = new RecentAccounts<number, CpuDebt>(MAX_PROCESSES);

  /** @param clock milliseconds that never go back */
  constructor(limits: CopyBudgetLimits, clock: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#clock = clock;
    this.#all = new CpuDebt(limits.share, limits.creditMs * MOST_OWED, clock);
  }

  /** Whether a copy of this process's stack may be unwound. */
  allows(pid: number): boolean {
    const { creditMs, ownCreditMs } = this.#limits;
    return this.#all.ms < creditMs || (this.#processes.find(pid)?.ms ?? 0) < ownCreditMs;
  }

  /** @param byProcess how much of the work was for each */
  spent(cpuMs: number, byProcess: ReadonlyMap<number, number>): void {
    let sum = 0;
    for (const part of byProcess.values()) sum += part;
    if (sum === 0) return;
    this.#all.owe(cpuMs);
    const { ownShare, ownCreditMs } = this.#limits;
    const open = () => new CpuDebt(ownShare, ownCreditMs * MOST_OWED, this.#clock);
    for (const [pid, part] of byProcess)
      this.#processes.charge(pid, open).owe((cpuMs * part) / sum);
  }
}
