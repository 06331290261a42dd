/** The format of `/proc/kallsyms`: `ffffffff81000000 T name` and, for modules, a tab and `[module]`. */

/** Room to begin with. */
const INITIAL_ROWS = 1 << 12;
const INITIAL_TEXT = 1 << 16;
/** How much more when it is full: what is not written to takes no memory, what is given up does for a while. */
const GROWTH = 4;
/** A line is never longer; what is, is none. */
const MAX_LINE = 4096;
/** A distribution kernel with all modules loaded has about 250,000 lines. */
const MAX_ROWS = 4 << 20;
const MAX_MODULES = 0xffff;
/** In `names`: a module's data symbol, which ends the function before it and names nothing. */
export const NO_NAME = 0xffff_ffff;
/** In `modules`: the kernel itself. */
export const CORE = 0;

/** The room before a function for call thunks (kernel 6.2): half of all symbols. */
const PADDING = '__pfx_';

const NEWLINE = 0x0a;
const TAB = 0x09;
const SPACE = 0x20;
const OPEN = 0x5b;

/** Rows in ascending order of address. */
export interface Kallsyms {
  /** Kernel addresses: without the upper 12 bits. */
  readonly addresses: Float64Array;
  /** Offset in `text` of a name that ends in a zero byte; 0xffffffff = only a boundary. */
  readonly names: Uint32Array;
  /** Index into `moduleNames`. */
  readonly modules: Uint16Array;
  /** [0] = kernel. */
  readonly moduleNames: readonly string[];
  readonly text: Uint8Array;
  /** `_stext` and `_etext`, or what the first and last symbol suggest. */
  readonly coreStart: number;
  readonly coreEnd: number;
  /** Code symbols whose address was withheld. */
  readonly zeroAddresses: number;
}

/**
 * Keeps code (types t, T, w, W) of the kernel between `_stext` and `_etext`
 * (start-up code is freed after boot) and of modules, and the addresses of
 * module data as ends of code. Lines that do not parse are passed over.
 * @param pieces of the file, of any size; each is only used until the next is asked for
 */
export function parseKallsyms(pieces: Iterable<Uint8Array>): Kallsyms {
  const rows = new Rows();
  const moduleNames = new ModuleNames();
  let text = new Uint8Array(INITIAL_TEXT);
  let textLength = 0;
  let lastNameAt = 0;
  let zeroAddresses = 0;
  let start = 0;
  let end = 0;

  for (const bytes of wholeLines(pieces)) {
    if (textLength + bytes.length >= text.length) {
      text = grown(text, new Uint8Array(GROWTH * text.length + bytes.length));
    }
    for (let at = 0; at < bytes.length && rows.length < MAX_ROWS; at++) {
      let low = 0;
      let high = 0;
      for (let digit = hexDigit(bytes[at]!); digit >= 0; digit = hexDigit(bytes[++at]!)) {
        // 52 bits in two halves: bit operations work on 32.
        high = ((high << 4) | (low >>> 28)) & 0xfffff;
        low = ((low << 4) | digit) >>> 0;
      }
      const typeAt = at + 1;
      const nameAt = at + 3;
      if (bytes[at] !== SPACE || bytes[at + 2] !== SPACE || bytes[typeAt]! <= SPACE) {
        while (at < bytes.length && bytes[at] !== NEWLINE) at++;
        continue;
      }
      const address = high * 0x1_0000_0000 + low;
      const isText = isTextType(bytes[typeAt]!);
      const textAt = textLength;
      for (at = nameAt; at < bytes.length; at++) {
        const byte = bytes[at]!;
        if (byte <= SPACE) break;
        text[textLength++] = byte;
      }
      text[textLength] = 0;
      const nameLength = textLength - textAt;
      let module = CORE;
      if (bytes[at] === TAB && bytes[at + 1] === OPEN) {
        const moduleAt = at + 2;
        while (at < bytes.length && bytes[at] !== NEWLINE) at++;
        module = moduleNames.indexOf(bytes, moduleAt, at - 1);
      } else while (at < bytes.length && bytes[at] !== NEWLINE) at++;

      const keep = isText && nameLength > 0;
      if (keep && address === 0) zeroAddresses++;
      if (address === 0 || (!keep && module === CORE)) {
        textLength = textAt;
        continue;
      }
      if (module === CORE && nameLength === 6) {
        if (equals(text, textAt, '_stext')) start = address;
        else if (equals(text, textAt, '_etext')) end = address;
      }
      if (!keep) {
        rows.add(address, NO_NAME, module);
        textLength = textAt;
      } else if (isPadded(text, lastNameAt, textAt, nameLength)) {
        rows.add(address, lastNameAt + PADDING.length, module);
        textLength = textAt;
      } else {
        rows.add(address, textAt, module);
        lastNameAt = textAt;
        textLength++;
      }
    }
  }
  sortRows(rows);
  const core = coreRange(rows, start, end);
  dropOutside(rows, core);
  // Views: a copy would take as much again until the garbage is collected.
  return {
    addresses: rows.addresses.subarray(0, rows.length),
    names: rows.names.subarray(0, rows.length),
    modules: rows.modules.subarray(0, rows.length),
    moduleNames: moduleNames.names,
    text: text.subarray(0, textLength),
    coreStart: core.start,
    coreEnd: core.end,
    zeroAddresses,
  };
}

