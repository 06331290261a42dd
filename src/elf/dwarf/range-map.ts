/** Finds the owner of an address among ranges that may overlap. */

/** The largest programs have a unit per function, of a few parts each. */
const MAX_RANGES = 1 << 22;
/** Ranges of units do not overlap, but for what the linker discarded or folded. */
const MAX_OVERLAPS = 1000;

export type AddRange = (start: number, end: number, owner: number) => void;

export class RangeMap {
  /** By ascending start. */
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;
  readonly #owners: Uint32Array;
  /** The largest end up to each range: none that begins earlier reaches further. */
  readonly #reach: Float64Array;

  /** `collect` adds the ranges; those beyond four million are left out. */
  constructor(collect: (add: AddRange) => void) {
    const starts: number[] = [];
    const ends: number[] = [];
    const owners: number[] = [];
    collect((start, end, owner) => {
      if (starts.length >= MAX_RANGES) return;
      starts.push(start);
      ends.push(end);
      owners.push(owner);
    });
    const order = Uint32Array.from(starts, (_, index) => index);
    // Of two that begin at the same place the later owner's is last and wins.
    order.sort((a, b) => starts[a]! - starts[b]! || owners[a]! - owners[b]!);
    this.#starts = Float64Array.from(order, (index) => starts[index]!);
    this.#ends = Float64Array.from(order, (index) => ends[index]!);
    this.#owners = Uint32Array.from(order, (index) => owners[index]!);
    this.#reach = new Float64Array(order.length);
    let reach = 0;
    for (const [index, end] of this.#ends.entries()) {
      reach = Math.max(reach, end);
      this.#reach[index] = reach;
    }
  }

  /** The owner of the range around `address` that begins last; -1 when there is none. */
  find(address: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#starts[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    const last = Math.max(low - 1 - MAX_OVERLAPS, 0);
    for (let index = low - 1; index >= last && this.#reach[index]! > address; index--) {
      if (this.#ends[index]! > address) return this.#owners[index]!;
    }
    return -1;
  }
}
