/** Turns the frame description entries of a range of text into rows. */
import type { EncodedRule } from '../unwind/rule.ts';
import { Rule } from '../unwind/rule.ts';
import type { Fde } from './cfi-entry.ts';
import type { RowReceiver } from './cfi-program.ts';
import { ruleOf } from './cfi-rule.ts';
import { type ExecutableText, RESTORER_SIZE } from './executable-text.ts';
import { malformed } from './failure.ts';
import type { FdeLayer } from './fde-layer.ts';
import { CFA_UNDEFINED, type RegisterRules } from './register-rules.ts';
import { RowBuffer } from './row-buffer.ts';
import { ParseError } from './source.ts';

/** Less than this between two functions is padding: it keeps the rule before it. */
const MAX_PADDING = 16;
/**
 * Bytes of entries that one call may look at: 5 MiB of text of the densest
 * compiler output known need 1 MiB, and a huge function is run from its start.
 */
const BASE_WORK = 8 << 20;
const WORK_PER_TEXT_BYTE = 32;

export class CfiRowBuilder implements RowReceiver {
  readonly #layers: readonly FdeLayer[];
  readonly #text: ExecutableText;
  readonly #textBase: number;
  readonly #problem: (reason: string) => void;
  readonly #buffer = new RowBuffer();
  readonly #from: number;
  readonly #to: number;
  #workLeft: number;
  /** Rule in force at the end of the last function, which padding inherits. */
  #last: EncodedRule = Rule.None;
  /** The part of the function being run for which rows are wanted. */
  #clipStart = 0;
  #clipEnd = 0;
  #functionEnd = 0;
  #isSignalFrame = false;

  constructor(
    layers: readonly FdeLayer[],
    text: ExecutableText,
    textBase: number,
    from: number,
    to: number,
    problem: (reason: string) => void,
  ) {
    this.#layers = layers;
    this.#text = text;
    this.#textBase = textBase;
    this.#from = from;
    this.#to = to;
    this.#problem = problem;
    this.#workLeft = BASE_WORK + WORK_PER_TEXT_BYTE * (to - from);
  }

  /**
   * Rows of [from, to), which lies within [0, textSize).
   * @throws ParseError `search_table` when a layer's foreign index is nonsense.
   */
  build(textSize: number): RowBuffer {
    this.#walk(0, 0, textSize);
    return this.#buffer;
  }

  row(start: number, end: number, rules: RegisterRules): void {
    const from = Math.max(start - this.#textBase, this.#clipStart);
    const to = Math.min(end - this.#textBase, this.#clipEnd);
    if (from >= to && end !== this.#functionEnd) return;
    const rule = ruleOf(rules, this.#isSignalFrame);
    if (rules.cfaRegister === CFA_UNDEFINED && rule === Rule.None) this.#problem('cfi_cfa');
    if (from < to) this.#buffer.append(from, rule);
    this.#last = rule;
  }

  /**
   * Walks layer `depth` over the part of [low, high) that is wanted. What its
   * functions leave free is given to the next layer.
   */
  #walk(depth: number, low: number, high: number): void {
    const layer = this.#layers[depth]!;
    const { index } = layer;
    const stop = Math.min(high, this.#to);
    let covered = low;
    let number = layer.firstFor(Math.max(low, this.#from));
    let current = {} as Fde;
    let candidate = {} as Fde;
    while (number < index.count) {
      const start = index.start(number);
      // One that begins at the very end may still be a signal trampoline, see #run.
      if (start > stop) break;
      const end = layer.endOfRun(number);
      this.#load(layer, number, current);
      for (number++; number < end; number++) {
        this.#load(layer, number, candidate);
        if (candidate.end > current.end) [current, candidate] = [candidate, current];
      }
      const functionEnd = Math.min(current.end - this.#textBase, high);
      if (functionEnd <= start || functionEnd <= low) continue;
      if (start > covered) this.#gap(depth, covered, start);
      // Of overlapping functions the one that begins later holds, as bisection finds it.
      else this.#buffer.cut(Math.max(start, low));
      this.#run(layer, current, Math.max(start, low), functionEnd);
      covered = functionEnd;
    }
    const next = number < index.count ? Math.min(index.start(number), high) : high;
    if (next > covered) this.#gap(depth, covered, next);
  }

  /** A malformed entry becomes one byte that has no instructions to run. */
  #load(layer: FdeLayer, number: number, fde: Fde): void {
    const before = layer.entries.work;
    try {
      if (this.#workLeft < 0) throw new ParseError('work_limit', 'too much to read');
      layer.load(number, fde);
    } catch (error) {
      const { reason } = malformed(error);
      if (reason === 'search_table') throw error;
      this.#problem(reason);
      fde.start = layer.index.start(number) + this.#textBase;
      fde.end = fde.start + 1;
      fde.instructionsSize = -1;
    }
    this.#workLeft -= layer.entries.work - before;
  }

  #run(layer: FdeLayer, fde: Fde, start: number, end: number): void {
    this.#clipStart = Math.max(start, this.#from);
    this.#clipEnd = Math.min(end, this.#to);
    this.#functionEnd = fde.end;
    const mark = this.#buffer.count;
    if (fde.instructionsSize < 0) {
      this.#none();
      return;
    }
    this.#isSignalFrame = fde.cie.isSignalFrame;
    // glibc's FDE of __restore_rt begins a byte early, because the "return
    // address" of a handler is its first byte and lookups are made at - 1.
    // Other C libraries do not do that, or describe it as a common function.
    if (fde.cie.isSignalFrame || fde.end - fde.start === RESTORER_SIZE) {
      if (this.#text.hasRestorer(start)) {
        this.#restorer(start, end);
        return;
      }
    }
    if (this.#clipStart >= this.#clipEnd && start >= this.#to) return;
    const before = layer.entries.work;
    try {
      layer.entries.run(fde, this);
    } catch (error) {
      this.#problem(malformed(error).reason);
      this.#buffer.truncate(mark);
      this.#none();
    }
    this.#workLeft -= layer.entries.work - before;
  }

  #none(): void {
    if (this.#clipStart < this.#clipEnd) this.#buffer.append(this.#clipStart, Rule.None);
    this.#last = Rule.None;
  }

  #gap(depth: number, start: number, end: number): void {
    const from = Math.max(start, this.#from);
    const to = Math.min(end, this.#to);
    if (from >= to) {
      if (start === this.#to && this.#text.hasRestorer(start)) this.#restorer(start, end);
      return;
    }
    if (depth + 1 < this.#layers.length) {
      this.#walk(depth + 1, start, end);
      return;
    }
    if (end - start < MAX_PADDING) {
      this.#buffer.append(from, this.#last);
      return;
    }
    this.#buffer.append(from, Rule.None);
    this.#last = Rule.None;
    const first = Math.max(start, from - RESTORER_SIZE + 1);
    for (const found of this.#text.restorers(first, Math.min(end, to + 1))) {
      this.#restorer(found, found + RESTORER_SIZE);
      if (found + RESTORER_SIZE < to) {
        this.#buffer.append(found + RESTORER_SIZE, Rule.None);
      }
      this.#last = Rule.None;
    }
  }

  /** [start, end) and the byte before it. */
  #restorer(start: number, end: number): void {
    const from = Math.max(start - 1, this.#from);
    if (from < Math.min(end, this.#to)) {
      this.#buffer.cut(from);
      this.#buffer.append(from, Rule.Signal);
    }
    this.#last = Rule.Signal;
  }
}
