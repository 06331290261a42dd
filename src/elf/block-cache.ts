/** Blocks of files, for one file or shared by many. */

export const BLOCK_SIZE = 16 * 1024;
/** Block numbers of a file stay below this: 2^32 blocks are 64 TiB. */
const NUMBERS = 2 ** 32;

/** Holds at most `maximum` blocks; the least recently used one goes. */
export class BlockCache {
  readonly #maximum: number;
  /** By owner and number; least recently used first. */
  readonly #blocks = new Map<number, Uint8Array>();
  #owners = 0;
  /** Most reads hit the block of the read before. */
  #lastKey = -1;
  #lastBlock: Uint8Array = new Uint8Array();

  /**
   * Parsers walk three places at once (index, entries, text), and a bisection of
   * an index returns to the same few blocks.
   */
  constructor(maximum = 16) {
    this.#maximum = maximum;
  }

  /** A number for a new user of the cache. */
  owner(): number {
    return ++this.#owners;
  }

  get(owner: number, number: number, load: (number: number) => Uint8Array): Uint8Array {
    const key = owner * NUMBERS + number;
    if (key === this.#lastKey) return this.#lastBlock;
    let block = this.#blocks.get(key);
    if (block === undefined) {
      block = load(number);
      this.#makeRoom();
    } else {
      this.#blocks.delete(key);
    }
    this.#blocks.set(key, block);
    this.#lastKey = key;
    this.#lastBlock = block;
    return block;
  }

  /** Gives back the blocks of one user. */
  drop(owner: number): void {
    for (const key of this.#blocks.keys()) {
      if (Math.floor(key / NUMBERS) === owner) this.#blocks.delete(key);
    }
    if (Math.floor(this.#lastKey / NUMBERS) !== owner) return;
    this.#lastKey = -1;
    this.#lastBlock = new Uint8Array();
  }

  #makeRoom(): void {
    if (this.#blocks.size < this.#maximum) return;
    for (const oldest of this.#blocks.keys()) {
      this.#blocks.delete(oldest);
      return;
    }
  }
}
