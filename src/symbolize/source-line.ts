/** What an address is called: the seam between frames and everything that has names. */
import type { VirtualAddress } from '../units/units.ts';

/** One function activation at an address. All texts went through cleanName(). */
export interface SourceLine {
  /** As shown: demangled. */
  readonly name: string;
  /** As the linker or run time knows it. */
  readonly systemName: string;
  /** Source file, '' = not known. */
  readonly file: string;
  /** 1-based, 0 = not known. */
  readonly line: number;
  readonly column: number;
  /** First line of the function, 0 = not known. */
  readonly startLine: number;
  /** Present when `name` only says where the code is (`module+0x1234`): not a name that was found. */
  readonly unnamed?: true;
}

/**
 * Where a source's names come from, best first: FileSymbols asks in this order
 * and the first answer wins, because names of two sources do not mix (DWARF
 * knows inlined calls that a symbol table folds into their caller).
 */
export const SOURCE_QUALITY = [
  'go',
  'dwarf',
  /** Symbol tables of the file itself. */
  'symbols',
  /** Of a debug file that is installed beside it. */
  'separate',
  /** Of its `.gnu_debugdata`. */
  'debugdata',
  /** Of a debug file that was downloaded. */
  'debuginfod',
  /** `memcpy@plt`. */
  'plt',
  /** Where functions begin and end, without names. */
  'bounds',
] as const;
export type SourceKind = (typeof SOURCE_QUALITY)[number];

/** Names for addresses of one file. */
export interface SymbolSource {
  readonly kind: SourceKind;
  /** Of its index in memory; absent: it has none to speak of. */
  readonly indexBytes?: number;
  /**
   * Innermost inlined call first, the enclosing function last; undefined when
   * this source does not know the address. For a return address the caller
   * passes address - 1: the call may be its function's last instruction.
   * Never throws on broken files: what cannot be read is counted in `problems`.
   */
  lookup(address: VirtualAddress): readonly SourceLine[] | undefined;
  /** Entries that were refused so far, by reason. */
  readonly problems: ReadonlyMap<string, number>;
}
