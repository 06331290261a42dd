/**
 * `/tmp/perf-PID.map`: where run times tell profilers about code they generate.
 * Lines of `START SIZE name`, start and size in hex (Linux:
 * tools/perf/Documentation/jit-interface.txt), appended to while the process runs.
 */
import type { ProcessAddress } from '../units/units.ts';
import { cleanName, MAX_NAME_BYTES } from './clean-name.ts';
import { type JitSymbol, parseJitName } from './jit-name.ts';
import { latestRanges, type Ranges } from './latest-ranges.ts';
import { lastAtMost } from './sorted.ts';

export interface PerfMapLimits {
  /** Entries kept; a large Java server has about 60,000. */
  readonly maxEntries: number;
  /** Bytes of names kept. */
  readonly maxNameBytes: number;
}
const DEFAULT_LIMITS: PerfMapLimits = { maxEntries: 1 << 18, maxNameBytes: 16 << 20 };

/** No code object is larger than V8's and HotSpot's code ranges. */
const MAX_CODE_SIZE = 0x8000_0000;
const MAX_ADDRESS = 2 ** 47;
/** Entries since the last sort are searched one by one: at 1,024 that is about a microsecond. */
const MAX_TAIL = 1024;
/** Two fields of hex and the longest name, which beyond MAX_NAME_BYTES is cut anyway. */
const MAX_LINE = 4 * MAX_NAME_BYTES;
const NEWLINE = 0x0a;

export class PerfMap {
  readonly #limits: PerfMapLimits;
  readonly #problems = new Map<string, number>();
  // Columns by entry, in order of arrival.
  #start: Float64Array = new Float64Array(256);
  #end: Float64Array = new Float64Array(256);
  #nameStart: Uint32Array = new Uint32Array(256);
  #nameEnd: Uint32Array = new Uint32Array(256);
  #length = 0;
  #names: Uint8Array = new Uint8Array(4096);
  #namesLength = 0;
  /** Which of the first `#sortedLength` entries owns which addresses. */
  #ranges: Ranges = latestRanges(new Float64Array(), new Float64Array(), 0);
  #sortedLength = 0;
  /** A last line without its newline: the writer may be in the middle of it. */
  #unfinished: Uint8Array = new Uint8Array();
  #skipLine = false;
  /** Lines still to refuse before looking for room again. */
  #refused = 0;

  constructor(limits: PerfMapLimits = DEFAULT_LIMITS) {
    this.#limits = limits;
  }

  /** Entries kept, of which later ones may cover earlier ones. */
  get size(): number {
    return this.#length;
  }

  /** Lines refused, by reason: `line_malformed`, `line_too_long`, `too_many_entries`, `too_many_name_bytes`. */
  get problems(): ReadonlyMap<string, number> {
    return this.#problems;
  }

