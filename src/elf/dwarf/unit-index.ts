/** Which unit has the code at an address. */
import { ParseError } from '../source.ts';
import type { DwarfFile } from './dwarf-file.ts';
import { visitRanges } from './range-lists.ts';
import { readEntry, rootOf, type Unit } from './unit.ts';

/** A unit per function and a few parts each, in the largest programs. */
const MAX_RANGES = 1 << 22;
/** Ranges of units do not overlap, but for what the linker discarded or folded. */
const MAX_OVERLAPS = 1000;
const SIZE_64 = 0xffffffff;

export class UnitIndex {
  /** By ascending start. */
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;
  readonly #units: Uint32Array;
  /** The largest end up to each range: none that begins earlier reaches further. */
  readonly #reach: Float64Array;
  readonly #all: readonly Unit[];
  /** Units that do not say where their code is. */
  readonly silent: readonly Unit[];

  /** Each unit's own ranges count; .debug_aranges is asked for units that have none. */
  constructor(file: DwarfFile) {
    const all = file.units();
    const starts: number[] = [];
    const ends: number[] = [];
    const owners: number[] = [];
    const silent = new Map<number, Unit>();
    for (const [index, unit] of all.entries()) {
      if (unit.isType) continue;
      try {
        const before = starts.length;
        const root = rootOf(unit);
        if (root.hasCode && before < MAX_RANGES) {
          visitRanges(unit, readEntry(unit, unit.first), (start, end) => {
            starts.push(start);
            ends.push(end);
            owners.push(index);
          });
        } else if (root.statementList >= 0) {
          silent.set(unit.offset, unit);
        }
      } catch (error) {
        if (!(error instanceof ParseError)) throw error;
        file.count(error.reason);
      }
    }
    if (silent.size > 0) {
      const byOffset = new Map(all.map((unit, index) => [unit.offset, index]));
      readAddressRanges(file, (offset, start, end) => {
        const index = byOffset.get(offset);
        const unit = index === undefined ? undefined : all[index];
        if (unit === undefined || index === undefined || unit.root?.hasCode !== false) return;
        silent.delete(offset);
        starts.push(start);
        ends.push(end);
        owners.push(index);
      });
    }
    this.silent = [...silent.values()];
    this.#all = all;
    const order = Uint32Array.from(starts, (_, index) => index);
    // Of two that begin at the same place the later unit's is last and wins.
    order.sort((a, b) => starts[a]! - starts[b]! || owners[a]! - owners[b]!);
    this.#starts = Float64Array.from(order, (index) => starts[index]!);
    this.#ends = Float64Array.from(order, (index) => ends[index]!);
    this.#units = Uint32Array.from(order, (index) => owners[index]!);
    this.#reach = new Float64Array(order.length);
    let reach = 0;
    for (let index = 0; index < order.length; index++) {
      reach = Math.max(reach, this.#ends[index]!);
      this.#reach[index] = reach;
    }
  }

  /** The unit whose range around `address` begins last; undefined when none has it. */
  find(address: number): Unit | undefined {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#starts[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    const last = Math.max(low - 1 - MAX_OVERLAPS, 0);
    for (let index = low - 1; index >= last && this.#reach[index]! > address; index--) {
      if (this.#ends[index]! > address) return this.#all[this.#units[index]!];
    }
    return undefined;
  }
}

/** .debug_aranges: tables of (address, length) per unit. Stops at what it cannot read. */
function readAddressRanges(
  file: DwarfFile,
  visit: (unit: number, start: number, end: number) => void,
): void {
  const reader = file.reader('.debug_aranges').seek(0);
  let count = 0;
  try {
    while (reader.at < reader.size) {
      const start = reader.at;
      let length = reader.u32();
      let offsetSize = 4;
      if (length === SIZE_64) {
        length = reader.u64();
        offsetSize = 8;
      }
      const end = reader.at + length;
      reader.u16();
      const unit = reader.word(offsetSize);
      const size = reader.u8();
      reader.u8();
      if (size !== 8 && size !== 4)
        throw new ParseError('address_ranges', `${size}-byte addresses`);
      // Tuples begin at a multiple of their own size.
      reader.skip((2 * size - ((reader.at - start) % (2 * size))) % (2 * size));
      while (reader.at + 2 * size <= end) {
        const from = reader.word(size);
        const extent = reader.word(size);
        if (++count > MAX_RANGES) throw new ParseError('address_ranges', 'too many');
        if (from > 1 && extent > 0 && from + extent <= Number.MAX_SAFE_INTEGER) {
          visit(unit, from, from + extent);
        }
      }
      reader.seek(end);
    }
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    file.count(error.reason);
  }
}
