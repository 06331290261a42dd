/** Finds the functions and inlined calls around wanted addresses in a unit's tree of entries. */
import { ParseError } from '../source.ts';
import { Kind } from './abbreviations.ts';
import { Slot } from './codes.ts';
import type { EntryReader } from './entry-reader.ts';
import { firstAtLeast } from './line-program.ts';
import { visitRanges } from './range-lists.ts';
import { abbreviationsOf, type Unit } from './unit.ts';

/** Inlined calls and blocks nest a few dozen deep; types of templates a few hundred. */
const MAX_DEPTH = 4096;

/** A function, or a call of one that was inlined, around at least one wanted address. */
export interface Activation {
  readonly unit: Unit;
  /** Its entry in the unit's section. */
  readonly entry: number;
  /** Who inlined it; undefined for a function with code of its own. */
  readonly caller: Activation | undefined;
  /** Of the call, in the unit's line table; -1 = not told. */
  readonly callFile: number;
  readonly callLine: number;
  readonly callColumn: number;
}

export class FunctionFinder {
  #entries!: EntryReader;
  /** By depth: whose body the entries there belong to. */
  readonly #bodies: (Activation | undefined)[] = [];
  #addresses: Float64Array = new Float64Array();
  #found: (Activation | undefined)[] = [];
  #current: Activation | undefined;
  #isHit = false;
  #malformed: ParseError | undefined;

  /**
   * The innermost activation for each of the ascending `addresses`. What is at
   * the same depth and comes later wins, as in LLVM. Passes over types and
   * functions without code where the compiler says how long they are, unless
   * `isThorough`: functions within functions may be there.
   * @throws ParseError; what was found until then is in `found`.
   */
  find(
    unit: Unit,
    addresses: Float64Array,
    found: (Activation | undefined)[],
    isThorough: boolean,
  ): void {
    this.#addresses = addresses;
    this.#found = found;
    this.#malformed = undefined;
    this.#walk(unit, isThorough);
    if (this.#malformed !== undefined) throw this.#malformed;
  }

  #walk(unit: Unit, isThorough: boolean): void {
    const entries = unit.file.walker(unit);
    this.#entries = entries;
    const bodies = this.#bodies;
    entries.open(abbreviationsOf(unit), unit, unit.first);
    let depth = 0;
    bodies[0] = undefined;
    while (entries.at < unit.end) {
      const abbreviation = entries.next(false);
      if (abbreviation === undefined) {
        if (--depth <= 0) return;
        continue;
      }
      let body = bodies[depth];
      let isEntered = isThorough;
      switch (abbreviation.kind) {
        case Kind.function:
          body = abbreviation.hasCode ? this.#activation(unit, undefined) : undefined;
          isEntered ||= body !== undefined;
          break;
        case Kind.inlined:
          if (body !== undefined) {
            const inner = abbreviation.hasCode ? this.#activation(unit, body) : undefined;
            isEntered ||= inner !== undefined;
            body = inner ?? body;
          }
          break;
        case Kind.block:
          isEntered ||= body !== undefined;
          break;
        case Kind.scope:
          isEntered = true;
      }
      if (depth === 0 && !abbreviation.hasChildren) return;
      if (!abbreviation.hasChildren) continue;
      if (!isEntered && entries.sibling !== 0) {
        const sibling = unit.offset + entries.sibling;
        if (sibling >= entries.at) {
          entries.at = sibling;
          continue;
        }
      }
      if (++depth > MAX_DEPTH) throw new ParseError('depth', 'entries nest too deep');
      bodies[depth] = body;
    }
  }

  /** Of the entry just read, when it is around a wanted address. */
  #activation(unit: Unit, caller: Activation | undefined): Activation | undefined {
    const { forms } = this.#entries;
    if (forms[Slot.ranges] === 0 && forms[Slot.highPc] === 0) return undefined;
    this.#isHit = false;
    this.#current = undefined;
    this.#unit = unit;
    this.#caller = caller;
    try {
      visitRanges(unit, this.#entries, this.#visit);
    } catch (error) {
      // The ranges of one function are broken: others need not be.
      if (!(error instanceof ParseError)) throw error;
      this.#malformed = error;
    }
    return this.#isHit ? this.#current : undefined;
  }

  #unit!: Unit;
  #caller: Activation | undefined;

  readonly #visit = (start: number, end: number): void => {
    const addresses = this.#addresses;
    let index = firstAtLeast(addresses, start);
    if (index === addresses.length || addresses[index]! >= end) return;
    if (!this.#isHit) {
      this.#isHit = true;
      this.#current = this.#create();
    }
    for (; index < addresses.length && addresses[index]! < end; index++) {
      this.#found[index] = this.#current;
    }
  };

  #create(): Activation {
    const { forms, values, entry } = this.#entries;
    const number = (slot: number): number => (forms[slot] === 0 ? -1 : values[slot]!);
    return {
      unit: this.#unit,
      entry,
      caller: this.#caller,
      callFile: number(Slot.callFile),
      callLine: number(Slot.callLine),
      callColumn: number(Slot.callColumn),
    };
  }
}
