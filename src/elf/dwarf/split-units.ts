/** Units whose entries are in a .dwo file or in the package (.dwp) beside the binary. */
import type { ByteSource } from '../source.ts';
import { ParseError } from '../source.ts';
import { type Contribution, DwarfFile } from './dwarf-file.ts';
import { SectionReader } from './section-reader.ts';
import type { DebugCompanions, DebugSections } from './sections.ts';
import { rootOf, type Unit } from './unit.ts';

const SUFFIX = '.dwo';
/** A package's index of units: slots of a hash table, at most half of them used. */
const MAX_SLOTS = 1 << 22;
const MAX_COLUMNS = 16;

/** Section ids of the index: DW_SECT_*. */
const OLD_SECTIONS = { info: 1, abbreviations: 3, line: 4, stringOffsets: 6, rangeLists: -1 };
const NEW_SECTIONS = { info: 1, abbreviations: 3, line: 4, stringOffsets: 6, rangeLists: 8 };

export class SplitUnits {
  readonly #main: DwarfFile;
  readonly #companions: DebugCompanions;
  #package: DebugSections | undefined;
  #index: PackageIndex | undefined;
  #isPackageTried = false;

  constructor(main: DwarfFile, companions: DebugCompanions) {
    this.#main = main;
    this.#companions = companions;
  }

  /**
   * The unit that a skeleton stands for; undefined when its file was not found,
   * which is counted as `split_missing`.
   * @throws ParseError `split_mismatch` and those of broken files.
   */
  of(skeleton: Unit): Unit | undefined {
    const root = rootOf(skeleton);
    const file = this.#packaged(root.splitId) ?? this.#separate(skeleton);
    if (file === undefined) {
      this.#main.count('split_missing');
      return undefined;
    }
    for (const unit of file.units()) {
      if (unit.isType) continue;
      if (rootOf(unit, skeleton).splitId === root.splitId) return unit;
    }
    throw new ParseError('split_mismatch', `${root.splitName} has another id`);
  }

  #separate(skeleton: Unit): DwarfFile | undefined {
    const { splitName, compilationDirectory, splitId } = rootOf(skeleton);
    const sections = this.#companions.split({
      name: splitName,
      compilationDirectory,
      id: splitId,
    });
    return sections === undefined ? undefined : this.#file(sections);
  }

  #packaged(id: bigint): DwarfFile | undefined {
    if (!this.#isPackageTried) {
      this.#isPackageTried = true;
      const sections = this.#companions.package();
      if (sections !== undefined) {
        const kept = new KeptSections(sections);
        const source = kept.section('.debug_cu_index');
        if (source !== undefined) {
          this.#package = kept;
          this.#index = PackageIndex.parse(new SectionReader('.debug_cu_index', source));
        }
      }
    }
    const contribution = this.#index?.find(id);
    if (this.#package === undefined || contribution === undefined) return undefined;
    return this.#file(this.#package, contribution);
  }

  #file(sections: DebugSections, contribution?: Contribution): DwarfFile {
    return new DwarfFile(sections, this.#main.problems, {
      suffix: SUFFIX,
      contribution,
      main: this.#main,
      supplement: this.#main.supplement,
    });
  }
}

/** Asks for each section once: it may have to be decompressed. */
class KeptSections implements DebugSections {
  readonly #sections: DebugSections;
  readonly #kept = new Map<string, ByteSource | undefined>();

  constructor(sections: DebugSections) {
    this.#sections = sections;
  }

  section(name: string): ByteSource | undefined {
    if (!this.#kept.has(name)) this.#kept.set(name, this.#sections.section(name));
    return this.#kept.get(name);
  }
}

/** .debug_cu_index, version 2 (GNU) and 5: a hash table from ids to rows of (section, offset, size). */
class PackageIndex {
  readonly #reader: SectionReader;
  readonly #slots: number;
  readonly #rows: number;
  readonly #columns: readonly number[];
  readonly #table: number;
  readonly #sections: typeof OLD_SECTIONS;

  private constructor(
    reader: SectionReader,
    sections: typeof OLD_SECTIONS,
    rows: number,
    slots: number,
    columns: readonly number[],
  ) {
    this.#reader = reader;
    this.#sections = sections;
    this.#rows = rows;
    this.#slots = slots;
    this.#columns = columns;
    this.#table = reader.at;
  }

  static parse(reader: SectionReader): PackageIndex {
    const version = reader.seek(0).u32();
    if (version !== 2 && (version & 0xffff) !== 5) {
      throw new ParseError('package_index', `version ${version}`);
    }
    const columnCount = reader.u32();
    const rows = reader.u32();
    const slots = reader.u32();
    if (columnCount > MAX_COLUMNS || slots > MAX_SLOTS || rows > slots) {
      throw new ParseError('package_index', `${columnCount} columns, ${rows} rows, ${slots} slots`);
    }
    reader.seek(HEADER + slots * 12);
    const columns = Array.from({ length: columnCount }, () => reader.u32());
    return new PackageIndex(
      reader,
      version === 2 ? OLD_SECTIONS : NEW_SECTIONS,
      rows,
      slots,
      columns,
    );
  }

  find(id: bigint): Contribution | undefined {
    const row = this.#row(id);
    if (row === undefined) return undefined;
    const info = this.#cell(row, this.#sections.info);
    if (info === undefined) return undefined;
    return {
      info: info.offset,
      infoSize: info.size,
      abbreviations: this.#cell(row, this.#sections.abbreviations)?.offset ?? 0,
      line: this.#cell(row, this.#sections.line)?.offset ?? 0,
      stringOffsets: this.#cell(row, this.#sections.stringOffsets)?.offset ?? 0,
      rangeLists: this.#cell(row, this.#sections.rangeLists)?.offset ?? 0,
    };
  }

  #row(id: bigint): number | undefined {
    if (this.#slots === 0) return undefined;
    const mask = BigInt(this.#slots - 1);
    let slot = Number(id & mask);
    const step = Number((id >> 32n) & mask) | 1;
    for (let tries = 0; tries < this.#slots; tries++) {
      const row = this.#reader.seek(HEADER + this.#slots * 8 + slot * 4).u32();
      if (row === 0) return undefined;
      if (this.#reader.seek(HEADER + slot * 8).exact64() === id) {
        return row <= this.#rows ? row - 1 : undefined;
      }
      slot = (slot + step) % this.#slots;
    }
    return undefined;
  }

  #cell(row: number, section: number): { offset: number; size: number } | undefined {
    const column = this.#columns.indexOf(section);
    if (column < 0) return undefined;
    const cell = (row * this.#columns.length + column) * 4;
    const offset = this.#reader.seek(this.#table + cell).u32();
    const sizes = this.#table + this.#rows * this.#columns.length * 4;
    return { offset, size: this.#reader.seek(sizes + cell).u32() };
  }
}

const HEADER = 16;
