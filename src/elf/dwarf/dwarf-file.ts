/** One file's (or one split unit's) DWARF sections and its units by offset. */
import { type ByteSource, MemorySource, ParseError } from '../source.ts';
import { AbbreviationTable, type UnitSizes } from './abbreviations.ts';
import { BlockSource } from './block-source.ts';
import { EntryReader } from './entry-reader.ts';
import { SectionReader } from './section-reader.ts';
import type { DebugSections } from './sections.ts';
import { parseUnitHeader, type Unit } from './unit.ts';

/** Tables of shapes are kept for the units that follow: a unit of its own has its own. */
const MAX_TABLES = 4;
/**
 * The largest programs have some 60,000; a header takes 11 bytes, so that a file
 * of 500 MB could claim 45 million.
 */
const MAX_UNITS = 1 << 18;
const INFO = '.debug_info';
/**
 * Sections read here and there, and how many blocks of them are kept: names are
 * all over theirs, but near those of the same unit.
 */
const BLOCKS: ReadonlyMap<string, number> = new Map([
  ['.debug_str', 64],
  ['.debug_rnglists', 4],
  ['.debug_ranges', 4],
  ['.debug_addr', 4],
  ['.debug_str_offsets', 4],
]);
/** Bytes read at once for single entries. */
const ENTRY_CHUNK = 4096;
/** And for all entries of a unit that is too big to be kept. */
const WALK_CHUNK = 256 << 10;
/** Units of C++ with many templates have 2 to 3 MB; only those of link-time optimisation more. */
const MAX_RESIDENT = 4 << 20;

/** Where a split unit's parts begin in the sections of a package; 0 everywhere else. */
export interface Contribution {
  readonly info: number;
  readonly infoSize: number;
  readonly abbreviations: number;
  readonly line: number;
  readonly stringOffsets: number;
  readonly rangeLists: number;
}

export class DwarfFile {
  /** `.dwo` in split files and packages. */
  readonly suffix: string;
  readonly contribution: Contribution | undefined;
  /** The file whose .debug_addr split units use. */
  readonly main: DwarfFile;
  /** dwz's file; undefined when it was not found. */
  readonly supplement: () => DwarfFile | undefined;
  readonly problems: Map<string, number>;
  readonly #sections: DebugSections;
  readonly #sources = new Map<string, ByteSource>();
  readonly #readers = new Map<string, SectionReader>();
  readonly #tables = new Map<number, AbbreviationTable>();
  readonly #entries = new Map<string, EntryReader>();
  #walker: EntryReader | undefined;
  #walked: Unit | undefined;
  #units: Unit[] | undefined;
  #types: Map<bigint, Unit> | undefined;

  constructor(
    sections: DebugSections,
    problems: Map<string, number>,
    options: {
      suffix?: string;
      contribution?: Contribution | undefined;
      main?: DwarfFile;
      supplement?: () => DwarfFile | undefined;
    } = {},
  ) {
    this.#sections = sections;
    this.problems = problems;
    this.suffix = options.suffix ?? '';
    this.contribution = options.contribution;
    this.main = options.main ?? this;
    this.supplement = options.supplement ?? (() => undefined);
  }

  /** Empty when the file has no such section. */
  source(name: string): ByteSource {
    let source = this.#sources.get(name);
    if (source === undefined) {
      source = this.#sections.section(name + this.suffix) ?? new MemorySource(new Uint8Array());
      this.#sources.set(name, source);
    }
    return source;
  }

  /** One for all who read this section; each seeks before it reads. */
  reader(name: string): SectionReader {
    let reader = this.#readers.get(name);
    if (reader === undefined) {
      const source = this.source(name);
      const blocks = BLOCKS.get(name);
      reader = new SectionReader(name, blocks ? new BlockSource(source, blocks) : source);
      this.#readers.set(name, reader);
    }
    return reader;
  }

  /** For all entries of a unit, one after the other; keeps units of usual size in memory. */
  walker(unit: Unit): EntryReader {
    this.#walker ??= new EntryReader(this.source(INFO), WALK_CHUNK, MAX_RESIDENT);
    this.#walked = unit;
    return this.#walker;
  }

  /** For single entries. */
  entries(unit: Unit): EntryReader {
    if (unit === this.#walked && this.#walker !== undefined) return this.#walker;
    let reader = this.#entries.get(unit.section);
    if (reader === undefined) {
      reader = new EntryReader(this.source(unit.section), ENTRY_CHUNK);
      this.#entries.set(unit.section, reader);
    }
    return reader;
  }

  /** @throws ParseError */
  abbreviations(offset: number, sizes: UnitSizes): AbbreviationTable {
    const { version, addressSize, offsetSize } = sizes;
    // The sizes of forms are part of a compiled shape.
    const key = offset * 512 + (version <= 2 ? 256 : 0) + addressSize * 16 + offsetSize;
    let table = this.#tables.get(key);
    if (table === undefined) {
      const base = this.contribution?.abbreviations ?? 0;
      table = new AbbreviationTable(this.reader('.debug_abbrev'), base + offset, sizes);
      if (this.#tables.size >= MAX_TABLES) {
        for (const oldest of this.#tables.keys()) {
          this.#tables.delete(oldest);
          break;
        }
      }
    } else {
      this.#tables.delete(key);
    }
    this.#tables.set(key, table);
    return table;
  }

  /** All units of .debug_info, ascending. */
  units(): readonly Unit[] {
    this.#units ??= this.#readUnits(INFO);
    return this.#units;
  }

  /** The unit of .debug_info with the byte at `offset`. */
  unitAt(offset: number): Unit | undefined {
    const units = this.units();
    let low = 0;
    let high = units.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (units[middle]!.end <= offset) low = middle + 1;
      else high = middle;
    }
    const unit = units[low];
    return unit !== undefined && unit.offset <= offset ? unit : undefined;
  }

  /** The type unit of that signature. */
  typeUnit(signature: bigint): Unit | undefined {
    if (this.#types === undefined) {
      this.#types = new Map();
      for (const unit of [...this.units(), ...this.#readUnits('.debug_types')]) {
        if (unit.isType) this.#types.set(unit.id, unit);
      }
    }
    return this.#types.get(signature);
  }

  count(reason: string): void {
    this.problems.set(reason, (this.problems.get(reason) ?? 0) + 1);
  }

  #readUnits(section: string): Unit[] {
    const reader = this.reader(section);
    const units: Unit[] = [];
    const { contribution } = this;
    let at = 0;
    let end = reader.size;
    if (contribution !== undefined && section === INFO) {
      at = contribution.info;
      end = Math.min(end, at + contribution.infoSize);
    }
    while (at < end) {
      if (units.length === MAX_UNITS) {
        this.count('too_many_units');
        break;
      }
      try {
        const { unit, next } = parseUnitHeader(this, section, reader.seek(at), end);
        if (unit !== undefined) units.push(unit);
        else this.count('unit_version');
        at = next;
      } catch (error) {
        // Without a length nobody knows where the next one begins.
        if (!(error instanceof ParseError)) throw error;
        this.count(error.reason);
        break;
      }
    }
    return units;
  }
}
