/** Reading `.symtab` and `.dynsym` (System V gABI, 64-bit) into columns. */
import { type ElfImage, type Section, SectionType } from '../elf/image.ts';
import type { ByteSource } from '../elf/source.ts';
import { lastAtMost } from './sorted.ts';

const SYMBOL_SIZE = 24;
const SYMBOL_WORDS = SYMBOL_SIZE / 4;
/** 96 KiB at a time: the table of a browser is 60 MB and need not be in memory at once. */
const CHUNK_SYMBOLS = 4096;
/** Code symbols per file, 17 bytes each. An unstripped debug build of Chromium has about 1.5 million. */
const MAX_SYMBOLS = 1 << 21;
/** Table rows looked at, of any kind: 1.5 GB of table, at which nothing real arrives. */
const MAX_ROWS = 1 << 26;

const SECTION_EXECUTABLE = 4;
const SECTION_XINDEX = 0xffff;
const Type = { NoType: 0, Func: 2, GnuIfunc: 10 } as const;
const Binding = { Local: 0, Global: 1, Weak: 2, GnuUnique: 10 } as const;

/** Bits of the `flags` column. The lower two: 0 local, 1 weak, 2 global. */
export const Flag = { BindingMask: 3, NoType: 4, Dynamic: 8 } as const;

/** Symbols as columns; offsets count from `CodeRange.base`. */
export interface SymbolColumns {
  length: number;
  readonly start: Uint32Array;
  /** Exclusive; equal to start when the symbol has no size. */
  readonly end: Uint32Array;
  /** Offset in the string table. */
  readonly name: Uint32Array;
  readonly flags: Uint8Array;
  /** A local code symbol was seen: the table was not stripped of static functions. */
  hasLocals: boolean;
}

/** The executable sections; code symbols lie in one of them. */
export class CodeRanges {
  /** Lowest executable section address. */
  readonly base: number;
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;
  /** By section index: row in #starts, or -1. */
  readonly #bySection: Int32Array;

  constructor(sections: readonly Section[]) {
    const executable = sections
      .map((section, index) => ({ section, index }))
      .filter(({ section: { flags, address, size } }) => {
        return (flags & SECTION_EXECUTABLE) !== 0 && address > 0 && size > 0;
      })
      .sort((a, b) => a.section.address - b.section.address);
    this.base = executable[0]?.section.address ?? 0;
    this.#starts = Float64Array.from(executable, ({ section }) => section.address);
    this.#ends = Float64Array.from(executable, ({ section }) => section.address + section.size);
    this.#bySection = new Int32Array(sections.length).fill(-1);
    for (const [row, { index }] of executable.entries()) this.#bySection[index] = row;
  }

  /** Row of the section that holds `address`, -1 for none. `index` is st_shndx. */
  rowOf(index: number, address: number): number {
    const row = this.#bySection[index] ?? -1;
    if (row >= 0) return this.#holds(row, address) ? row : -1;
    // The real index is in .symtab_shndx; the address tells as much.
    return index === SECTION_XINDEX ? this.find(address) : -1;
  }

  /** Row of the section that holds `address`, -1 for none. */
  find(address: number): number {
    const row = lastAtMost(this.#starts, this.#starts.length, address);
    return row >= 0 && this.#holds(row, address) ? row : -1;
  }

  start(row: number): number {
    return this.#starts[row]!;
  }

  end(row: number): number {
    return this.#ends[row]!;
  }

  #holds(row: number, address: number): boolean {
    return address >= this.#starts[row]! && address < this.#ends[row]!;
  }
}

/** The symbol table section and its strings; undefined when the file has none. */
export function openTable(
  image: ElfImage,
  type: typeof SectionType.Symtab | typeof SectionType.Dynsym,
): { rows: ByteSource; strings: ByteSource } | undefined {
  const section = image.sections.find((candidate) => candidate.type === type);
  const strings = section && image.sections[section.link];
  if (section === undefined || strings?.type !== SectionType.Strtab) return undefined;
  return { rows: image.view(section), strings: image.view(strings) };
}

