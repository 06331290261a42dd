/** Overlapping ranges flattened so that of two the later one owns what both cover. */

/** Disjoint, ascending; `entries` says whose a range is. */
export interface Ranges {
  readonly starts: Float64Array;
  readonly ends: Float64Array;
  readonly entries: Uint32Array;
}

/**
 * @param start, end Columns of which the first `length` rows count, later rows
 *   being newer; start < end.
 * Time O(n log n); at most 2n ranges come out.
 */
export function latestRanges(start: Float64Array, end: Float64Array, length: number): Ranges {
  const byStart = Uint32Array.from({ length }, (_, row) => row);
  byStart.sort((a, b) => start[a]! - start[b]!);
  const starts: number[] = [];
  const ends: number[] = [];
  const entries: number[] = [];
  const emit = (from: number, to: number, entry: number) => {
    const last = entries.length - 1;
    if (entries[last] === entry && ends[last] === from) ends[last] = to;
    else {
      starts.push(from);
      ends.push(to);
      entries.push(entry);
    }
  };
  const open = new NewestFirst();
  let position = 0;
  for (let at = 0; at < length || open.size > 0; ) {
    while (open.size > 0 && end[open.newest()]! <= position) open.drop();
    if (open.size === 0) {
      if (at >= length) break;
      position = start[byStart[at]!]!;
    }
    while (at < length && start[byStart[at]!]! <= position) open.add(byStart[at++]!);
    const entry = open.newest();
    if (end[entry]! <= position) continue;
    // Until the newest ends or another one begins, whichever is first.
    const nextStart = at < length ? start[byStart[at]!]! : Number.POSITIVE_INFINITY;
    const to = Math.min(end[entry]!, nextStart);
    emit(position, to, entry);
    position = to;
  }
  return {
    starts: Float64Array.from(starts),
    ends: Float64Array.from(ends),
    entries: Uint32Array.from(entries),
  };
}

/** A binary heap of row numbers, the greatest on top. */
class NewestFirst {
  readonly #heap: number[] = [];

  get size(): number {
    return this.#heap.length;
  }

  newest(): number {
    return this.#heap[0]!;
  }

  add(row: number): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(row);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (heap[parent]! >= row) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = row;
  }

  drop(): void {
    const heap = this.#heap;
    const row = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]! > heap[child]!) child++;
      if (heap[child]! <= row) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = row;
  }
}
