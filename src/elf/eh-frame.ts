/** Unwind rules of an ELF file from its call frame information. */

import { type TextOffset, textOffset } from '../units/units.ts';
import { Rule } from '../unwind/rule.ts';
import type { RowSink, RuleSource } from '../unwind/source.ts';
import type { Fde } from './cfi-entry.ts';
import { CfiRowBuilder } from './cfi-rows.ts';
import { type CfiStep, type ReadWord, stepFrame } from './cfi-step.ts';
import { ExecutableText } from './executable-text.ts';
import { malformed } from './failure.ts';
import { type FdeLayer, MAX_RUN } from './fde-layer.ts';
import { frameLayers, scanned } from './frame-sections.ts';
import type { ElfImage } from './image.ts';
import { ParseError } from './source.ts';

/**
 * The rules of an x86-64 image, or undefined when it has no call frame
 * information at all. Nothing is kept but indexes: `image` and its source must
 * stay usable.
 */
export function cfiRules(image: ElfImage): CfiRules | undefined {
  if (image.machine !== 'x86-64' || image.textSize === 0) return undefined;
  const problems = new Map<string, number>();
  const layers = frameLayers(image, (reason) => count(problems, reason));
  return layers.length === 0 ? undefined : new CfiRules(image, layers, problems);
}

export class CfiRules implements RuleSource {
  readonly problems: ReadonlyMap<string, number>;
  readonly #image: ElfImage;
  readonly #text: ExecutableText;
  readonly #problems: Map<string, number>;
  #layers: readonly FdeLayer[];

  /** See cfiRules. */
  constructor(image: ElfImage, layers: readonly FdeLayer[], problems: Map<string, number>) {
    this.#image = image;
    this.#layers = layers;
    this.#problems = problems;
    this.problems = problems;
    this.#text = new ExecutableText(image);
  }

  /** @throws ParseError only when the file itself fails: `file_changed`, `read_failed`, `closed`. */
  rows(from: TextOffset, to: TextOffset, sink: RowSink): void {
    const { textBase, textSize } = this.#image;
    if (!(from < to)) return;
    const end = Math.min(to, textSize);
    if (from < end) {
      const buffer = this.#checked(() => {
        const problem = (reason: string): void => count(this.#problems, reason);
        const layers = this.#layers;
        const builder = new CfiRowBuilder(layers, this.#text, textBase, from, end, problem);
        return builder.build(textSize);
      });
      buffer.emit(sink);
    }
    if (end < to) sink(textOffset(Math.max(from, end)), Rule.None);
  }

  /**
   * The function that covers a text offset, as call frame information sees it:
   * text offsets of its first byte and after its last one.
   */
  functionBounds(offset: TextOffset): { start: TextOffset; end: TextOffset } | undefined {
    const found = this.#checked(() => this.#find(offset));
    if (found === undefined) return undefined;
    const { textBase } = this.#image;
    return {
      start: textOffset(found.fde.start - textBase),
      end: textOffset(found.fde.end - textBase),
    };
  }

  /**
   * Exact step from a frame to its caller, for any rule. `offset` selects the
   * rules: the pc itself, or the return address - 1. `registers` are in DWARF
   * order (17 of them, the last the pc) and are not changed.
   */
  step(offset: TextOffset, registers: BigUint64Array, readWord: ReadWord): CfiStep {
    return this.#checked(() => {
      const found = this.#find(offset);
      const isRestorer =
        (found === undefined || found.fde.end - found.fde.start < 16) &&
        (this.#text.hasRestorer(offset) || this.#text.hasRestorer(offset + 1));
      return stepFrame(found, offset + this.#image.textBase, isRestorer, registers, readWord);
    });
  }

  #find(offset: number): { layer: FdeLayer; fde: Fde } | undefined {
    if (!(offset >= 0 && offset < this.#image.textSize)) return undefined;
    const address = offset + this.#image.textBase;
    for (const layer of this.#layers) {
      const fde = covering(layer, address, offset);
      if (fde !== undefined) return { layer, fde };
    }
    return undefined;
  }

  /** Makes own indexes once the file's search table has turned out to be nonsense. */
  #checked<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof ParseError) || error.reason !== 'search_table') throw error;
      const problem = (reason: string): void => count(this.#problems, reason);
      problem(error.reason);
      this.#layers = this.#layers.map((layer) =>
        layer.isForeign ? scanned(layer, this.#image, problem) : layer,
      );
      return work();
    }
  }
}

function covering(layer: FdeLayer, address: number, offset: number): Fde | undefined {
  const { index } = layer;
  let found: Fde | undefined;
  let number = layer.firstFor(offset);
  for (let end = number + 2 * MAX_RUN; number < index.count; number++) {
    if (index.start(number) > offset) break;
    if (number > end) throw new ParseError('search_table', 'not in order');
    const fde = {} as Fde;
    try {
      layer.load(number, fde);
      if (fde.end > fde.start) {
        const isLonger = found === undefined || fde.start > found.start || fde.end > found.end;
        if (isLonger) found = fde;
      }
    } catch (error) {
      if (malformed(error).reason === 'search_table') throw error;
      found = undefined;
    }
  }
  return found !== undefined && address >= found.start && address < found.end ? found : undefined;
}

function count(problems: Map<string, number>, reason: string): void {
  problems.set(reason, (problems.get(reason) ?? 0) + 1);
}
