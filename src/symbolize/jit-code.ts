/** Code that run times generated: which function is at an address, the latest written wins. */
import { latestRanges, type Ranges } from './latest-ranges.ts';
import { lastAtMost } from './sorted.ts';

export interface JitCodeLimits {
  /** Entries kept, of those in pages that were sampled; a large Java server has about 60,000 in all. */
  readonly maxEntries: number;
  /** Bytes of names kept. */
  readonly maxNameBytes: number;
  /** Rows of line tables kept, 12 bytes each; what a table takes besides counts as rows too. */
  readonly maxLines: number;
}
/** Together 6 MiB for a process that fills them. */
export const JIT_CODE_LIMITS: JitCodeLimits = {
  maxEntries: 1 << 15,
  maxNameBytes: 2 << 20,
  maxLines: 1 << 17,
};

/** Rows of one function in ascending order of offset. */
export interface JitLines {
  /** From the start of the code, bytes. */
  readonly offset: Uint32Array;
  readonly line: Uint32Array;
  /** Whatever the writer of the entry takes for files. */
  readonly file: Uint32Array;
}

export interface JitEntry {
  /** Valid until the next entry is added. */
  readonly name: Uint8Array;
  readonly start: number;
  readonly lines: JitLines | undefined;
}

/** No code object is larger than V8's and HotSpot's code ranges. */
const MAX_CODE_SIZE = 0x8000_0000;
const MAX_ADDRESS = 2 ** 47;
/** Three typed arrays with their buffers take about 600 bytes, however few rows they have. */
const TABLE_ROWS = 50;
/** Entries since the last sort are searched one by one: at 1,024 that is about a microsecond. */
const MAX_TAIL = 1024;

/**
 * Bounded: when it is full, code that was replaced is dropped, and if that does
 * not make enough room, the older half of all, because code that runs was
 * usually compiled late.
 */
export class JitCode {
  readonly #limits: JitCodeLimits;
  // Columns by entry, in order of arrival.
  #start: Float64Array = new Float64Array(256);
  #end: Float64Array = new Float64Array(256);
  #nameStart: Uint32Array = new Uint32Array(256);
  #nameEnd: Uint32Array = new Uint32Array(256);
  #lines: (JitLines | undefined)[] = [];
  #length = 0;
  #names: Uint8Array = new Uint8Array(4096);
  #namesLength = 0;
  #lineRows = 0;
  /** Which of the first `#sortedLength` entries owns which addresses. */
  #ranges: Ranges = latestRanges(new Float64Array(), new Float64Array(), 0);
  #sortedLength = 0;
  #forgotten = 0;

  constructor(limits: JitCodeLimits = JIT_CODE_LIMITS) {
    this.#limits = limits;
  }

  /** Entries kept, of which later ones may cover earlier ones. */
  get size(): number {
    return this.#length;
  }

  /** Memory that it takes, about. */
  get bytes(): number {
    const columns = this.#start.byteLength + this.#end.byteLength + this.#nameStart.byteLength * 2;
    const { starts, ends, entries } = this.#ranges;
    const ranges = starts.byteLength + ends.byteLength + entries.byteLength;
    return columns + ranges + this.#names.length + this.#lineRows * 12;
  }

  /** Entries dropped for want of room. */
  get forgotten(): number {
    return this.#forgotten;
  }

