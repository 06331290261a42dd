/** What the resolver knows of one file's debug information: asked, answered, given up. */
import type { SumOutcome } from '../debuginfo/debug-search.ts';
import type { Learned } from '../symbolize/file-symbols.ts';
import type { VirtualAddress } from '../units/units.ts';
import { type DebugInfoAnswer, unpackLines } from './debug-info-messages.ts';

/** Answers that nobody has come for yet: those that came too late for their flush. */
const MAX_NEWS = 65_536;
/** Sources that may fail before all are given up. */
const MAX_SETBACKS = 4;
/** After that long a file that had nothing is asked again: servers come back, packages are installed. */
const ASK_AGAIN_MS = 300_000;

/** How the file can be read; whoever asks for descriptors gives them back. */
export interface DebugInfoOrigin {
  /** Unique in this run of the agent. */
  readonly id: number;
  /** Path as its processes see it. */
  readonly path: string;
  /** Whoever can change the file: what it costs stops the other files of his. */
  readonly owner: string;
  /** New descriptors of the roots of processes that map it, or mapped it, where these are not ours. */
  roots(): number[];
  /** A new descriptor. @throws ParseError when the file was closed. */
  open(): number;
  /** What open() and roots() have given. */
  giveBack(descriptors: readonly number[]): void;
}

export class DebugInfoFile {
  readonly origin: DebugInfoOrigin;
  readonly problems = new Map<string, number>();
  #state: 'asking' | 'pending' | 'over' = 'asking';
  /** Wanted, and without a final answer. What is named meanwhile is numbered again later. */
  readonly #wanted = new Set<VirtualAddress>();
  /** Of these, those that the thread was asked for. */
  readonly #sent = new Set<VirtualAddress>();
  /** Of the wanted, those that were answered as well as can be before a download has ended. */
  readonly #provisional = new Set<VirtualAddress>();
  readonly #news = new Map<VirtualAddress, Learned>();
  readonly #skipped = new Set<string>();
  readonly #trusted = new Set<string>();
  readonly #late = new Set<string>();
  readonly #clock: () => number;
  /** Of a file that had nothing before: what was answered since. Its other names are those of before. */
  #answered: Set<VirtualAddress> | undefined;
  /** Sum over the new questions since the last flush of the samples that they occurred in. */
  #newFrames = 0;
  /** When one that is over is asked again. */
  #againAt = Number.POSITIVE_INFINITY;
  #setbacks = 0;
  #isPostponed = false;

  /**
   * @param isLate addresses were named already when it was found
   * @param clock milliseconds that never go back
   */
  constructor(origin: DebugInfoOrigin, isLate = false, clock = () => performance.now()) {
    this.origin = origin;
    this.#clock = clock;
    if (isLate) this.#answered = new Set();
  }

  /** A download is under way: what was answered is not asked again before it has ended. */
  get pending(): boolean {
    return this.#state === 'pending';
  }

  /** False as long as it is known that there is nothing to be had. */
  get mayAnswer(): boolean {
    if (this.#state === 'over' && this.#clock() >= this.#againAt) {
      this.#state = 'asking';
      this.#answered = new Set();
    }
    return this.#state !== 'over';
  }

  /** Whether names may be those of before it had anything. */
  get isLate(): boolean {
    return this.#answered !== undefined;
  }

