/**
 * Go's table of functions, the pclntab: header, function list, function
 * records. Layouts: Go's cmd/link/internal/ld/pcln.go and runtime/symtab.go of
 * the releases named below.
 */
import { GoBytes } from './go-bytes.ts';
import type { GoPages } from './go-pages.ts';
import { type PcValueTable, pcValueAt } from './go-tables.ts';
import { type ByteSource, ParseError } from './source.ts';

/** The first release that writes a layout; its value is the table's magic number. */
export const PclntabLayout = {
  Go12: 0xfffffffb,
  Go116: 0xfffffffa,
  Go118: 0xfffffff0,
  Go120: 0xfffffff1,
} as const;

/** One function more than any real program has; below it a Uint32Array index stays small. */
const MAX_FUNCTIONS = 1 << 23;
/** Every 64th entry is kept in memory: 8 KB for the 130,000 functions of a large program. */
const INDEX_SHIFT = 6;
const NO_FILE = 0xffffffff;

/** Bits of `flag`, from Go 1.17 on (internal/abi FuncFlag). */
export const FunctionFlag = { TopFrame: 1, WritesSp: 2, Assembly: 4 } as const;

/** One function's record. Offsets are positions in the parts of the table that Go names so. */
export interface FunctionRecord {
  readonly index: number;
  /** Bytes from the text start. */
  readonly entry: number;
  /** Where the next function starts: padding belongs to the function before it, as in Go. */
  readonly end: number;
  readonly nameOffset: number;
  /** 0: foreign code of which Go knows nothing but the name. */
  readonly pcsp: number;
  readonly pcfile: number;
  readonly pcln: number;
  readonly pcdataCount: number;
  readonly unit: number;
  /** 0 before Go 1.20. */
  readonly startLine: number;
  /** 0: nothing special; isWrapper in go-functions.ts tells the others apart. */
  readonly kind: number;
  readonly flag: number;
  readonly funcdataCount: number;
  /** Position of the pcdata offsets in the table; the funcdata offsets follow them. */
  readonly pcdataOffset: number;
}

export class Pclntab {
  readonly layout: number;
  readonly functionCount: number;
  /** 0 where the header does not say it: before Go 1.18, from 1.26 on, or as a relocation. */
  readonly headerTextStart: number;
  readonly bytes: GoBytes;
  readonly quantum: number;
  /** Bytes of a number in the function list. */
  readonly #field: 4 | 8;
  readonly #names: number;
  readonly #units: number;
  readonly #files: number;
  readonly #tables: number;
  readonly #functions: number;
  /** What the entries of a table with absolute addresses (before Go 1.18) are relative to. */
  readonly #base: number;
  readonly #index: Uint32Array;

