/** How long a thread waits for files and processes that do not answer, per owner and in all. */
import { CpuDebt } from './cpu-debt.ts';
import { MAX_OWNERS, type OwnerLimits } from './owner-budget.ts';
import { RecentAccounts } from './recent-accounts.ts';

/** Ahead is the longest call, for it is nobody else's either; shares are of the time that passes. */
export type WaitLimits = OwnerLimits;

/** A second is longer than a disk takes that is there, on a machine with ten times the work that it can do. */
export const WAIT_LIMITS: WaitLimits = {
  ownerMs: 1_000,
  allMs: 3_000,
  ownerShare: 0.01,
  allShare: 0.1,
};

/**
 * For whoever has time: one recording, and the thread that reads debug information, for which
 * nothing else waits. Of hundreds of MiB a disk that is slow reads a part in milliseconds.
 */
export const PATIENT_WAIT_LIMITS: WaitLimits = {
  ownerMs: 10_000,
  allMs: 20_000,
  ownerShare: 0.2,
  allShare: 0.5,
};

/** What is left to whoever has used his time up, until that is twice as much: a disk's seek, on a crowded machine. */
export const TOKEN_MS = 100;
/** Of what is answered within a token: a disk reads the files of a whole start so. */
const PROMPT_SHARE = 0.25;
/** Shorter ones are work rather than waiting. */
const FREE_MS = 1;
/** Calls of one owner that hang at the same time; each keeps a thread. */
const MAX_HANGING = 8;

interface Owner {
  readonly debt: CpuDebt;
  hanging: number[];
}

export class WaitBudget {
  readonly #limits: WaitLimits;
  readonly #isOver: (call: number) => boolean;
  readonly #all: CpuDebt;
  readonly #clock: () => number;
  readonly #owners = new RecentAccounts<string, Owner>(MAX_OWNERS);

  /**
   * @param isOver whether a call that was not waited for has ended
   * @param clock milliseconds that never go back
   */
  constructor(
    isOver: (call: number) => boolean,
    clock: () => number,
    limits: WaitLimits = WAIT_LIMITS,
  ) {
    this.#limits = limits;
    this.#clock = clock;
    this.#isOver = isOver;
    this.#all = new CpuDebt(limits.allShare, 2 * limits.allMs, clock);
  }

  /** Milliseconds that a call may take; 0 = none that has to be waited for. */
  limitFor(owner: () => string): number {
    const { ownerMs, allMs } = this.#limits;
    // Nobody has been waited for: whose it is need not be found out.
    if (this.#owners.size === 0) return ownerMs;
    const known = this.#owners.find(owner());
    if (known) {
      known.hanging = known.hanging.filter((call) => !this.#isOver(call));
      if (known.hanging.length >= MAX_HANGING) return 0;
    }
    return Math.min(left(ownerMs, known?.debt.ms ?? 0), left(allMs, this.#all.ms));
  }

  /** @param hanging the call's number, when it was not waited for any longer */
  charge(owner: () => string, waitedMs: number, hanging?: number): void {
    if (waitedMs < FREE_MS && hanging === undefined) return;
    const isPrompt = hanging === undefined && waitedMs <= TOKEN_MS;
    const ms = isPrompt ? waitedMs * PROMPT_SHARE : waitedMs;
    const charged = this.#owners.charge(owner(), () => this.#newOwner());
    charged.debt.owe(ms);
    this.#all.owe(ms);
    if (hanging !== undefined) charged.hanging.push(hanging);
  }

  #newOwner(): Owner {
    const { ownerMs, ownerShare } = this.#limits;
    return { debt: new CpuDebt(ownerShare, 2 * ownerMs, this.#clock), hanging: [] };
  }
}

function left(aheadMs: number, debtMs: number): number {
  if (debtMs + TOKEN_MS > 2 * aheadMs) return 0;
  return Math.ceil(Math.max(aheadMs - debtMs, TOKEN_MS));
}
