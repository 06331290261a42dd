/** Names from an ELF file's own symbol tables. */
import { type ElfImage, SectionType } from '../elf/image.ts';
import { ParseError } from '../elf/source.ts';
import type { VirtualAddress } from '../units/units.ts';
import { cleanName } from './clean-name.ts';
import { type Demangler, displayName, withoutVersion } from './demangle.ts';
import { lastAtMost } from './sorted.ts';
import type { SourceLine, SymbolSource } from './source-line.ts';
import { StringTable } from './string-table.ts';
import {
  CodeRanges,
  emptyColumns,
  Flag,
  openTable,
  orderByStart,
  readSymbols,
  rowCount,
  type SymbolColumns,
} from './symbol-table.ts';

/** Symbols nest (a function with several entries) two or three deep; more is an attack on our time. */
const MAX_NESTING = 64;
/** Names of one address that are compared; libc gives its functions up to six. */
const MAX_ALIASES = 64;
/** Hand-written code without a size is rarely longer; a blob of data in text often is. */
const MAX_LABEL_REACH = 64 << 10;
/** crt1's `.init` and `.fini` are 9 to 27 bytes, each one function. */
const ONE_FUNCTION_SECTION = 64;
/** `$x` and the like mark data in code on Arm; `.L…`, `.annobin…` are compilers' notes. */
const NOT_A_NAME = /^(?:\$[a-z](?:\.|$)|\.)/;

interface Strings {
  readonly symtab: StringTable | undefined;
  readonly dynsym: StringTable | undefined;
}

/**
 * A symbol with a size names its own bytes and nothing beyond: in a stripped
 * file what follows an exported function is mostly static functions, whose
 * names are gone. A label (no size, usually assembly) names what follows it
 * only where that is plausible: nothing sized covers it, its table still has
 * local symbols (so what lies between has names of its own and would end it)
 * or it starts a section too small for two functions, within 64 KiB and never
 * past the next symbol or the end of its section.
 */
export class ElfSymbols implements SymbolSource {
  readonly kind = 'symbols';
  readonly #demangle: Demangler;
  readonly #base: number;
  readonly #strings: Strings;
  /** Symbols that cover bytes, by start; labels have been given their end. */
  readonly #start: Uint32Array;
  readonly #end: Uint32Array;
  readonly #name: Uint32Array;
  readonly #flags: Uint8Array;
  /** Nearest earlier row that ends later, -1 for none: what is around this one. */
  readonly #outer: Int32Array;
  readonly #problems: Map<string, number>;

  private constructor(
    columns: SymbolColumns,
    base: number,
    strings: Strings,
    demangle: Demangler,
    problems: Map<string, number>,
  ) {
    this.#start = columns.start;
    this.#end = columns.end;
    this.#name = columns.name;
    this.#flags = columns.flags;
    this.#outer = enclosing(columns.end);
    this.#base = base;
    this.#strings = strings;
    this.#demangle = demangle;
    this.#problems = problems;
  }

  /**
   * Indexes `.symtab` and `.dynsym`; a file without either, or with broken
   * ones, gives fewer symbols and counts in `problems`, never an error.
   * `image` must stay open: names are read when they are looked up.
   */
  static read(image: ElfImage, demangle: Demangler): ElfSymbols {
    const problems = new Map<string, number>();
    const refuse = (reason: string) => count(problems, reason);
    const symtab = attempt(refuse, () => openTable(image, SectionType.Symtab));
    const dynsym = attempt(refuse, () => openTable(image, SectionType.Dynsym));
    const code = new CodeRanges(image.sections);
    const columns = emptyColumns(
      (symtab ? rowCount(symtab.rows) : 0) + (dynsym ? rowCount(dynsym.rows) : 0),
    );
    if (symtab) attempt(refuse, () => readSymbols(symtab.rows, code, 0, columns, refuse));
    // Linkers put all of .dynsym into .symtab too: where nobody stripped the
    // latter, reading both finds nothing and takes twice as long (Node: 80,000 rows).
    if (dynsym && !columns.hasLocals) {
      attempt(refuse, () => readSymbols(dynsym.rows, code, Flag.Dynamic, columns, refuse));
    }
    const strings = {
      symtab: symtab && new StringTable(symtab.strings),
      dynsym: dynsym && new StringTable(dynsym.strings),
    };
    return new ElfSymbols(arrange(columns, code), code.base, strings, demangle, problems);
  }

  /** Of five columns. */
  get indexBytes(): number {
    return this.#start.length * 5 * Uint32Array.BYTES_PER_ELEMENT;
  }

  /** Symbols that can be found. */
  get size(): number {
    return this.#start.length;
  }

  get problems(): ReadonlyMap<string, number> {
    return this.#problems;
  }

