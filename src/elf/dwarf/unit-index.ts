/** Which unit has the code at an address. */
import { ParseError } from '../source.ts';
import { readAddressRanges } from './address-ranges.ts';
import type { DwarfFile } from './dwarf-file.ts';
import { LineRows, type LineRunner } from './line-program.ts';
import { LineTable } from './line-table.ts';
import { visitRanges } from './range-lists.ts';
import { RangeMap } from './range-map.ts';
import { readEntry, rootOf, type Unit } from './unit.ts';

const NO_ADDRESSES = new Float64Array();

export class UnitIndex {
  /** Numbers of units with lines that do not say where their code is. */
  readonly #silent: number[] = [];
  readonly #runner: LineRunner;
  readonly #file: DwarfFile;
  readonly #own: RangeMap;
  #table: RangeMap | undefined;
  #sequences: RangeMap | undefined;

  /** Reads the first entry of each unit. */
  constructor(file: DwarfFile, runner: LineRunner) {
    this.#file = file;
    this.#runner = runner;
    this.#own = new RangeMap((add) => {
      for (const [number, unit] of file.units().entries()) {
        if (unit.isType) continue;
        try {
          const root = rootOf(unit);
          if (root.hasCode) {
            visitRanges(unit, readEntry(unit, unit.first), (start, end) => add(start, end, number));
          } else if (root.statementList >= 0) {
            this.#silent.push(number);
          }
        } catch (error) {
          if (!(error instanceof ParseError)) throw error;
          file.count(error.reason);
        }
      }
    });
  }

  /**
   * The unit with the code at `address`. A unit's own ranges count;
   * .debug_aranges is asked about what no unit claims (strict DWARF 2 has but one
   * range per unit), then the line programs of units that do not say where they are.
   */
  find(address: number): Unit | undefined {
    const units = this.#file.units();
    const own = this.#own.find(address);
    if (own >= 0) return units[own];
    this.#table ??= this.#readTable();
    const listed = this.#table.find(address);
    if (listed >= 0) return units[listed];
    this.#sequences ??= this.#readSequences();
    const silent = this.#sequences.find(address);
    return silent < 0 ? undefined : units[silent];
  }

  #readSequences(): RangeMap {
    const units = this.#file.units();
    const rows = new LineRows(0);
    return new RangeMap((add) => {
      for (const number of this.#silent) {
        const unit = units[number]!;
        try {
          const { program } = new LineTable(unit, rootOf(unit).statementList);
          this.#runner.run(program, NO_ADDRESSES, rows, (start, end) => add(start, end, number));
        } catch (error) {
          if (!(error instanceof ParseError)) throw error;
          this.#file.count(error.reason);
        }
      }
    });
  }

  #readTable(): RangeMap {
    const numbers = new Map<number, number>();
    for (const [number, unit] of this.#file.units().entries()) {
      if (!unit.isType) numbers.set(unit.offset, number);
    }
    return new RangeMap((add) => {
      try {
        readAddressRanges(this.#file.reader('.debug_aranges'), (offset, start, end) => {
          const number = numbers.get(offset);
          if (number !== undefined) add(start, end, number);
        });
      } catch (error) {
        if (!(error instanceof ParseError)) throw error;
        this.#file.count(error.reason);
      }
    });
  }
}
