/** Numbers of locations, by what they stand for: both threads know a location by its number. */

/** Of one file, and of all that is in none; more than a program of 100 MB meets in an hour. */
const MAX_KEPT = 16_384;

export class LocationNumbers<Key> {
  readonly #numbers = new Map<Key, number>();
  readonly #forgotten: number[];

  /** @param forgotten gets those that stand for nothing any more */
  constructor(forgotten: number[]) {
    this.#forgotten = forgotten;
  }

  has(key: Key): boolean {
    return this.#numbers.has(key);
  }

  get(key: Key): number | undefined {
    return this.#numbers.get(key);
  }

  /** A number of its own; with too many of them all begin anew. */
  set(key: Key, number: number): void {
    if (this.#numbers.size >= MAX_KEPT) this.clear();
    this.#numbers.set(key, number);
  }

  delete(key: Key): void {
    const number = this.#numbers.get(key);
    if (number === undefined) return;
    this.#numbers.delete(key);
    this.#forgotten.push(number);
  }

  clear(): void {
    for (const number of this.#numbers.values()) this.#forgotten.push(number);
    this.#numbers.clear();
  }
}
