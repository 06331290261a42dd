/** Which elements of a fixed array are in use: first fit, neighbours joined on release. */
export class Space {
  readonly size: number;
  /** Free ranges in ascending order, never touching each other. */
  readonly #starts: number[];
  readonly #lengths: number[];
  #used = 0;

  /** Elements `first` to `size - 1`. */
  constructor(first: number, size: number) {
    this.size = size;
    this.#starts = [first];
    this.#lengths = [size - first];
  }

  get used(): number {
    return this.#used;
  }

  /** Index of the first of `length` free elements, undefined when there is no such run. */
  take(length: number): number | undefined {
    // Nowhere in particular: an empty range must not end up among the free ones.
    if (length === 0) return 0;
    for (let i = 0; i < this.#starts.length; i++) {
      const free = this.#lengths[i]!;
      if (free < length) continue;
      const start = this.#starts[i]!;
      if (free === length) {
        this.#starts.splice(i, 1);
        this.#lengths.splice(i, 1);
      } else {
        this.#starts[i] = start + length;
        this.#lengths[i] = free - length;
      }
      this.#used += length;
      return start;
    }
    return undefined;
  }

  release(start: number, length: number): void {
    if (length === 0) return;
    let i = 0;
    while (i < this.#starts.length && this.#starts[i]! < start) i++;
    this.#starts.splice(i, 0, start);
    this.#lengths.splice(i, 0, length);
    this.#join(i);
    if (i > 0) this.#join(i - 1);
    this.#used -= length;
  }

  #join(i: number): void {
    if (i + 1 >= this.#starts.length) return;
    if (this.#starts[i]! + this.#lengths[i]! !== this.#starts[i + 1]) return;
    this.#lengths[i]! += this.#lengths[i + 1]!;
    this.#starts.splice(i + 1, 1);
    this.#lengths.splice(i + 1, 1);
  }
}