  /**
   * An address that occurred.
   * @param isNamed it has a name already, final unless it is wanted or of before
   * @param samples how many samples it occurred in
   */
  occurred(address: VirtualAddress, isNamed: boolean, samples = 1): void {
    if (!this.mayAnswer) return;
    const isFinal = isNamed && (this.#answered?.has(address) ?? true);
    if (!isFinal) this.#wanted.add(address);
    // To ask again where there was nothing is not urgent.
    const isRetry = this.isLate && isNamed;
    if (this.#isQuestion(address) && !isRetry) this.#newFrames += samples;
  }

  /** New questions since the last flush, each counted as many times as there were samples of it. */
  get newFrames(): number {
    return this.#newFrames;
  }

  /** Whether there is nothing more to be asked or waited for. */
  get isSettled(): boolean {
    return this.#wanted.size === 0;
  }

  /** A flush goes on with what there is; why that is not all is counted. */
  flushed(isResting: boolean): void {
    this.#newFrames = 0;
    if (this.isSettled) return;
    if (this.pending) this.#count('debuginfod_pending', 1);
    if (this.#sent.size > 0) this.#count('debug_info_not_waited_for', 1);
    else if (this.questions > 0) {
      this.#count(isResting ? 'debug_info_resting' : 'debug_info_not_waited_for', 1);
    }
  }

  /** How many addresses the thread is still to be asked for. */
  get questions(): number {
    return this.#wanted.size - this.#sent.size - this.#provisional.size;
  }

  /** Wanted addresses that the thread was not asked for, ascending; they count as asked from now on. */
  takeQuestions(): Float64Array<ArrayBuffer> {
    if (!this.mayAnswer || this.questions === 0) return new Float64Array();
    const questions = Float64Array.from([...this.#wanted].filter((each) => this.#isQuestion(each)));
    for (const address of questions) this.#sent.add(address as VirtualAddress);
    return questions.sort();
  }

  /** Sources that have cost too much, or are not this file's. */
  get skipped(): ReadonlySet<string> {
    return this.#skipped;
  }

  /** Sources whose checksum is right: a restarted thread need not sum them again. */
  get trusted(): ReadonlySet<string> {
    return this.#trusted;
  }

  summed(source: string, outcome: SumOutcome): void {
    if (outcome === 'right') this.#trusted.add(source);
    // A slow disk is faster the second time.
    else if (outcome === 'wrong' || this.#late.has(source)) this.#skipped.add(source);
    else this.#late.add(source);
  }

  /** How often the thread was lost over it. */
  get setbacks(): number {
    return this.#setbacks;
  }

  /** 0 = it was never slow; the greater, the later its turn. */
  get rank(): number {
    return this.#setbacks + (this.#isPostponed ? 1 : 0);
  }

  /** It held others up, and is asked again after them. */
  postpone(): void {
    this.#isPostponed = true;
  }

  /** The thread was lost over one of its sources: the others remain. @param source undefined when it is not known */
  setBack(reason: string, source: string | undefined): void {
    this.#count(reason, 1);
    this.#setbacks++;
    if (source === undefined || this.#skipped.has(source) || this.#setbacks >= MAX_SETBACKS) {
      this.#end();
    } else {
      this.#skipped.add(source);
    }
  }

  hasNews(address: VirtualAddress): boolean {
    return this.#news.has(address);
  }

  /** The answer for an address, once. */
  take(address: VirtualAddress): Learned | undefined {
    const learned = this.#news.get(address);
    this.#news.delete(address);
    return learned;
  }

  learn(addresses: Float64Array, answer: DebugInfoAnswer): void {
    for (const [reason, count] of answer.problems) this.#count(reason, count);
    for (let i = 0; i < addresses.length; i++) {
      const address = addresses[i] as VirtualAddress;
      const lines = unpackLines(answer.lines, i);
      if (lines.length > 0) {
        this.#news.set(address, { kind: answer.kinds[answer.kind[i]!]!, lines });
      }
      this.#sent.delete(address);
      if (answer.state === 'ready') this.#settle(address);
      else this.#provisional.add(address);
    }
    for (const address of this.#news.keys()) {
      if (this.#news.size <= MAX_NEWS) break;
      this.#news.delete(address);
    }
    if (answer.state === 'none') this.#end(this.#clock() + ASK_AGAIN_MS);
    else if (answer.state === 'pending') this.#state = 'pending';
    else this.changed();
  }

  /** The thread has ended before it answered: it may be asked again. */
  unanswered(addresses: Float64Array): void {
    for (const address of addresses) this.#sent.delete(address as VirtualAddress);
  }

  /** The file is not asked again; other sources name it. */
  giveUp(reason: string): void {
    this.#count(reason, 1);
    this.#end();
  }

  /** A download has ended, or the thread that waited for it. */
  changed(): void {
    if (this.#state !== 'pending') return;
    this.#state = 'asking';
    this.#provisional.clear();
  }

  #isQuestion(address: VirtualAddress): boolean {
    return this.#wanted.has(address) && !this.#sent.has(address) && !this.#provisional.has(address);
  }

  #settle(address: VirtualAddress): void {
    this.#wanted.delete(address);
    this.#answered?.add(address);
    // Those that have not occurred by now keep their names.
    if ((this.#answered?.size ?? 0) > MAX_NEWS) this.#answered = undefined;
  }

  #end(againAt = Number.POSITIVE_INFINITY): void {
    this.#state = 'over';
    this.#againAt = againAt;
    this.#wanted.clear();
    this.#sent.clear();
    this.#provisional.clear();
  }

  #count(reason: string, count: number): void {
    this.problems.set(reason, (this.problems.get(reason) ?? 0) + count);
  }
}
