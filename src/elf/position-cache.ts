/** Values by their position in a file: bounded, and forgetful instead of exact. */

/** Spreads neighbouring positions (2^32 / golden ratio). */
const MULTIPLIER = 0x9e3779b1;

/** Each position has one place; the value that came last stays. */
export class PositionCache<Value> {
  readonly #keys: Int32Array;
  readonly #values: (Value | undefined)[];
  readonly #shift: number;

  /** 2^bits places. */
  constructor(bits: number) {
    this.#keys = new Int32Array(1 << bits).fill(-1);
    this.#values = new Array<Value | undefined>(1 << bits);
    this.#shift = 32 - bits;
  }

  get(position: number): Value | undefined {
    const place = Math.imul(position, MULTIPLIER) >>> this.#shift;
    return this.#keys[place] === position ? this.#values[place] : undefined;
  }

  /** Returns `value`. */
  set(position: number, value: Value): Value {
    const place = Math.imul(position, MULTIPLIER) >>> this.#shift;
    this.#keys[place] = position;
    this.#values[place] = value;
    return value;
  }

  clear(): void {
    this.#keys.fill(-1);
    this.#values.fill(undefined);
  }
}
