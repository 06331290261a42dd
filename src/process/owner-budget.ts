/** What work or waiting costs, per owner and in all: some of it ahead, the rest as time passes. */
import { CpuDebt } from './cpu-debt.ts';

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
/** The least recently charged is forgotten. */
const MAX_OWNERS = 256;

export class OwnerBudget {
  readonly #limits: OwnerLimits;
  readonly #clock: () => number;
  readonly #all: CpuDebt;
  readonly #owners = new Map<string, CpuDebt>();

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
    return this.#owners.get(owner)?.ms ?? 0;
  }

  /** Milliseconds that an owner may take ahead now; he waits when it is not above zero. */
  left(owner: string): number {
    return Math.min(this.#limits.ownerMs - this.debtOf(owner), this.#limits.allMs - this.debt);
  }

  /** @param ofAll what of it counts for all */
  owe(owner: string, ms: number, ofAll = ms): void {
    const { ownerMs, ownerShare } = this.#limits;
    const debt =
      this.#owners.get(owner) ?? new CpuDebt(ownerShare, ownerMs * MOST_OWED, this.#clock);
    this.#owners.delete(owner);
    this.#owners.set(owner, debt);
    debt.owe(ms);
    this.#all.owe(ofAll);
    if (this.#owners.size > MAX_OWNERS) {
      const [oldest] = this.#owners.keys();
      this.#owners.delete(oldest!);
    }
  }
}
