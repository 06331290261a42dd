/** Which addresses somebody asks about, by page: an index of code keeps what lies in them. */

/** Small, so that an index is as large as what was sampled, and large enough for a few functions. */
const PAGE_BYTES = 4096;

export class CodePages {
  /** Of everything. */
  static readonly all = new CodePages([]);

  /** Ascending, no number twice. */
  readonly #pages: Float64Array;

  private constructor(pages: Iterable<number>) {
    this.#pages = Float64Array.from(pages).sort();
  }

  /** @param pages numbers as pageOf() says */
  static of(pages: ReadonlySet<number>): CodePages {
    return new CodePages(pages);
  }

  get size(): number {
    return this.#pages.length;
  }

  has(page: number): boolean {
    return this === CodePages.all || this.#pages[this.#firstFrom(page)] === page;
  }

  /** Whether one of the pages has an address from `start` to before `end`. */
  touches(start: number, end: number): boolean {
    if (this === CodePages.all) return true;
    const pages = this.#pages;
    const count = pages.length;
    // Most code of a large process lies beyond all of them.
    if (count === 0 || end <= pages[0]! * PAGE_BYTES) return false;
    const first = this.#firstFrom(pageOf(start));
    return first < count && pages[first]! * PAGE_BYTES < end;
  }

  *[Symbol.iterator](): IterableIterator<number> {
    yield* this.#pages;
  }

  /** Index of the first page that is `page` or lies behind it. */
  #firstFrom(page: number): number {
    const pages = this.#pages;
    let low = 0;
    let high = pages.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (pages[middle]! < page) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export const pageOf = (address: number): number => Math.floor(address / PAGE_BYTES);
