/** What following a process costs, and when that is too much: then it is left alone for a while. */

import { CpuDebt } from '../process/cpu-debt.ts';
import type { Process } from '../process/process.ts';

export interface ProcessCostLimits {
  /** Of one CPU, for one process, in the long run. */
  readonly share: number;
  /** CPU time ahead, milliseconds: the unwind tables of a large program take one second. */
  readonly aheadMs: number;
  /** More is forgiven. */
  readonly mostMs: number;
}

/** One recording: also on an emulated machine, where everything takes forty times as long. */
export const PROCESS_COSTS: ProcessCostLimits = { share: 0.05, aheadMs: 30_000, mostMs: 40_000 };

/**
 * An agent that runs for long takes 1.5 % of a CPU itself: in ten minutes a hostile process adds
 * 3.8 s to its 9. Over the credit it is left alone for twelve minutes at most.
 */
export const AGENT_PROCESS_COSTS: ProcessCostLimits = {
  share: 0.003,
  aheadMs: 2_000,
  mostMs: 4_000,
};

/** Left alone for less, it would be back before its samples have stopped coming. */
const SHORTEST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

interface Account {
  readonly debt: CpuDebt;
  pausedUntil: number;
  failures: number;
}

export class ProcessCosts {
  readonly #accounts = new WeakMap<Process, Account>();
  readonly #limits: ProcessCostLimits;
  readonly #clock: () => number;
  #pauses = 0;

  /** @param clock milliseconds that never go back */
  constructor(limits: ProcessCostLimits, clock: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** How often a process was left alone because it had cost too much. */
  get pauses(): number {
    return this.#pauses;
  }

  /** @param ms CPU time that went into it */
  owe(process: Process, ms: number): void {
    if (ms <= 0) return;
    const account = this.#account(process);
    account.debt.owe(ms);
    const { aheadMs, share } = this.#limits;
    const over = account.debt.ms - aheadMs;
    if (over <= 0 || this.pauseMs(process) > 0) return;
    this.#pauses++;
    account.pausedUntil = this.#clock() + Math.max(SHORTEST_PAUSE_MS, over / share);
  }

  /** Nothing can be known of it: asked again later, and later each time. */
  fail(process: Process): void {
    const account = this.#account(process);
    const pause = Math.min(SHORTEST_PAUSE_MS * 2 ** account.failures++, LONGEST_PAUSE_MS);
    account.pausedUntil = Math.max(account.pausedUntil, this.#clock() + pause);
  }

  /** How long it is to be left alone, 0 = it is not. */
  pauseMs(process: Process): number {
    const account = this.#accounts.get(process);
    return account ? Math.max(0, account.pausedUntil - this.#clock()) : 0;
  }

  /** Another program in the same process, or a child, owes what was owed: exec and fork pay nothing off. */
  inherit(process: Process, from: Process | undefined): void {
    const account = from && this.#accounts.get(from);
    if (!account || from === process) return;
    const own = this.#account(process);
    own.debt.owe(account.debt.ms);
    own.pausedUntil = account.failures > 0 ? 0 : account.pausedUntil;
  }

  #account(process: Process): Account {
    let account = this.#accounts.get(process);
    if (!account) {
      const { share, mostMs } = this.#limits;
      const debt = new CpuDebt(share, mostMs, this.#clock);
      account = { debt, pausedUntil: 0, failures: 0 };
      this.#accounts.set(process, account);
    }
    return account;
  }
}
