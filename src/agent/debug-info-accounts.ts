/**
 * When the debug-info thread is worth a start, and at whose expense. Each owner of files
 * has accounts of his own inside the common ones: what his files cost stops only him.
 */
import { OwnerBudget } from '../process/owner-budget.ts';
import type { DebugInfoFile } from './debug-info-file.ts';

export interface DebugInfoAccountLimits {
  /**
   * Share of one CPU that the thread may take in the long run, for files met first and
   * again for addresses that turn up late. 1 = it never rests.
   */
  readonly cpuShare: number;
  /** CPU time that an owner may owe, milliseconds, when files met first are worth a start. */
  readonly newsMs: number;
  /** The same for code that has become hot. */
  readonly hotMs: number;
}

/** This many questions are worth a start, as a file is that was never asked. */
const MANY_QUESTIONS = 500;
/** But not one of which there is no more than a sample: it can wait as late addresses do. */
const MIN_NEW_FILE_FRAMES = 20;
/**
 * Code that has become hot is worth one too: this share of the frames of the
 * flush, and so many samples' frames (0.1 s of CPU time at 99 Hz with stacks of
 * 10). On a quiet machine a share alone would make everything hot.
 */
const HOT_SHARE = 0.01;
const MIN_FRAMES = 100;
/** All owners together may owe what two may. */
const OWNERS = 2;
/** Of the credit: programs with huge debug information wait for an hour or two, not for ever. */
const MOST_OWED = 2;
/** One file can cost 17 s at once. Of what is beyond its owner's credit, so much counts for all. */
const SHARED_EXCESS = 1 / 4;

/** `news`: files met first, and large programs. `late`: addresses that turn up late. */
export type DebugInfoPurpose = 'news' | 'late';

/** A common account with one of each owner's in it. */
class Account {
  readonly #budget: OwnerBudget;
  readonly #creditMs: number;

  constructor(cpuShare: number, creditMs: number) {
    this.#creditMs = creditMs;
    this.#budget = new OwnerBudget({
      ownerMs: creditMs,
      allMs: creditMs * OWNERS,
      ownerShare: cpuShare,
      allShare: cpuShare,
    });
  }

  hasCredit(owner: string): boolean {
    return this.#budget.left(owner) > 0;
  }

  /** Whether the owner has paid back all, and the others not too little. */
  isClear(owner: string): boolean {
    return this.#budget.debtOf(owner) === 0 && this.hasCredit(owner);
  }

  /** @returns what the account has no room for */
  owe(owner: string, ms: number): number {
    const before = this.#budget.debtOf(owner);
    const taken = Math.min(ms, this.#creditMs * MOST_OWED - before);
    const within = Math.min(taken, Math.max(0, this.#creditMs - before));
    this.#budget.owe(owner, taken, within + (taken - within) * SHARED_EXCESS);
    return ms - taken;
  }
}

export class DebugInfoAccounts {
  readonly #news: Account;
  readonly #late: Account;
  readonly #neverRests: boolean;
  readonly #asked = new WeakSet<DebugInfoFile>();

  constructor({ cpuShare, newsMs, hotMs }: DebugInfoAccountLimits) {
    this.#news = new Account(cpuShare, newsMs);
    this.#late = new Account(cpuShare, hotMs);
    this.#neverRests = cpuShare >= 1;
  }

  /**
   * Which files are to be asked for now, and to what purpose.
   * @param frames of all samples that names are wanted for
   * @param isRunning there is a thread, so that none need be started
   */
  worth(
    files: readonly DebugInfoFile[],
    frames: number,
    isRunning: boolean,
  ): ReadonlyMap<DebugInfoFile, DebugInfoPurpose> {
    const chosen = new Map<DebugInfoFile, DebugInfoPurpose>();
    const paying = files.filter((file) => file.questions > 0 && this.#canPay(file));
    if (this.#isNews(paying)) {
      for (const file of paying) chosen.set(file, 'news');
    } else {
      const resting = paying.filter((file) => this.rests(file, isRunning));
      const hot = resting.filter(({ origin }) => this.#late.hasCredit(origin.owner));
      const left = new Set(isHot(hot, frames) ? [] : resting);
      for (const file of paying) if (!left.has(file)) chosen.set(file, 'late');
    }
    for (const file of chosen.keys()) this.#asked.add(file);
    return chosen;
  }

  /** Whether late addresses of a file are left out unless they are worth a start. */
  rests(file: DebugInfoFile, isRunning: boolean): boolean {
    if (this.#neverRests) return false;
    return !this.#canPay(file) || !(isRunning || this.#late.isClear(file.origin.owner));
  }

  /** @param ms CPU time that a file has cost */
  owe(purpose: DebugInfoPurpose, { origin }: DebugInfoFile, ms: number): void {
    const rest = purpose === 'late' ? this.#late.owe(origin.owner, ms) : ms;
    this.#news.owe(origin.owner, rest);
  }

  #canPay({ origin }: DebugInfoFile): boolean {
    return this.#neverRests || this.#news.hasCredit(origin.owner);
  }

  #isNews(files: readonly DebugInfoFile[]): boolean {
    const questions = files.reduce((sum, file) => sum + file.questions, 0);
    const isNew = (file: DebugInfoFile) =>
      !this.#asked.has(file) && file.newFrames >= MIN_NEW_FILE_FRAMES;
    return questions >= MANY_QUESTIONS || files.some(isNew);
  }
}

function isHot(files: readonly DebugInfoFile[], frames: number): boolean {
  const newFrames = files.reduce((sum, file) => sum + file.newFrames, 0);
  return newFrames >= MIN_FRAMES && newFrames >= frames * HOT_SHARE;
}