  /** Takes what was written since the last call; a line may be split between two. */
  append(bytes: Uint8Array): void {
    let from = 0;
    for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, from)) {
      if (this.#skipLine) this.#skipLine = false;
      else if (this.#unfinished.length > 0) this.#finish(bytes.subarray(from, at));
      else this.#line(bytes.subarray(from, at));
      from = at + 1;
    }
    this.#keep(bytes.subarray(from));
  }

  /** The entry that was written last for this address. */
  lookup(address: ProcessAddress): JitSymbol | undefined {
    if (this.#length - this.#sortedLength > MAX_TAIL) this.#sort();
    for (let entry = this.#length - 1; entry >= this.#sortedLength; entry--) {
      if (address >= this.#start[entry]! && address < this.#end[entry]!) return this.#symbol(entry);
    }
    const { starts, ends, entries } = this.#ranges;
    const range = lastAtMost(starts, starts.length, address);
    if (range < 0 || address >= ends[range]!) return undefined;
    return this.#symbol(entries[range]!);
  }

  #symbol(entry: number): JitSymbol {
    return parseJitName(
      cleanName(this.#names.subarray(this.#nameStart[entry]!, this.#nameEnd[entry]!)),
    );
  }

  #keep(rest: Uint8Array): void {
    if (rest.length === 0 || this.#skipLine) return;
    if (this.#unfinished.length + rest.length > MAX_LINE) {
      this.#unfinished = new Uint8Array();
      this.#skipLine = true;
      this.#count('line_too_long');
      return;
    }
    this.#unfinished = concatenate(this.#unfinished, rest);
  }

  #finish(rest: Uint8Array): void {
    const line = concatenate(this.#unfinished, rest.subarray(0, MAX_LINE));
    this.#unfinished = new Uint8Array();
    this.#line(line);
  }

  #line(line: Uint8Array): void {
    const start = hexField(line, 0);
    const size = start && hexField(line, start.next);
    if (!size || size.next >= line.length) {
      if (line.length > 0) this.#count('line_malformed');
      return;
    }
    const end = start.value + size.value;
    if (size.value <= 0 || size.value > MAX_CODE_SIZE || end > MAX_ADDRESS) {
      this.#count('line_malformed');
      return;
    }
    this.#add(start.value, end, line.subarray(size.next, size.next + MAX_NAME_BYTES));
  }

  #add(start: number, end: number, name: Uint8Array): void {
    const { maxEntries, maxNameBytes } = this.#limits;
    const full = () => this.#length >= maxEntries || this.#namesLength + name.length > maxNameBytes;
    // Code that was replaced makes room for what replaced it; a full map is
    // gone through again only after a sixteenth more was refused.
    if (full() && this.#refused-- <= 0) {
      this.#refused = maxEntries >>> 4;
      this.#sort();
    }
    if (full()) {
      this.#count(this.#length >= maxEntries ? 'too_many_entries' : 'too_many_name_bytes');
      return;
    }
    this.#refused = 0;
    if (this.#length === this.#start.length) this.#grow();
    if (this.#namesLength + name.length > this.#names.length) {
      this.#names = enlarged(
        this.#names,
        Math.max(this.#names.length * 2, this.#namesLength + name.length),
      );
    }
    const entry = this.#length++;
    this.#start[entry] = start;
    this.#end[entry] = end;
    this.#nameStart[entry] = this.#namesLength;
    this.#names.set(name, this.#namesLength);
    this.#namesLength += name.length;
    this.#nameEnd[entry] = this.#namesLength;
  }

  #grow(): void {
    const capacity = this.#start.length * 2;
    const wider = (column: Float64Array) => {
      const result = new Float64Array(capacity);
      result.set(column);
      return result;
    };
    const wider32 = (column: Uint32Array) => {
      const result = new Uint32Array(capacity);
      result.set(column);
      return result;
    };
    this.#start = wider(this.#start);
    this.#end = wider(this.#end);
    this.#nameStart = wider32(this.#nameStart);
    this.#nameEnd = wider32(this.#nameEnd);
  }

  /** Orders all entries and forgets those of which nothing is left. */
  #sort(): void {
    const ranges = latestRanges(this.#start, this.#end, this.#length);
    const renamed = new Uint32Array(this.#length);
    for (const entry of ranges.entries) renamed[entry] = 1;
    let kept = 0;
    let namesLength = 0;
    for (let entry = 0; entry < this.#length; entry++) {
      if (renamed[entry] === 0) continue;
      const nameStart = this.#nameStart[entry]!;
      const nameEnd = this.#nameEnd[entry]!;
      this.#names.copyWithin(namesLength, nameStart, nameEnd);
      this.#start[kept] = this.#start[entry]!;
      this.#end[kept] = this.#end[entry]!;
      this.#nameStart[kept] = namesLength;
      namesLength += nameEnd - nameStart;
      this.#nameEnd[kept] = namesLength;
      renamed[entry] = kept++;
    }
    for (let range = 0; range < ranges.entries.length; range++) {
      ranges.entries[range] = renamed[ranges.entries[range]!]!;
    }
    this.#ranges = ranges;
    this.#length = kept;
    this.#namesLength = namesLength;
    this.#sortedLength = kept;
  }

  #count(reason: string): void {
    this.#problems.set(reason, (this.#problems.get(reason) ?? 0) + 1);
  }
}

interface HexField {
  readonly value: number;
  readonly next: number;
}

/** A hex number (with or without 0x), the blanks before and one after it. */
function hexField(line: Uint8Array, from: number): HexField | undefined {
  let at = from;
  while (line[at] === 0x20 || line[at] === 0x09) at++;
  if (line[at] === 0x30 && (line[at + 1]! | 0x20) === 0x78) at += 2;
  const first = at;
  let value = 0;
  for (; at < line.length; at++) {
    const byte = line[at]! | 0x20;
    if (byte >= 0x30 && byte <= 0x39) value = value * 16 + byte - 0x30;
    else if (byte >= 0x61 && byte <= 0x66) value = value * 16 + byte - 0x57;
    else break;
  }
  // 16 digits are 64 bits; addresses beyond 2^47 are refused by the caller.
  if (at === first || at - first > 16 || (line[at] !== 0x20 && line[at] !== 0x09)) return undefined;
  return { value, next: at + 1 };
}

function concatenate(a: Uint8Array, b: Uint8Array): Uint8Array {
  const result = enlarged(a, a.length + b.length);
  result.set(b, a.length);
  return result;
}

function enlarged(bytes: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(bytes);
  return result;
}