  /**
   * `source` starts at the header and may be longer than the table.
   * @throws ParseError `go_pclntab_magic`, `go_pclntab_old` (before Go 1.16),
   *   `go_pclntab_header`, `go_pclntab_order` (function list not ascending),
   *   `out_of_bounds`.
   */
  constructor(source: ByteSource, pages: GoPages) {
    this.bytes = new GoBytes(source, pages);
    const magic = this.bytes.u32(0);
    if (magic === PclntabLayout.Go12) {
      throw new ParseError('go_pclntab_old', 'built by Go 1.15 or older');
    }
    const old = magic === PclntabLayout.Go116;
    if (!old && magic !== PclntabLayout.Go118 && magic !== PclntabLayout.Go120) {
      throw new ParseError('go_pclntab_magic', `magic number 0x${magic.toString(16)}`);
    }
    this.layout = magic;
    this.#field = old ? 8 : 4;
    this.quantum = this.bytes.u8(6);
    const zero = this.bytes.u8(4) | this.bytes.u8(5);
    if (zero !== 0 || ![1, 2, 4].includes(this.quantum) || this.bytes.u8(7) !== 8) {
      throw new ParseError('go_pclntab_header', 'padding, instruction or pointer size');
    }
    this.functionCount = this.#word(1);
    if (this.functionCount < 1 || this.functionCount > MAX_FUNCTIONS) {
      throw new ParseError('go_pclntab_header', `${this.functionCount} functions`);
    }
    const first = old ? 3 : 4;
    this.headerTextStart = old ? 0 : this.#word(3);
    this.#names = this.#word(first);
    this.#units = this.#word(first + 1);
    this.#files = this.#word(first + 2);
    this.#tables = this.#word(first + 3);
    this.#functions = this.#word(first + 4);
    const listEnd = this.#functions + (this.functionCount * 2 + 1) * this.#field;
    const order = [this.#names, this.#units, this.#files, this.#tables, this.#functions, listEnd];
    let previous = 1;
    for (const offset of order) {
      // The parts follow each other in every release; that also bounds each of them.
      if (!(offset >= previous && offset <= this.bytes.size)) {
        throw new ParseError('go_pclntab_header', `a part at ${offset}`);
      }
      previous = offset;
    }
    this.#base = old ? this.bytes.u64(this.#functions) : 0;
    this.#index = this.#buildIndex();
  }

  /** Absolute address of the first function in tables that hold addresses, else 0. */
  get absoluteBase(): number {
    return this.#base;
  }

  /** Bytes of code, padding included. */
  get textSize(): number {
    return this.entry(this.functionCount);
  }

  /** Entry of function `index` as bytes from the text start; the end of all text for `functionCount`. */
  entry(index: number): number {
    const offset = this.#functions + index * 2 * this.#field;
    if (this.#field === 4) return this.bytes.u32(offset);
    return this.bytes.u64(offset) - this.#base;
  }

  /** Index of the function that holds `distance` (bytes from the text start), -1 when none does. */
  find(distance: number): number {
    if (!(distance >= this.#index[0]! && distance < this.textSize)) return -1;
    let low = 0;
    let high = this.#index.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.#index[middle]! <= distance) low = middle;
      else high = middle;
    }
    low <<= INDEX_SHIFT;
    high = Math.min(low + (1 << INDEX_SHIFT), this.functionCount);
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.entry(middle) <= distance) low = middle;
      else high = middle;
    }
    return low;
  }

  /** @throws ParseError `out_of_bounds`, `go_function` (record and list disagree). */
  record(index: number): FunctionRecord {
    const { bytes } = this;
    const item = this.#functions + index * 2 * this.#field;
    const offset = this.#functions + this.#readField(item + this.#field);
    const old = this.#field === 8;
    const entry = this.entry(index);
    const end = this.entry(index + 1);
    const stated = old ? bytes.u64(offset) - this.#base : bytes.u32(offset);
    if (stated !== entry || end < entry) {
      throw new ParseError('go_function', `function ${index} starts at ${stated}, not ${entry}`);
    }
    const at = offset + (old ? 8 : 4);
    // nameoff args deferreturn pcsp pcfile pcln npcdata cuOffset [startLine] funcID flag pad nfuncdata
    const tail = at + (this.layout === PclntabLayout.Go120 ? 36 : 32);
    return {
      index,
      entry,
      end,
      nameOffset: bytes.u32(at),
      pcsp: bytes.u32(at + 12),
      pcfile: bytes.u32(at + 16),
      pcln: bytes.u32(at + 20),
      pcdataCount: bytes.u32(at + 24),
      unit: bytes.u32(at + 28),
      startLine: tail - at === 36 ? bytes.u32(at + 32) | 0 : 0,
      kind: bytes.u8(tail),
      flag: bytes.u8(tail + 1),
      funcdataCount: bytes.u8(tail + 3),
      pcdataOffset: tail + 4,
    };
  }

  /** The linker's name, type arguments of generic functions written out. */
  name(record: FunctionRecord): string {
    return this.nameAt(record.nameOffset);
  }

  nameAt(offset: number): string {
    return this.bytes.string(this.#names + offset, this.#units);
  }

  /** Whether a name begins at `offset`. */
  isName(offset: number): boolean {
    const at = this.#names + offset;
    if (!(at < this.#units)) return false;
    return this.bytes.u8(at) >= 0x20 && (offset === 0 || this.bytes.u8(at - 1) === 0);
  }

  /** Position of the file name of line-table file `number` of this function, -1 when unknown. */
  fileOffset(record: FunctionRecord, number: number): number {
    if (number < 0) return -1;
    const at = this.#units + (record.unit + number) * 4;
    if (at + 4 > this.#files) throw new ParseError('go_file', `file ${number}`);
    const offset = this.bytes.u32(at);
    return offset === NO_FILE ? -1 : offset;
  }

  /** Whether the name at `offset` begins with `prefix`, which is ASCII. */
  nameStartsWith(offset: number, prefix: string): boolean {
    for (let index = 0; index < prefix.length; index++) {
      if (this.bytes.u8(this.#names + offset + index) !== prefix.charCodeAt(index)) return false;
    }
    return true;
  }

  fileAt(offset: number): string {
    return this.bytes.string(this.#files + offset, this.#tables);
  }

  /** The pc-value table at `offset` of the tables part, for `record`'s code. */
  table(record: FunctionRecord, offset: number): PcValueTable {
    return {
      bytes: this.bytes,
      offset: this.#tables + offset,
      quantum: this.quantum,
      codeSize: record.end - record.entry,
    };
  }

  /**
   * Value of pcdata table `kind` (2: index into the inlining tree) at
   * `distance` from the entry; undefined when the function has no such table.
   */
  pcdata(record: FunctionRecord, kind: number, distance: number): number | undefined {
    const table = this.pcdataTable(record, kind);
    return table === undefined ? undefined : pcValueAt(table, distance);
  }

  pcdataTable(record: FunctionRecord, kind: number): PcValueTable | undefined {
    if (kind >= record.pcdataCount) return undefined;
    const offset = this.bytes.u32(record.pcdataOffset + kind * 4);
    return offset === 0 ? undefined : this.table(record, offset);
  }

  /**
   * Where funcdata `kind` (3: inlining tree) is: bytes from the module's
   * funcdata base (`go:func.*`, moduledata.gofunc), from Go 1.18 on; before, an
   * address. undefined when there is none.
   */
  funcdata(record: FunctionRecord, kind: number): number | undefined {
    if (kind >= record.funcdataCount) return undefined;
    const start = record.pcdataOffset + record.pcdataCount * 4;
    if (this.#field === 8) {
      const address = this.bytes.u64(start + (start & 4) + kind * 8);
      return address === 0 ? undefined : address;
    }
    const offset = this.bytes.u32(start + kind * 4);
    return offset === NO_FILE ? undefined : offset;
  }

  #readField(offset: number): number {
    return this.#field === 4 ? this.bytes.u32(offset) : this.bytes.u64(offset);
  }

  #word(index: number): number {
    return this.bytes.u64(index * 8);
  }

  #buildIndex(): Uint32Array {
    const count = ((this.functionCount - 1) >> INDEX_SHIFT) + 1;
    const index = new Uint32Array(count);
    let previous = -1;
    for (let block = 0; block < count; block++) {
      const entry = this.entry(block << INDEX_SHIFT);
      if (!(entry > previous && entry < 2 ** 32)) {
        throw new ParseError('go_pclntab_order', `function ${block << INDEX_SHIFT} at ${entry}`);
      }
      index[block] = entry;
      previous = entry;
    }
    const end = this.entry(this.functionCount);
    if (!(end > previous && end < 2 ** 32)) throw new ParseError('go_pclntab_order', 'text end');
    return index;
  }
}
