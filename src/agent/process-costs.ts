/** What following a process costs, and when that is too much: then it is left alone for a while. */

import { CpuDebt } from '../process/cpu-debt.ts';
import type { Process } from '../process/process.ts';

/** Of one CPU, for one process, in the long run. */
const SHARE = 0.01;
/** CPU time ahead, milliseconds: the unwind tables of a large program take one second. */
const AHEAD_MS = 2_000;
/** More is forgiven: then it is left alone for five minutes. */
const MOST_MS = 5_000;
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
  readonly #clock: () => number;
  #pauses = 0;

  /** @param clock milliseconds that never go back */
  constructor(clock: () => number = () => performance.now()) {
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
    const over = account.debt.ms - AHEAD_MS;
    if (over <= 0 || this.pauseMs(process) > 0) return;
    this.#pauses++;
    account.pausedUntil = this.#clock() + Math.max(SHORTEST_PAUSE_MS, over / SHARE);
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
      const debt = new CpuDebt(SHARE, MOST_MS, this.#clock);
      account = { debt, pausedUntil: 0, failures: 0 };
      this.#accounts.set(process, account);
    }
    return account;
  }
}
