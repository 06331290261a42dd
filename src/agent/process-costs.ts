/**
 * What following a process costs, and naming its addresses, and when that is too much: then it is
 * left alone for a while.
 */

import { CpuDebt } from '../process/cpu-debt.ts';
import { MAX_OWNERS } from '../process/owner-budget.ts';
import type { Process } from '../process/process.ts';
import type { ProcessOwner, ProcessOwners } from '../process/process-owners.ts';
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
 * An agent that runs for long takes 1.5 % of a CPU itself: in ten minutes a hostile user adds 4.3 s
 * to its 9. The unwind tables of a large program take one second, its names half as much.
 */
export const AGENT_PROCESS_COSTS: ProcessCostLimits = {
  process: { share: 0.003, aheadMs: 1_500, mostMs: 3_000 },
  user: { share: 0.004, aheadMs: 1_500, mostMs: 3_000 },
  root: { share: 0.02, aheadMs: 9_000, mostMs: 15_000 },
};

/** A machine of this size is what the limits of an agent are for: a larger one has more samples. */
const SMALL_MACHINE_CPUS = 4;

/** What an agent allows on a machine with so many CPUs. */
export function agentProcessCosts(cpus: number): ProcessCostLimits {
  const scale = Math.max(1, cpus / SMALL_MACHINE_CPUS);
  const scaled = ({ share, aheadMs, mostMs }: CostLimits): CostLimits => ({
    share: share * scale,
    aheadMs: aheadMs * scale,
    mostMs: mostMs * scale,
  });
  const { process, user, root } = AGENT_PROCESS_COSTS;
  return { process: scaled(process), user: scaled(user), root: scaled(root) };
}

/**
 * What those who have cost little may go on with when their owner has used up what he may have
 * ahead, until that is so many times as much.
 */
const TOKEN_MS = 10;
const RESERVE = 1.25;
/** Names are given as long as so much of what may be had ahead is used: the rest is for following. */
const NAMED = 3 / 4;
/** CPU time, for which it is worth finding out whose a process is. */
const CLAIMED_MS = 1;
/** What the thread takes besides is divided among them so often, milliseconds, as far as it is more than usual. */
const SHARED_EVERY_MS = 1_000;
const USUAL_SHARE = 0.004;
/** Of what they have cost themselves: garbage collection, messages and contexts are not more. */
const MOST_SHARED = 2;
/** An owner comes back when he has paid this much of what he may take ahead: no flicker. */
const PAID = 1 / 4;
/** Left alone for less, it would be back before its samples have stopped coming. */
const SHORTEST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

type Owners = Pick<ProcessOwners, 'of' | 'presume'>;

interface Account {
  readonly debt: CpuDebt;
  /**
   * Its parent's as long as it need not be known: to find out takes as long as a small process
   * costs. Undefined where there is none either.
   */
  owner: OwnerAccount | undefined;
  isOwnerSure: boolean;
  /** Milliseconds that it has cost itself while that was so. */
  unsureMs: number;
  pausedUntil: number;
  failures: number;
}

interface OwnerAccount {
  readonly of: ProcessOwner;
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
  readonly #processOwners: Owners;
  readonly #clock: () => number;
  #pauses = 0;
  /** What each has cost since the rest was divided, milliseconds. */
  readonly #recent = new Map<Process, number>();
  #sharedAt: number;
  #sharedCpuMs = 0;

  /** @param clock milliseconds that never go back */
  constructor(
    limits: ProcessCostLimits,
    owners: Owners,
    clock: () => number = () => performance.now(),
  ) {
    this.#limits = limits;
    this.#processOwners = owners;
    this.#clock = clock;
    this.#sharedAt = clock();
  }

  /** How often a process or an owner was left alone because it had cost too much. */
  get pauses(): number {
    return this.#pauses;
  }

  /** @param ms CPU time that went into it */
  owe(process: Process, ms: number): void {
    if (ms <= 0) return;
    this.#recent.set(process, (this.#recent.get(process) ?? 0) + ms);
    this.#charge(process, ms);
  }