/**
 * Appends the code symbols of one table to `columns` until they are full.
 * @throws ParseError `out_of_bounds` when the file ends early; what was read stays.
 */
export function readSymbols(
  rows: ByteSource,
  code: CodeRanges,
  tableFlag: number,
  columns: SymbolColumns,
  refuse: (reason: string) => void,
): void {
  const total = Math.min(Math.floor(rows.size / SYMBOL_SIZE), MAX_ROWS);
  const words = new Uint32Array(CHUNK_SYMBOLS * SYMBOL_WORDS);
  const bytes = new Uint8Array(words.buffer);
  for (let first = 0; first < total; first += CHUNK_SYMBOLS) {
    const count = Math.min(CHUNK_SYMBOLS, total - first);
    bytes.set(rows.read(first * SYMBOL_SIZE, count * SYMBOL_SIZE));
    for (let row = 0, at = 0; row < count; row++, at += SYMBOL_WORDS) {
      const info = words[at + 1]!;
      const type = info & 15;
      if (type !== Type.Func && type !== Type.GnuIfunc && type !== Type.NoType) continue;
      const sectionIndex = info >>> 16;
      if (sectionIndex === 0 || words[at] === 0) continue;
      const address = words[at + 2]! + words[at + 3]! * 0x1_0000_0000;
      const section = code.rowOf(sectionIndex, address);
      if (section < 0) continue;
      const offset = address - code.base;
      if (offset > 0xffff_ffff) {
        refuse('symbol_out_of_range');
        continue;
      }
      if (columns.length === columns.start.length) {
        refuse('too_many_symbols');
        return;
      }
      const binding = (info >>> 4) & 15;
      if (binding === Binding.Local) columns.hasLocals = true;
      const size = words[at + 4]! + words[at + 5]! * 0x1_0000_0000;
      const end = Math.min(offset + size, code.end(section) - code.base, 0xffff_ffff);
      const index = columns.length++;
      columns.start[index] = offset;
      columns.end[index] = end;
      columns.name[index] = words[at]!;
      columns.flags[index] =
        bindingRank(binding) | (type === Type.NoType ? Flag.NoType : 0) | tableFlag;
    }
  }
}

function bindingRank(binding: number): number {
  if (binding === Binding.Global || binding === Binding.GnuUnique) return 2;
  return binding === Binding.Weak ? 1 : 0;
}

/** Room for the symbols of both tables, within MAX_SYMBOLS. */
export function emptyColumns(rows: number): SymbolColumns {
  const capacity = Math.min(rows, MAX_SYMBOLS);
  return {
    length: 0,
    start: new Uint32Array(capacity),
    end: new Uint32Array(capacity),
    name: new Uint32Array(capacity),
    flags: new Uint8Array(capacity),
    hasLocals: false,
  };
}

/**
 * Row numbers in ascending order of start, equal starts in table order. A radix
 * sort, 11 bits a pass: three times as fast as sorting keys as numbers.
 */
export function orderByStart({ start, length }: SymbolColumns): Uint32Array {
  let order = new Uint32Array(length);
  for (let row = 0; row < length; row++) order[row] = row;
  let spare = new Uint32Array(length);
  const positions = new Uint32Array(2048);
  for (let shift = 0; shift < 33; shift += 11) {
    positions.fill(0);
    for (let at = 0; at < length; at++) positions[(start[at]! >>> shift) & 2047]!++;
    for (let digit = 0, next = 0; digit < positions.length; digit++) {
      const here = positions[digit]!;
      positions[digit] = next;
      next += here;
    }
    for (let at = 0; at < length; at++) {
      const row = order[at]!;
      const digit = (start[row]! >>> shift) & 2047;
      spare[positions[digit]!++] = row;
    }
    [order, spare] = [spare, order];
  }
  return order;
}

/** The rows a table claims, for sizing columns. */
export const rowCount = (rows: ByteSource): number => Math.floor(rows.size / SYMBOL_SIZE);
