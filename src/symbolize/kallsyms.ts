/** The format of `/proc/kallsyms`: `ffffffff81000000 T name` and, for modules, a tab and `[module]`. */

/** Bytes of a line with a name of two characters; real ones average 44. Gives the room for rows. */
const MIN_LINE = 22;
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
 */
export function parseKallsyms(bytes: Uint8Array): Kallsyms {
  const capacity = Math.min(Math.ceil(bytes.length / MIN_LINE), MAX_ROWS);
  const addresses = new Float64Array(capacity);
  const names = new Uint32Array(capacity);
  const modules = new Uint16Array(capacity);
  const text = new Uint8Array(bytes.length);
  const moduleNames = new ModuleNames(bytes);
  let rows = 0;
  let textLength = 0;
  let lastNameAt = 0;
  let zeroAddresses = 0;
  let start = 0;
  let end = 0;

  for (let at = 0; at < bytes.length && rows < capacity; at++) {
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
      module = moduleNames.indexOf(moduleAt, at - 1);
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
    addresses[rows] = address;
    modules[rows] = module;
    if (!keep) {
      names[rows] = NO_NAME;
      textLength = textAt;
    } else if (isPadded(text, lastNameAt, textAt, nameLength)) {
      names[rows] = lastNameAt + PADDING.length;
      textLength = textAt;
    } else {
      names[rows] = textAt;
      lastNameAt = textAt;
      textLength++;
    }
    rows++;
  }
  const sorted = sortRows(addresses, names, modules, rows);
  const core = coreRange(sorted.addresses, sorted.modules, start, end);
  const kept = dropOutside(sorted, core);
  return {
    ...kept,
    moduleNames: moduleNames.names,
    text: text.slice(0, textLength),
    coreStart: core.start,
    coreEnd: core.end,
    zeroAddresses,
  };
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

interface Rows {
  readonly addresses: Float64Array;
  readonly names: Uint32Array;
  readonly modules: Uint16Array;
}

/** kallsyms sorts the kernel's own part; modules and BPF programs follow in order of loading. */
function sortRows(
  addresses: Float64Array,
  names: Uint32Array,
  modules: Uint16Array,
  length: number,
): Rows {
  let sorted = true;
  for (let row = 1; row < length && sorted; row++) sorted = addresses[row - 1]! <= addresses[row]!;
  if (sorted) {
    return {
      addresses: addresses.subarray(0, length),
      names: names.subarray(0, length),
      modules: modules.subarray(0, length),
    };
  }
  const order = Uint32Array.from({ length }, (_, row) => row);
  order.sort((a, b) => addresses[a]! - addresses[b]! || a - b);
  const result = {
    addresses: new Float64Array(length),
    names: new Uint32Array(length),
    modules: new Uint16Array(length),
  };
  for (const [at, row] of order.entries()) {
    result.addresses[at] = addresses[row]!;
    result.names[at] = names[row]!;
    result.modules[at] = modules[row]!;
  }
  return result;
}

function coreRange(
  addresses: Float64Array,
  modules: Uint16Array,
  start: number,
  end: number,
): { start: number; end: number } {
  if (start > 0 && end > start) return { start, end };
  const first = modules.indexOf(CORE);
  if (first < 0) return { start: 0, end: 0 };
  // Without the bounds: the last function's length is not known, so it names one byte.
  return { start: addresses[first]!, end: addresses[modules.lastIndexOf(CORE)]! + 1 };
}

function dropOutside(rows: Rows, core: { start: number; end: number }): Rows {
  let kept = 0;
  const { addresses, names, modules } = rows;
  for (let row = 0; row < addresses.length; row++) {
    const address = addresses[row]!;
    if (modules[row] === CORE && (address < core.start || address >= core.end)) continue;
    addresses[kept] = address;
    names[kept] = names[row]!;
    modules[kept] = modules[row]!;
    kept++;
  }
  return {
    addresses: addresses.slice(0, kept),
    names: names.slice(0, kept),
    modules: modules.slice(0, kept),
  };
}

/** Module names by number. A module's lines follow each other: one comparison of bytes each. */
class ModuleNames {
  readonly names: string[] = ['kernel'];
  readonly #bytes: Uint8Array;
  readonly #known = new Map<string, number>();
  #lastStart = 0;
  #lastLength = -1;
  #last = CORE;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The name at [start, end) of the file, by its number. */
  indexOf(start: number, end: number): number {
    const length = Math.max(0, Math.min(end - start, 64));
    let same = length === this.#lastLength;
    for (let at = 0; same && at < length; at++) {
      same = this.#bytes[start + at] === this.#bytes[this.#lastStart + at];
    }
    if (!same) {
      const name = new TextDecoder().decode(this.#bytes.subarray(start, start + length));
      this.#last = this.#known.get(name) ?? this.#add(name);
      this.#lastStart = start;
      this.#lastLength = length;
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
