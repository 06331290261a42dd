/** Pages of Go tables in memory, for one binary or shared by many. */

export const PAGE_SHIFT = 12;
export const PAGE = 1 << PAGE_SHIFT;
/** All of a table of 20 MB and its inlining trees, so that no order of look-ups reads them anew. */
const DEFAULT_BYTES = 24 << 20;

/** Who has pages here. */
export interface PageOwner {
  /** That page of his is no longer there. */
  evicted(page: number): void;
}

/**
 * A bounded store of pages; the oldest one goes when there is no room. Its memory
 * is one piece, so that readers index it without asking for an array first, and
 * only what was filled of it costs: the system gives zeroed memory when it is
 * touched, and frames are filled in order.
 */
export class GoPages {
  /** All frames; another object after release(). */
  memory: Buffer = Buffer.alloc(0);
  /** The same, as 32-bit words of this machine (little-endian, as every table here). */
  words: Int32Array = new Int32Array();
  readonly #bytes: number;
  readonly #owners: (PageOwner | undefined)[] = [];
  readonly #numbers: number[] = [];
  #next = 0;

  /** @param bytes a multiple of 4,096. */
  constructor(bytes = DEFAULT_BYTES) {
    this.#bytes = bytes;
  }

  /**
   * Where in `memory` a page of `owner` is from now on, until evicted() is called.
   * @param fill puts the page's bytes, perhaps fewer than 4,096, into `memory`.
   */
  add(owner: PageOwner, page: number, fill: (page: number, target: Uint8Array) => void): number {
    if (this.memory.length === 0) this.#allocate();
    const frame = this.#next;
    this.#owners[frame]?.evicted(this.#numbers[frame]!);
    this.#owners[frame] = undefined;
    const at = frame << PAGE_SHIFT;
    fill(page, this.memory.subarray(at, at + PAGE));
    this.#owners[frame] = owner;
    this.#numbers[frame] = page;
    this.#next = (frame + 1) % (this.#bytes >>> PAGE_SHIFT);
    return at;
  }

  /** Gives the memory back; what is needed again is read again. */
  release(): void {
    this.#owners.forEach((owner, frame) => {
      owner?.evicted(this.#numbers[frame]!);
    });
    this.#owners.length = 0;
    this.#numbers.length = 0;
    this.#next = 0;
    this.memory = Buffer.alloc(0);
    this.words = new Int32Array();
  }

  #allocate(): void {
    // Not Buffer.alloc, which may fill by hand: a fresh ArrayBuffer comes from calloc.
    const store = new ArrayBuffer(this.#bytes);
    this.memory = Buffer.from(store);
    this.words = new Int32Array(store);
  }
}
