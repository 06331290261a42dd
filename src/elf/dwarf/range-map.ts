/** Finds the owner of an address among ranges that may overlap. */

/** The largest programs have a unit per function, of a few parts each. */
const MAX_RANGES = 1 << 22;
/** Ranges of units do not overlap, but for what the linker discarded or folded. */
const MAX_OVERLAPS = 1000;
const INITIAL = 1024;

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
    let starts = new Float64Array(INITIAL);
    let ends = new Float64Array(INITIAL);
    let owners = new Uint32Array(INITIAL);
    let count = 0;
    let isSorted = true;
    collect((start, end, owner) => {
      if (count >= MAX_RANGES) return;
      if (count === starts.length) {
        starts = grown(starts, new Float64Array(2 * count));
        ends = grown(ends, new Float64Array(2 * count));
        owners = grown(owners, new Uint32Array(2 * count));
      }
      if (count > 0 && start < starts[count - 1]!) isSorted = false;
      starts[count] = start;
      ends[count] = end;
      owners[count++] = owner;
    });
    if (isSorted) {
      this.#starts = starts.subarray(0, count);
      this.#ends = ends.subarray(0, count);
      this.#owners = owners.subarray(0, count);
    } else {
      const order = new Uint32Array(count);
      for (let index = 0; index < count; index++) order[index] = index;
      // Of two that begin at the same place the later owner's is last and wins.
      order.sort((a, b) => starts[a]! - starts[b]! || owners[a]! - owners[b]!);
      this.#starts = new Float64Array(count);
      this.#ends = new Float64Array(count);
      this.#owners = new Uint32Array(count);
      for (let index = 0; index < count; index++) {
        const from = order[index]!;
        this.#starts[index] = starts[from]!;
        this.#ends[index] = ends[from]!;
        this.#owners[index] = owners[from]!;
      }
    }
    this.#reach = new Float64Array(count);
    let reach = 0;
    for (let index = 0; index < count; index++) {
      reach = Math.max(reach, this.#ends[index]!);
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

function grown<Numbers extends Float64Array | Uint32Array>(from: Numbers, to: Numbers): Numbers {
  to.set(from);
  return to;
}