  /**
   * Called every now and then: what nobody has been charged with is owed by those for whom
   * there was something to do.
   * @param cpuMs that the thread has taken so far
   */
  share(cpuMs: number): void {
    const now = this.#clock();
    const passed = now - this.#sharedAt;
    if (passed < SHARED_EVERY_MS) return;
    let charged = 0;
    for (const ms of this.#recent.values()) charged += ms;
    const rest = cpuMs - this.#sharedCpuMs - charged - passed * USUAL_SHARE;
    const factor = Math.min(rest / charged, MOST_SHARED);
    if (factor > 0) for (const [process, ms] of this.#recent) this.#charge(process, ms * factor);
    this.#recent.clear();
    this.#sharedAt = now;
    this.#sharedCpuMs = cpuMs;
  }

  #charge(process: Process, ms: number): void {
    const account = this.#account(process);
    account.debt.owe(ms);
    this.#claim(process, account, ms);
    const { aheadMs, share } = this.#limits.process;
    const over = account.debt.ms - aheadMs;
    if (over <= 0 || account.pausedUntil > this.#clock()) return;
    this.#pauses++;
    account.pausedUntil = this.#clock() + Math.max(SHORTEST_PAUSE_MS, over / share);
  }

  /** What a process has cost goes on its owner's account: of a storm of short ones too. */
  #claim(process: Process, account: Account, ms: number): void {
    let owed = ms;
    if (!account.isOwnerSure) {
      account.unsureMs += ms;
      if (account.unsureMs >= CLAIMED_MS) {
        // Nobody has paid so far.
        if (!account.owner) owed = account.unsureMs;
        this.#findOwner(process, account);
      }
    }
    const { owner } = account;
    if (!owner) return;
    owner.debt.owe(owed);
    const { aheadMs, share } = owner.limits;
    const now = this.#clock();
    const debt = owner.debt.ms;
    if (debt > aheadMs && owner.dearPausedUntil <= now) {
      this.#pauses++;
      owner.dearPausedUntil = now + (debt - aheadMs * (1 - PAID)) / share;
    }
    if (debt > aheadMs * RESERVE && owner.pausedUntil <= now) {
      owner.pausedUntil = now + (debt - aheadMs * (RESERVE - PAID)) / share;
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
    if (!account.owner) this.#findOwner(process, account);
    return this.pauseMs(process) === 0;
  }

  /** Whether names may be looked up for it. */
  mayName(process: Process): boolean {
    const account = this.#accounts.get(process);
    if (!account) return true;
    const { debt, owner } = account;
    if (debt.ms >= this.#limits.process.aheadMs * NAMED) return false;
    const most = debt.ms > TOKEN_MS ? NAMED : RESERVE;
    return !owner || owner.debt.ms < owner.limits.aheadMs * most;
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
    if (!account.owner || own.owner) return;
    own.owner = account.owner;
    this.#processOwners.presume(process, account.owner.of);
  }

  #account(process: Process): Account {
    let account = this.#accounts.get(process);
    if (!account) {
      const { share, mostMs } = this.#limits.process;
      const debt = new CpuDebt(share, mostMs, this.#clock);
      account = {
        debt,
        owner: undefined,
        isOwnerSure: false,
        unsureMs: 0,
        pausedUntil: 0,
        failures: 0,
      };
      this.#accounts.set(process, account);
    }
    return account;
  }

  #findOwner(process: Process, account: Account): void {
    const of = this.#processOwners.of(process);
    account.isOwnerSure = true;
    account.owner = this.#owners.charge(of.name, () => {
      const limits = of.isUser ? this.#limits.user : this.#limits.root;
      const debt = new CpuDebt(limits.share, limits.mostMs, this.#clock);
      return { of, debt, limits, pausedUntil: 0, dearPausedUntil: 0 };
    });
  }
}
