/** Names, files and lines of a Go binary's functions, stripped or not. */
import type { VirtualAddress } from '../units/units.ts';
import { virtualAddress } from '../units/units.ts';
import { type GoModule, locateGoModule } from './go-locate.ts';
import type { FunctionRecord } from './go-pclntab.ts';
import { pcValueAt } from './go-tables.ts';
import type { ElfImage } from './image.ts';

/** Names and paths are kept by position: the same few are asked for again and again. */
const MAX_STRINGS = 4096;

export interface GoLocation {
  /** As runtime.CallersFrames prints it: `main.Map[...]`. */
  readonly name: string;
  /** As in the build; '' when unknown. */
  readonly file: string;
  /** The line at the address, in `file`; 0 when unknown. Of the innermost inlined call. */
  readonly line: number;
  /** Where the function is declared. Go before 1.20 does not record it: the line of its entry. */
  readonly startLine: number;
  readonly entry: VirtualAddress;
  /** Where the next function starts; padding belongs to this one. */
  readonly end: VirtualAddress;
}

export class GoFunctions {
  readonly module: GoModule;
  readonly #textStart: number;
  readonly #names = new Map<number, string>();
  readonly #files = new Map<number, string>();
  #last: FunctionRecord | undefined;

  private constructor(module: GoModule) {
    this.module = module;
    this.#textStart = module.textStart;
  }

  /**
   * undefined when this is no Go binary. `image` must stay readable.
   * @throws ParseError when it is one whose tables cannot be trusted; see
   *   locateGoModule.
   */
  static open(image: ElfImage): GoFunctions | undefined {
    const module = locateGoModule(image);
    return module === undefined ? undefined : new GoFunctions(module);
  }

  /** Addresses that the function table covers. */
  get text(): { start: VirtualAddress; end: VirtualAddress } {
    return {
      start: virtualAddress(this.#textStart + this.module.table.entry(0)),
      end: virtualAddress(this.#textStart + this.module.table.textSize),
    };
  }

  /**
   * The function at an address of the file; for a return address pass the
   * address - 1. undefined outside Go's text.
   * @throws ParseError when the tables are broken there.
   */
  lookup(address: VirtualAddress): GoLocation | undefined {
    const { table } = this.module;
    const record = this.recordAt(address);
    if (record === undefined) return undefined;
    const distance = address - this.#textStart - record.entry;
    const file = record.pcfile === 0 ? -1 : valueAt(this, record, record.pcfile, distance);
    const line = record.pcln === 0 ? 0 : valueAt(this, record, record.pcln, distance);
    const fileOffset = table.fileOffset(record, file);
    return {
      name: this.#name(record),
      file: fileOffset < 0 ? '' : this.#file(fileOffset),
      line: Math.max(line, 0),
      startLine:
        record.startLine > 0 || record.pcln === 0
          ? record.startLine
          : Math.max(valueAt(this, record, record.pcln, 0), 0),
      entry: virtualAddress(this.#textStart + record.entry),
      end: virtualAddress(this.#textStart + record.end),
    };
  }

  /** The record of the function at an address: the way to its pcdata and funcdata. */
  recordAt(address: VirtualAddress): FunctionRecord | undefined {
    const distance = address - this.#textStart;
    const last = this.#last;
    if (last !== undefined && distance >= last.entry && distance < last.end) return last;
    const index = this.module.table.find(distance);
    if (index < 0) return undefined;
    this.#last = this.module.table.record(index);
    return this.#last;
  }

  /** Address of the first function of that name (the linker's full name), by a scan of all. */
  findByName(name: string): { start: VirtualAddress; end: VirtualAddress } | undefined {
    const { table } = this.module;
    for (let index = 0; index < table.functionCount; index++) {
      const record = table.record(index);
      if (table.nameStartsWith(record.nameOffset, name) && table.name(record) === name) {
        return {
          start: virtualAddress(this.#textStart + record.entry),
          end: virtualAddress(this.#textStart + record.end),
        };
      }
    }
    return undefined;
  }

  #name(record: FunctionRecord): string {
    const known = this.#names.get(record.nameOffset);
    if (known !== undefined) return known;
    const name = printedName(this.module.table.name(record));
    return remember(this.#names, record.nameOffset, name);
  }

  #file(offset: number): string {
    return (
      this.#files.get(offset) ?? remember(this.#files, offset, this.module.table.fileAt(offset))
    );
  }
}

const valueAt = (of: GoFunctions, record: FunctionRecord, offset: number, distance: number) =>
  pcValueAt(of.module.table.table(record, offset), distance) ?? -1;

function remember(cache: Map<number, string>, key: number, value: string): string {
  if (cache.size >= MAX_STRINGS) cache.clear();
  cache.set(key, value);
  return value;
}

/** Go prints `[...]` for type arguments, whose written form is the compiler's business. */
function printedName(name: string): string {
  const first = name.indexOf('[');
  if (first < 0) return name;
  const last = name.lastIndexOf(']');
  return last <= first ? name : `${name.slice(0, first)}[...]${name.slice(last + 1)}`;
}
