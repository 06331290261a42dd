/** Which unit has the code at an address. */
import { ParseError } from '../source.ts';
import { readAddressRanges } from './address-ranges.ts';
import type { DwarfFile } from './dwarf-file.ts';
import { LineRows, type LineRunner } from './line-program.ts';
import { LineTable } from './line-table.ts';
import { type RangeVisitor, visitRanges } from './range-lists.ts';
import { RangeMap } from './range-map.ts';
import { readEntry, rootOf, type Unit } from './unit.ts';

const NO_ADDRESSES = new Float64Array();
/** So many addresses are cheaper to find without the first entries of all units, a tenth of a second for libc. */
const FEW = 64;

export class UnitIndex {
  /** Numbers of units with lines that do not say where their code is. */
  readonly #silent: number[] = [];
  readonly #runner: LineRunner;
  readonly #file: DwarfFile;
  #asked = 0;
  #own: RangeMap | undefined;
  #table: RangeMap | undefined;
  #sequences: RangeMap | undefined;

  constructor(file: DwarfFile, runner: LineRunner) {
    this.#file = file;
    this.#runner = runner;
  }

  /**
   * The unit with the code at `address`. A unit's own ranges count;
   * .debug_aranges is asked about what no unit claims (strict DWARF 2 has but one
   * range per unit), then the line programs of units that do not say where they are.
   * For the first few addresses .debug_aranges is believed where the unit agrees.
   */
  find(address: number): Unit | undefined {
    const units = this.#file.units();
    if (this.#own === undefined && this.#asked++ < FEW) {
      const listed = units[this.#listed(address)];
      if (listed && this.#claims(listed, address)) return listed;
    }
    this.#own ??= this.#readOwn();
    const own = this.#own.find(address);
    if (own >= 0) return units[own];
    const listed = this.#listed(address);
    if (listed >= 0) return units[listed];
    this.#sequences ??= this.#readSequences();
    const silent = this.#sequences.find(address);
    return silent < 0 ? undefined : units[silent];
  }

  #listed(address: number): number {
    this.#table ??= this.#readTable();
    return this.#table.find(address);
  }

  #claims(unit: Unit, address: number): boolean {
    let claims = false;
    try {
      visitOwn(unit, (start, end) => {
        claims ||= start <= address && address < end;
      });
    } catch (error) {
      // It is counted when all are read.
      if (!(error instanceof ParseError)) throw error;
    }
    return claims;
  }

  /** Reads the first entry of each unit. */
  #readOwn(): RangeMap {
    return new RangeMap((add) => {
      for (const [number, unit] of this.#file.units().entries()) {
        if (unit.isType) continue;
        try {
          const hasCode = visitOwn(unit, (start, end) => add(start, end, number));
          if (!hasCode && rootOf(unit).statementList >= 0) this.#silent.push(number);
        } catch (error) {
          if (!(error instanceof ParseError)) throw error;
          this.#file.count(error.reason);
        }
      }
    });
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

/** Where a unit says that its code is; false when it does not say. */
function visitOwn(unit: Unit, visit: RangeVisitor): boolean {
  const { hasCode } = rootOf(unit);
  if (hasCode) visitRanges(unit, readEntry(unit, unit.first), visit);
  return hasCode;
}
