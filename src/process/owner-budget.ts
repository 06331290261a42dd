/** What work or waiting costs, per owner and in all: some of it ahead, the rest as time passes. */
import { CpuDebt } from './cpu-debt.ts';
import { RecentAccounts } from './recent-accounts.ts';

export interface OwnerLimits {
  /** Milliseconds ahead. */
  readonly ownerMs: number;
  readonly allMs: number;
  /** Share of one CPU, or of the time that passes, in the long run. */
  readonly ownerShare: number;
  readonly allShare: number;
}

/** Of what may be had ahead: more that is owed is forgiven. */
const MOST_OWED = 2;
/** Told apart at a time. */
export const MAX_OWNERS = 256;

export class OwnerBudget {
  readonly #limits: OwnerLimits;
  readonly #all: CpuDebt;
  readonly #clock: () => number;
  readonly #owners = new RecentAccounts<string, CpuDebt>(MAX_OWNERS);

  /** @param clock milliseconds that never go back */
  constructor(limits: OwnerLimits, clock: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#clock = clock;
    this.#all = new CpuDebt(limits.allShare, limits.allMs * MOST_OWED, clock);
  }

  /** What all owe, milliseconds. */
  get debt(): number {
    return this.#all.ms;
  }

  /** What one owner owes, milliseconds. */
  debtOf(owner: string): number {
    return this.#owners.find(owner)?.ms ?? 0;
  }

  /** Milliseconds that an owner may take ahead now; he waits when it is not above zero. */
  left(owner: string): number {
    return Math.min(this.#limits.ownerMs - this.debtOf(owner), this.#limits.allMs - this.debt);
  }

  /** @param ofAll what of it counts for all */
  owe(owner: string, ms: number, ofAll = ms): void {
    const { ownerMs, ownerShare } = this.#limits;
    const open = () => new CpuDebt(ownerShare, ownerMs * MOST_OWED, this.#clock);
    this.#owners.charge(owner, open).owe(ms);
    this.#all.owe(ofAll);
  }
}
