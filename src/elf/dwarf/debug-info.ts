/** Functions, inlined calls, files and lines of addresses, from DWARF 2 to 5. */
import { ParseError } from '../source.ts';
import { DwarfFile } from './dwarf-file.ts';
import { type Activation, FunctionFinder } from './function-finder.ts';
import { FunctionNames } from './function-names.ts';
import { LineRows, LineRunner } from './line-program.ts';
import { LineTable } from './line-table.ts';
import type { DebugCompanions, DebugSections } from './sections.ts';
import { SplitUnits } from './split-units.ts';
import { rootOf, type Unit } from './unit.ts';
import { UnitIndex } from './unit-index.ts';

/** Calls inlined into one another at one address; compilers stop at a few dozen. */
const MAX_CHAIN = 256;

/** One function activation at an address. */
export interface DebugLine {
  /**
   * As in the source, with its scopes ('a::b::f') when there is no linkage
   * name. '' when only the line is known (assembly, a lost .dwo): the symbol
   * table has the name.
   */
  readonly name: string;
  /** '' when there is none: in C, and for what is not visible to the linker. */
  readonly linkageName: string;
  /** Absolute where the compiler told the directory; '' = not known. */
  readonly file: string;
  /** 1-based, 0 = not known. */
  readonly line: number;
  readonly column: number;
  /** Where the function is declared, 0 = not known. */
  readonly startLine: number;
}

export class DebugInfo {
  /** What could not be read so far, by reason. */
  readonly problems: ReadonlyMap<string, number>;
  readonly #file: DwarfFile;
  readonly #split: SplitUnits;
  readonly #finder = new FunctionFinder();
  readonly #runner: LineRunner;
  #index: UnitIndex | undefined;

  private constructor(sections: DebugSections, companions: DebugCompanions) {
    const problems = new Map<string, number>();
    this.problems = problems;
    let supplement: { file: DwarfFile | undefined } | undefined;
    this.#file = new DwarfFile(sections, problems, {
      supplement: () => {
        if (supplement === undefined) {
          const found = companions.supplement();
          supplement = { file: found && new DwarfFile(found, problems) };
        }
        return supplement.file;
      },
    });
    this.#split = new SplitUnits(this.#file, companions);
    this.#runner = new LineRunner(this.#file.source('.debug_line'));
  }

  /**
   * Reads nothing yet but whether there is debug information.
   * @throws ParseError `no_debug_info`, and what `sections` throws.
   */
  static open(sections: DebugSections, companions: DebugCompanions): DebugInfo {
    const info = new DebugInfo(sections, companions);
    if (info.#file.source('.debug_info').size === 0) {
      throw new ParseError('no_debug_info', 'no .debug_info');
    }
    return info;
  }

  /**
   * The activations at file addresses, which ascend (return addresses already
   * - 1): innermost inlined call first. Undefined for what no unit covers.
   * Broken parts are counted in `problems` and leave holes.
   */
  lookup(addresses: Float64Array): (readonly DebugLine[] | undefined)[] {
    const chains: (readonly DebugLine[] | undefined)[] = new Array(addresses.length).fill(
      undefined,
    );
    const names = new FunctionNames();
    const index = this.#index ?? this.#guard(() => new UnitIndex(this.#file, this.#runner));
    if (index === undefined) return chains;
    this.#index = index;
    const numbers = new Map<Unit, number[]>();
    for (let number = 0; number < addresses.length; number++) {
      const unit = index.find(addresses[number]!);
      if (unit === undefined) continue;
      const own = numbers.get(unit);
      if (own === undefined) numbers.set(unit, [number]);
      else own.push(number);
    }
    const units = [...numbers.keys()].sort((a, b) => a.offset - b.offset);
    for (const unit of units) this.#lookup(unit, addresses, numbers.get(unit)!, names, chains);
    return chains;
  }

  #guard<Result>(work: () => Result): Result | undefined {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      this.#file.count(error.reason);
      return undefined;
    }
  }

  #lookup(
    unit: Unit,
    all: Float64Array,
    numbers: readonly number[],
    shared: FunctionNames,
    chains: (readonly DebugLine[] | undefined)[],
  ): void {
    const addresses = Float64Array.from(numbers, (number) => all[number]!);
    const rows = new LineRows(addresses.length);
    const table = this.#guard(() => {
      const at = rootOf(unit).statementList;
      return at < 0 ? undefined : new LineTable(unit, at);
    });
    if (table !== undefined) this.#guard(() => this.#runner.run(table.program, addresses, rows));
    const found = new Array<Activation | undefined>(addresses.length).fill(undefined);
    const isSplit = this.#guard(() => this.#find(unit, addresses, found)) ?? false;
    // A split unit's file is closed to us after this; its names need not be kept.
    const names = isSplit ? new FunctionNames() : shared;
    const callers = new Map<Activation, DebugLine>();
    for (const [index, number] of numbers.entries()) {
      const activation = found[index];
      const line = rows.lines[index]!;
      if (activation === undefined && line < 0) continue;
      const name = activation && names.of(activation.unit, activation.entry);
      const innermost: DebugLine = {
        name: name?.name ?? '',
        linkageName: name?.linkageName ?? '',
        file: line < 0 ? '' : this.#path(table, rows.files[index]!),
        line: Math.max(line, 0),
        column: rows.columns[index]!,
        startLine: name?.startLine ?? 0,
      };
      const chain = [innermost];
      let call = activation;
      while (call?.caller !== undefined && chain.length < MAX_CHAIN) {
        let outer = callers.get(call);
        if (outer === undefined) {
          outer = this.#callerLine(call, call.caller, table, names);
          callers.set(call, outer);
        }
        chain.push(outer);
        call = call.caller;
      }
      chains[number] = chain;
    }
  }

  /** Whether the unit is a split one. */
  #find(unit: Unit, addresses: Float64Array, found: (Activation | undefined)[]): boolean {
    let where = unit;
    const finder = this.#finder;
    const isSplit = rootOf(unit).splitName !== '';
    if (isSplit) {
      const split = this.#split.of(unit);
      if (split === undefined) return false;
      where = split;
    }
    this.#guard(() => finder.find(where, addresses, found, false));
    if (found.includes(undefined)) {
      const missing: number[] = [];
      for (const [index, activation] of found.entries()) {
        if (activation === undefined) missing.push(index);
      }
      const again = new Array<Activation | undefined>(missing.length).fill(undefined);
      const rest = Float64Array.from(missing, (index) => addresses[index]!);
      this.#guard(() => finder.find(where, rest, again, true));
      for (const [index, number] of missing.entries()) found[number] = again[index];
    }
    return isSplit;
  }

  /** `caller` where it calls what was inlined into it. */
  #callerLine(
    { callFile, callLine, callColumn }: Activation,
    caller: Activation,
    table: LineTable | undefined,
    names: FunctionNames,
  ): DebugLine {
    const { name, linkageName, startLine } = names.of(caller.unit, caller.entry);
    return {
      name,
      linkageName,
      file: callFile < 0 ? '' : this.#path(table, callFile),
      line: Math.max(callLine, 0),
      column: Math.max(callColumn, 0),
      startLine,
    };
  }

  #path(table: LineTable | undefined, file: number): string {
    return (table && this.#guard(() => table.path(file))) ?? '';
  }
}
