/**
 * The code that one file of a run time tells of, as far as its pages were sampled. A file may
 * have hundreds of megabytes: no index of all of it is kept. Pages that turn up later take
 * another way through the file, while what is known is kept up to date.
 */
import { CodePages, pageOf } from '../symbolize/code-pages.ts';
import type { JitSymbol } from '../symbolize/jit-name.ts';
import type { ProcessAddress } from '../units/units.ts';
import type { CodeScan } from './growing-file.ts';

/** Flushes after which a page is forgotten, at the next way through the file. */
const KEPT_FLUSHES = 30;
/** Pages of one process, the latest sampled ones: 16 MiB of hot code. */
const MAX_PAGES = 4096;
/** Code that was moved is looked for where it came from, and so on. */
const MAX_MOVES = 3;

/** Whether the time to read is over. */
export interface ReadingTime {
  /** For what was written since the last look. */
  readonly isSpent: () => boolean;
  /** For going through the file once more, which is to leave some time for the above. */
  readonly isShort: () => boolean;
}

export class GeneratedCode {
  readonly #makeScan: (pages: CodePages) => CodeScan;
  /** Pages that were asked for, and the flush of it; the least recent first. */
  readonly #wanted = new Map<number, number>();
  readonly #past = new Map<string, number>();
  /** Answers; goes on as the file grows. */
  #current: CodeScan | undefined;
  /** On its way through the file with more pages; then takes its place. */
  #next: CodeScan | undefined;
  /** Whether `#current` has all that the file had at the last look. */
  #isWhole = false;

  constructor(makeScan: (pages: CodePages) => CodeScan) {
    this.#makeScan = makeScan;
  }

  /** Memory that it takes, about. */
  get bytes(): number {
    return (this.#current?.bytes ?? 0) + (this.#next?.bytes ?? 0);
  }

  /** What was refused or is missing, by reason. */
  get problems(): ReadonlyMap<string, number> {
    const all = new Map(this.#past);
    for (const [reason, count] of (this.#current ?? this.#next)?.problems ?? []) {
      all.set(reason, (all.get(reason) ?? 0) + count);
    }
    return all;
  }

  /** Asks for the code in a page. */
  want(page: number, flush: number): void {
    this.#wanted.delete(page);
    this.#wanted.set(page, flush);
    if (this.#wanted.size <= MAX_PAGES) return;
    const [oldest] = this.#wanted.keys();
    this.#wanted.delete(oldest!);
    this.#count('pages_refused');
  }

  /** @throws Error when the file system refuses */
  readOn(fd: number, size: number, flush: number, time: ReadingTime): void {
    if (!(this.#current ?? this.#next)?.isContinued(fd, size)) this.restart();
    else if (this.#next && !this.#next.isContinued(fd, size)) this.#next = undefined;
    this.#isWhole = this.#current?.readOn(fd, size, time.isSpent) ?? false;
    for (let moves = 0; moves < MAX_MOVES; moves++) {
      if (!this.#next && !this.#lacksPages(flush)) return;
      this.#next ??= this.#makeScan(this.#pages(flush));
      if (!this.#next.readOn(fd, size, time.isShort)) return;
      this.#replace(this.#next);
    }
  }

  /** The file cannot be reached any longer: what was known stays true. */
  gone(): void {
    this.#next = undefined;
    this.#isWhole = true;
  }

  /** Another file is there now, or room is needed. */
  restart(): void {
    if (this.#current || this.#next) this.#count('read_again');
    this.#keepProblems();
    this.#current = undefined;
    this.#next = undefined;
    this.#isWhole = false;
  }

  lookup(address: ProcessAddress): JitSymbol | undefined {
    // What was not read yet could give the address another name.
    const isKnown = this.#isWhole && this.#current?.pages.has(pageOf(address));
    if (isKnown) return this.#current?.lookup(address);
    this.#count('addresses_behind');
    return undefined;
  }

  #replace(next: CodeScan): void {
    // Counts never fall: with other pages there may be room for what was forgotten before.
    for (const [reason, count] of this.#current?.problems ?? []) {
      const less = count - (next.problems.get(reason) ?? 0);
      if (less > 0) this.#count(reason, less);
    }
    this.#current = next;
    this.#next = undefined;
    this.#isWhole = true;
  }

  #lacksPages(flush: number): boolean {
    for (const page of this.#current?.sources ?? []) this.want(page, flush);
    for (const [page, wanted] of this.#wanted) {
      if (wanted === flush && !this.#current?.pages.has(page)) return true;
    }
    return false;
  }

  #pages(flush: number): CodePages {
    for (const [page, wanted] of this.#wanted) {
      if (flush - wanted <= KEPT_FLUSHES) break;
      this.#wanted.delete(page);
    }
    return CodePages.of(new Set(this.#wanted.keys()));
  }

  #keepProblems(): void {
    const { problems } = this;
    this.#past.clear();
    for (const [reason, count] of problems) this.#past.set(reason, count);
  }

  #count(reason: string, count = 1): void {
    this.#past.set(reason, (this.#past.get(reason) ?? 0) + count);
  }
}