  lookup(address: VirtualAddress): readonly SourceLine[] | undefined {
    const offset = address - this.#base;
    let row = lastAtMost(this.#start, this.#start.length, offset);
    for (let hops = 0; row >= 0 && this.#end[row]! <= offset; row = this.#outer[row]!) {
      if (++hops > MAX_NESTING) {
        count(this.#problems, 'symbols_nested_too_deep');
        return undefined;
      }
    }
    if (row < 0) return undefined;
    const raw = attempt(
      (reason) => count(this.#problems, reason),
      () => this.#bestName(row, offset),
    );
    if (raw === undefined || raw === '') return undefined;
    return [
      {
        name: displayName(raw, this.#demangle),
        systemName: cleanName(withoutVersion(raw)),
        file: '',
        line: 0,
        column: 0,
        startLine: 0,
      },
    ];
  }

  /** Of the names of one start the most public, then the one least decorated, then the shortest. */
  #bestName(last: number, offset: number): string {
    const start = this.#start[last]!;
    let best = '';
    let bestRank = -1;
    for (let row = last; row >= 0 && last - row < MAX_ALIASES; row--) {
      if (this.#start[row] !== start) break;
      if (this.#end[row]! <= offset) continue;
      const rank = this.#flags[row]! & Flag.BindingMask;
      if (rank < bestRank) continue;
      const name = this.#readName(row);
      if (name === '' || ((this.#flags[row]! & Flag.NoType) !== 0 && NOT_A_NAME.test(name))) {
        continue;
      }
      if (rank > bestRank || plainer(name, best)) {
        best = name;
        bestRank = rank;
      }
    }
    return best;
  }

  #readName(row: number): string {
    const dynamic = (this.#flags[row]! & Flag.Dynamic) !== 0;
    const strings = dynamic ? this.#strings.dynsym : this.#strings.symtab;
    const name = strings?.text(this.#name[row]!);
    if (name === undefined) count(this.#problems, 'symbol_name_outside');
    return name ?? '';
  }
}

/** `malloc` rather than `__libc_malloc`, and the same choice each time. */
function plainer(a: string, b: string): boolean {
  const byUnderscores = underscores(a) - underscores(b);
  if (byUnderscores !== 0) return byUnderscores < 0;
  return a.length !== b.length ? a.length < b.length : a < b;
}

function underscores(name: string): number {
  let at = 0;
  while (name.charCodeAt(at) === 0x5f) at++;
  return at;
}

/** Sorts by start, drops what `.dynsym` repeats, and gives each label its end or drops it. */
function arrange(columns: SymbolColumns, code: CodeRanges): SymbolColumns {
  const order = orderByStart(columns);
  const { length } = order;
  const kept = emptyColumns(length);
  let covered = 0; // End of the sized symbols so far.
  for (let first = 0, next = 0; first < length; first = next) {
    const start = columns.start[order[first]!]!;
    for (next = first; next < length && columns.start[order[next]!] === start; next++) {
      covered = Math.max(covered, columns.end[order[next]!]!);
    }
    const nextStart = next < length ? columns.start[order[next]!]! : Number.POSITIVE_INFINITY;
    // Labels inside sized code, or at its start, say less than it does.
    const reach = covered > start ? start : labelReach(start, nextStart, code);
    for (let at = first; at < next; at++) {
      const row = order[at]!;
      let end = columns.end[row]!;
      if (end === start) {
        if (reach === start || !isCredible(columns, row, code)) continue;
        end = reach;
      } else if (repeats(columns, row, kept)) continue;
      const index = kept.length++;
      kept.start[index] = start;
      kept.end[index] = end;
      kept.name[index] = columns.name[row]!;
      kept.flags[index] = columns.flags[row]!;
    }
  }
  return {
    ...kept,
    start: kept.start.slice(0, kept.length),
    end: kept.end.slice(0, kept.length),
    name: kept.name.slice(0, kept.length),
    flags: kept.flags.slice(0, kept.length),
  };
}

/** How far a symbol without a size can name code at most. */
function labelReach(start: number, nextStart: number, code: CodeRanges): number {
  const section = code.find(start + code.base);
  if (section < 0) return start;
  return Math.min(nextStart, code.end(section) - code.base, start + MAX_LABEL_REACH, 0xffff_ffff);
}

/** Whether what follows a label can be said to be its code (see ElfSymbols). */
function isCredible(columns: SymbolColumns, row: number, code: CodeRanges): boolean {
  if ((columns.flags[row]! & Flag.Dynamic) === 0 && columns.hasLocals) return true;
  const address = columns.start[row]! + code.base;
  const section = code.find(address);
  return (
    section >= 0 &&
    code.start(section) === address &&
    code.end(section) - address <= ONE_FUNCTION_SECTION
  );
}

/** A `.dynsym` row that says what a `.symtab` row before it said already. */
function repeats(columns: SymbolColumns, row: number, kept: SymbolColumns): boolean {
  if ((columns.flags[row]! & Flag.Dynamic) === 0) return false;
  for (let index = kept.length - 1; index >= Math.max(0, kept.length - MAX_ALIASES); index--) {
    if (kept.start[index] !== columns.start[row]) return false;
    if (
      kept.end[index] === columns.end[row] &&
      (kept.flags[index]! & Flag.Dynamic) === 0 &&
      (kept.flags[index]! & Flag.BindingMask) === (columns.flags[row]! & Flag.BindingMask)
    ) {
      return true;
    }
  }
  return false;
}

/** For each row the nearest earlier one that ends later. Each step skips rows for good: O(n). */
function enclosing(end: Uint32Array): Int32Array {
  const outer = new Int32Array(end.length);
  for (let row = 0; row < end.length; row++) {
    let candidate = row - 1;
    while (candidate >= 0 && end[candidate]! <= end[row]!) candidate = outer[candidate]!;
    outer[row] = candidate;
  }
  return outer;
}

function count(problems: Map<string, number>, reason: string): void {
  problems.set(reason, (problems.get(reason) ?? 0) + 1);
}

function attempt<T>(refuse: (reason: string) => void, action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    refuse(error.reason);
    return undefined;
  }
}