/** The same bytes, cut after newlines. */
function* wholeLines(pieces: Iterable<Uint8Array>): Generator<Uint8Array> {
  let rest = new Uint8Array();
  for (const piece of pieces) {
    const end = piece.lastIndexOf(NEWLINE) + 1;
    const next = joined(rest, end > 0 ? piece.subarray(0, end) : piece);
    if (end > 0) {
      yield next;
      rest = new Uint8Array(piece.subarray(end));
    } else {
      rest = next.length > MAX_LINE ? new Uint8Array() : new Uint8Array(next);
    }
  }
  yield rest;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

function grown<Column extends Uint8Array | Uint16Array | Uint32Array | Float64Array>(
  from: Column,
  to: Column,
): Column {
  to.set(from);
  return to;
}

/** Whether the name at `at` is the one before it without PADDING: both can be the same bytes. */
function isPadded(text: Uint8Array, before: number, at: number, length: number): boolean {
  const shared = before + PADDING.length;
  if (at !== shared + length + 1 || !equals(text, before, PADDING)) return false;
  for (let index = 0; index < length; index++) {
    if (text[shared + index] !== text[at + index]) return false;
  }
  return true;
}

class Rows {
  addresses = new Float64Array(INITIAL_ROWS);
  names = new Uint32Array(INITIAL_ROWS);
  modules = new Uint16Array(INITIAL_ROWS);
  length = 0;

  add(address: number, name: number, module: number): void {
    if (this.length === this.addresses.length) {
      const capacity = GROWTH * this.length;
      this.addresses = grown(this.addresses, new Float64Array(capacity));
      this.names = grown(this.names, new Uint32Array(capacity));
      this.modules = grown(this.modules, new Uint16Array(capacity));
    }
    this.addresses[this.length] = address;
    this.names[this.length] = name;
    this.modules[this.length++] = module;
  }
}

/**
 * kallsyms sorts the kernel's own part; modules and BPF programs follow in order
 * of loading. Those are few: all rows sorted by a function took longer than the parsing.
 */
function sortRows({ addresses, names, modules, length }: Rows): void {
  let sorted = Math.min(1, length);
  while (sorted < length && addresses[sorted - 1]! <= addresses[sorted]!) sorted++;
  const order = Uint32Array.from({ length: length - sorted }, (_, index) => sorted + index);
  order.sort((a, b) => addresses[a]! - addresses[b]! || a - b);
  const rest = Array.from(order, (row) => [addresses[row]!, names[row]!, modules[row]!] as const);
  const set = (row: number, [address, name, module]: readonly [number, number, number]) => {
    addresses[row] = address;
    names[row] = name;
    modules[row] = module;
  };
  // From the end, where there is room; of equal ones the sorted ones come first.
  for (let row = length - 1, first = sorted - 1, second = rest.length - 1; second >= 0; row--) {
    if (first >= 0 && addresses[first]! > rest[second]![0]) {
      set(row, [addresses[first]!, names[first]!, modules[first]!]);
      first--;
    } else set(row, rest[second--]!);
  }
}

function coreRange(rows: Rows, start: number, end: number): { start: number; end: number } {
  if (start > 0 && end > start) return { start, end };
  const modules = rows.modules.subarray(0, rows.length);
  const first = modules.indexOf(CORE);
  if (first < 0) return { start: 0, end: 0 };
  // Without the bounds: the last function's length is not known, so it names one byte.
  const last = modules.lastIndexOf(CORE);
  return { start: rows.addresses[first]!, end: rows.addresses[last]! + 1 };
}

function dropOutside(rows: Rows, core: { start: number; end: number }): void {
  let kept = 0;
  const { addresses, names, modules } = rows;
  for (let row = 0; row < rows.length; row++) {
    const address = addresses[row]!;
    if (modules[row] === CORE && (address < core.start || address >= core.end)) continue;
    addresses[kept] = address;
    names[kept] = names[row]!;
    modules[kept] = modules[row]!;
    kept++;
  }
  rows.length = kept;
}

/** Module names by number. A module's lines follow each other: one comparison of bytes each. */
class ModuleNames {
  readonly names: string[] = ['kernel'];
  readonly #known = new Map<string, number>();
  #lastName = new Uint8Array();
  #last = CORE;

  /** The name at [start, end) of the bytes, by its number. */
  indexOf(bytes: Uint8Array, start: number, end: number): number {
    const length = Math.max(0, Math.min(end - start, 64));
    const lastName = this.#lastName;
    let same = length === lastName.length && length > 0;
    for (let at = 0; same && at < length; at++) same = bytes[start + at] === lastName[at];
    if (!same) {
      this.#lastName = new Uint8Array(bytes.subarray(start, start + length));
      const name = new TextDecoder().decode(this.#lastName);
      this.#last = this.#known.get(name) ?? this.#add(name);
    }
    return this.#last;
  }

  #add(name: string): number {
    // Beyond 65,535 modules the last name stands for all the others.
    if (this.names.length < MAX_MODULES) this.names.push(name);
    this.#known.set(name, this.names.length - 1);
    return this.names.length - 1;
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  if (byte >= 0x61 && byte <= 0x66) return byte - 0x57;
  return byte >= 0x41 && byte <= 0x46 ? byte - 0x37 : -1;
}

const isTextType = (byte: number): boolean =>
  byte === 0x54 || byte === 0x74 || byte === 0x57 || byte === 0x77;

function equals(bytes: Uint8Array, at: number, text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    if (bytes[at + index] !== text.charCodeAt(index)) return false;
  }
  return true;
}
