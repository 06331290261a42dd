/** One identity for each function that has no name: where it begins. */
import { ParseError } from '../elf/source.ts';
import { type TextOffset, textOffset, type VirtualAddress } from '../units/units.ts';
import { cleanName } from './clean-name.ts';
import type { SourceLine, SymbolSource } from './source-line.ts';

/** What this needs of CfiRules (src/elf/eh-frame.ts). */
export interface BoundsLookup {
  /** @throws ParseError when the file itself fails. */
  functionBounds(offset: TextOffset): { readonly start: TextOffset } | undefined;
}

/**
 * Call frame information survives stripping and has an entry per function; the
 * cold part of a function has its own, and so an identity of its own. Written
 * `module+0xstart`, the start as objdump shows it.
 */
export class FunctionBounds implements SymbolSource {
  readonly kind = 'bounds';
  readonly #rules: BoundsLookup;
  readonly #textBase: VirtualAddress;
  readonly #module: string;
  readonly #problems = new Map<string, number>();

  /**
   * @param textBase `ElfImage.textBase` of the same file.
   * @param path Of the file; its last component is shown.
   */
  constructor(rules: BoundsLookup, textBase: VirtualAddress, path: string) {
    this.#rules = rules;
    this.#textBase = textBase;
    this.#module = path.startsWith('[') ? path : path.slice(path.lastIndexOf('/') + 1);
  }

  get problems(): ReadonlyMap<string, number> {
    return this.#problems;
  }

  lookup(address: VirtualAddress): readonly SourceLine[] | undefined {
    const start = this.#start(address);
    if (start === undefined) return undefined;
    const name = cleanName(`${this.#module}+0x${(start + this.#textBase).toString(16)}`);
    return [{ name, systemName: name, file: '', line: 0, column: 0, startLine: 0, unnamed: true }];
  }

  #start(address: VirtualAddress): TextOffset | undefined {
    if (address < this.#textBase) return undefined;
    try {
      return this.#rules.functionBounds(textOffset(address - this.#textBase))?.start;
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      this.#problems.set(error.reason, (this.#problems.get(error.reason) ?? 0) + 1);
      return undefined;
    }
  }
}
