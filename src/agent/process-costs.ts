/** What following a process costs, and when that is too much: then it is left alone for a while. */

import { CpuDebt } from '../process/cpu-debt.ts';
import { MAX_OWNERS } from '../process/owner-budget.ts';
import type { Process } from '../process/process.ts';
import type { ProcessOwner } from '../process/process-owners.ts';
import { RecentAccounts } from '../process/recent-accounts.ts';

/** CPU time, of one CPU and in milliseconds. */
export interface CostLimits {
  /** In the long run. */
  readonly share: number;
  /** Ahead. */
  readonly aheadMs: number;
  /** More is forgiven. */
  readonly mostMs: number;
}

export interface ProcessCostLimits {
  readonly process: CostLimits;
  /** All processes of a user: a storm of short ones costs too. */
  readonly user: CostLimits;
  /** All of root's in one container, or outside of them: most of what a machine runs. */
  readonly root: CostLimits;
}

const EMULATED: CostLimits = { share: 0.1, aheadMs: 60_000, mostMs: 80_000 };
/** One recording: also on an emulated machine, where everything takes forty times as long. */
export const PROCESS_COSTS: ProcessCostLimits = {
  process: EMULATED,
  user: EMULATED,
  root: EMULATED,
};

/**
 * An agent that runs for long takes 1.5 % of a CPU itself: in ten minutes a hostile user adds 4.4 s
 * to its 9. The unwind tables of a large program take one second.
 */
export const AGENT_PROCESS_COSTS: ProcessCostLimits = {
  process: { share: 0.003, aheadMs: 1_500, mostMs: 3_000 },
  user: { share: 0.004, aheadMs: 2_000, mostMs: 4_500 },
  root: { share: 0.02, aheadMs: 9_000, mostMs: 20_000 },
};

/** What those who have cost little may go on with when their owner has used his share up, until that is twice as much. */
const TOKEN_MS = 50;
/** CPU time, for which it is worth finding out whose a process is. */
const CLAIMED_MS = 1;
/** An owner comes back when he has paid this much of what he may take ahead: no flicker. */
const PAID = 1 / 4;
/** Left alone for less, it would be back before its samples have stopped coming. */
const SHORTEST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

interface Account {
  readonly debt: CpuDebt;
  /** Undefined as long as it need not be known: to find out takes as long as a small process costs. */
  owner: OwnerAccount | undefined;
  /** Milliseconds, not on the owner's account yet. */
  unclaimedMs: number;
  pausedUntil: number;
  failures: number;
}

interface OwnerAccount {
  readonly debt: CpuDebt;
  readonly limits: CostLimits;
  /** Of all processes, and of those that have cost much. */
  pausedUntil: number;
  dearPausedUntil: number;
}

export class ProcessCosts {
  readonly #accounts = new WeakMap<Process, Account>();
  readonly #owners = new RecentAccounts<string, OwnerAccount>(MAX_OWNERS);
  readonly #limits: ProcessCostLimits;
  readonly #ownerOf: (process: Process) => ProcessOwner;
  readonly #clock: () => number;
  #pauses = 0;

  /** @param clock milliseconds that never go back */
  constructor(
    limits: ProcessCostLimits,
    ownerOf: (process: Process) => ProcessOwner,
    clock: () => number = () => performance.now(),
  ) {
    this.#limits = limits;
    this.#ownerOf = ownerOf;
    this.#clock = clock;
  }

  /** How often a process or an owner was left alone because it had cost too much. */
  get pauses(): number {
    return this.#pauses;
  }

  /** @param ms CPU time that went into it */
  owe(process: Process, ms: number): void {
    if (ms <= 0) return;
    const account = this.#account(process);
    account.debt.owe(ms);
    account.unclaimedMs += ms;
    if (account.owner || account.unclaimedMs >= CLAIMED_MS) this.#claim(process, account);
    const { aheadMs, share } = this.#limits.process;
    const over = account.debt.ms - aheadMs;
    if (over <= 0 || account.pausedUntil > this.#clock()) return;
    this.#pauses++;
    account.pausedUntil = this.#clock() + Math.max(SHORTEST_PAUSE_MS, over / share);
  }

  /** What a process has cost goes on its owner's account. */
  #claim(process: Process, account: Account): void {
    account.owner ??= this.#owner(process);
    const { owner } = account;
    owner.debt.owe(account.unclaimedMs);
    account.unclaimedMs = 0;
    const { aheadMs, share } = owner.limits;
    const now = this.#clock();
    const debt = owner.debt.ms;
    if (debt > aheadMs && owner.dearPausedUntil <= now) {
      this.#pauses++;
      owner.dearPausedUntil = now + (debt - aheadMs * (1 - PAID)) / share;
    }
    if (debt > 2 * aheadMs && owner.pausedUntil <= now) {
      owner.pausedUntil = now + (debt - aheadMs * (2 - PAID)) / share;
    }
  }

  /** Nothing can be known of it: asked again later, and later each time. */
  fail(process: Process): void {
    const account = this.#account(process);
    const pause = Math.min(SHORTEST_PAUSE_MS * 2 ** account.failures++, LONGEST_PAUSE_MS);
    account.pausedUntil = Math.max(account.pausedUntil, this.#clock() + pause);
  }

  /** Whether it may be looked at; finds out whose it is. */
  mayFollow(process: Process): boolean {
    const account = this.#account(process);
    account.owner ??= this.#owner(process);
    return this.pauseMs(process) === 0;
  }

  /** How long it is to be left alone, as far as its owner is known; 0 = it is not. */
  pauseMs(process: Process): number {
    const account = this.#accounts.get(process);
    if (!account) return 0;
    const { debt, owner, pausedUntil } = account;
    let until = pausedUntil;
    if (owner) {
      const isDear = debt.ms > TOKEN_MS;
      until = Math.max(until, isDear ? owner.dearPausedUntil : owner.pausedUntil);
    }
    return Math.max(0, until - this.#clock());
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
      const { share, mostMs } = this.#limits.process;
      const debt = new CpuDebt(share, mostMs, this.#clock);
      account = { debt, owner: undefined, unclaimedMs: 0, pausedUntil: 0, failures: 0 };
      this.#accounts.set(process, account);
    }
    return account;
  }

  #owner(process: Process): OwnerAccount {
    const { name, isUser } = this.#ownerOf(process);
    return this.#owners.charge(name, () => {
      const limits = isUser ? this.#limits.user : this.#limits.root;
      const debt = new CpuDebt(limits.share, limits.mostMs, this.#clock);
      return { debt, limits, pausedUntil: 0, dearPausedUntil: 0 };
    });
  }
}