  /** False when the range is none that code can have. The name is copied. */
  add(start: number, size: number, name: Uint8Array, lines?: JitLines): boolean {
    if (!isCodeRange(start, size)) return false;
    const kept = name.subarray(0, this.#limits.maxNameBytes);
    const rows = rowsOf(lines);
    if (this.#isFull(kept.length, rows)) this.#makeRoom(kept.length, rows);
    if (this.#length === this.#start.length) this.#grow();
    if (this.#namesLength + kept.length > this.#names.length) {
      const wanted = Math.max(this.#names.length * 2, this.#namesLength + kept.length);
      this.#names = enlarged(this.#names, wanted);
    }
    const entry = this.#length++;
    this.#start[entry] = start;
    this.#end[entry] = start + size;
    this.#nameStart[entry] = this.#namesLength;
    this.#names.set(kept, this.#namesLength);
    this.#namesLength += kept.length;
    this.#nameEnd[entry] = this.#namesLength;
    this.#lines[entry] = lines;
    this.#lineRows += rows;
    return true;
  }

  /** The entry that was written last for this address. */
  find(address: number): JitEntry | undefined {
    if (this.#length - this.#sortedLength > MAX_TAIL) this.#sort(0);
    for (let entry = this.#length - 1; entry >= this.#sortedLength; entry--) {
      if (address >= this.#start[entry]! && address < this.#end[entry]!) return this.#entry(entry);
    }
    const { starts, ends, entries } = this.#ranges;
    const range = lastAtMost(starts, starts.length, address);
    if (range < 0 || address >= ends[range]!) return undefined;
    return this.#entry(entries[range]!);
  }

  #entry(entry: number): JitEntry {
    return {
      name: this.#names.subarray(this.#nameStart[entry]!, this.#nameEnd[entry]!),
      start: this.#start[entry]!,
      lines: this.#lines[entry],
    };
  }

  #isFull(nameBytes: number, rows: number): boolean {
    const { maxEntries, maxNameBytes, maxLines } = this.#limits;
    return (
      this.#length >= maxEntries ||
      this.#namesLength + nameBytes > maxNameBytes ||
      (rows > 0 && this.#lineRows + rows > maxLines)
    );
  }

  /** Frees a quarter at least, so that the next time is as far away. */
  #makeRoom(nameBytes: number, rows: number): void {
    const { maxEntries, maxNameBytes, maxLines } = this.#limits;
    this.#sort(0);
    while (
      this.#length > 0 &&
      (this.#isFull(nameBytes, rows) ||
        this.#length > maxEntries * 0.75 ||
        this.#namesLength > maxNameBytes * 0.75 ||
        this.#lineRows > maxLines * 0.75)
    ) {
      const dropped = Math.ceil(this.#length / 2);
      this.#forgotten += dropped;
      this.#sort(dropped);
    }
  }

  #grow(): void {
    const capacity = Math.min(this.#start.length * 2, this.#limits.maxEntries);
    const wider = <Column extends Float64Array | Uint32Array>(column: Column, made: Column) => {
      made.set(column);
      return made;
    };
    this.#start = wider(this.#start, new Float64Array(capacity));
    this.#end = wider(this.#end, new Float64Array(capacity));
    this.#nameStart = wider(this.#nameStart, new Uint32Array(capacity));
    this.#nameEnd = wider(this.#nameEnd, new Uint32Array(capacity));
  }

  /** Orders all entries but the oldest, and forgets these and those of which nothing is left. */
  #sort(oldest: number): void {
    const length = this.#length - oldest;
    const ranges = latestRanges(this.#start.subarray(oldest), this.#end.subarray(oldest), length);
    const renamed = new Uint32Array(length);
    for (const entry of ranges.entries) renamed[entry] = 1;
    let kept = 0;
    let namesLength = 0;
    let lineRows = 0;
    for (let at = 0; at < length; at++) {
      if (renamed[at] === 0) continue;
      const entry = oldest + at;
      const nameStart = this.#nameStart[entry]!;
      const nameEnd = this.#nameEnd[entry]!;
      this.#names.copyWithin(namesLength, nameStart, nameEnd);
      this.#start[kept] = this.#start[entry]!;
      this.#end[kept] = this.#end[entry]!;
      this.#nameStart[kept] = namesLength;
      namesLength += nameEnd - nameStart;
      this.#nameEnd[kept] = namesLength;
      const lines = this.#lines[entry];
      this.#lines[kept] = lines;
      lineRows += rowsOf(lines);
      renamed[at] = kept++;
    }
    for (let range = 0; range < ranges.entries.length; range++) {
      ranges.entries[range] = renamed[ranges.entries[range]!]!;
    }
    this.#ranges = ranges;
    this.#length = kept;
    this.#lines.length = kept;
    this.#namesLength = namesLength;
    this.#lineRows = lineRows;
    this.#sortedLength = kept;
  }
}

/** Whether code can lie there. */
export const isCodeRange = (start: number, size: number): boolean =>
  start >= 0 && size > 0 && size <= MAX_CODE_SIZE && start + size <= MAX_ADDRESS;

const rowsOf = (lines: JitLines | undefined): number =>
  lines === undefined ? 0 : lines.offset.length + TABLE_ROWS;

function enlarged(bytes: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(bytes);
  return result;
}
