/**
 * `/tmp/perf-PID.map`: where run times tell profilers about code they generate.
 * Lines of `START SIZE name`, start and size in hex (Linux:
 * tools/perf/Documentation/jit-interface.txt), appended to while the process runs.
 */
import type { ProcessAddress } from '../units/units.ts';
import { cleanName, MAX_NAME_BYTES } from './clean-name.ts';
import { CodePages } from './code-pages.ts';
import { isCodeRange, JIT_CODE_LIMITS, JitCode, type JitCodeLimits } from './jit-code.ts';
import { type JitSymbol, parseJitName } from './jit-name.ts';

/** Two fields of hex and the longest name, which beyond MAX_NAME_BYTES is cut anyway. */
const MAX_LINE = 4 * MAX_NAME_BYTES;
const NEWLINE = 0x0a;
const BLANK = 0x20;
const TAB = 0x09;
/** 64 bits; addresses beyond 2^47 are refused as ranges. */
const MAX_DIGITS = 16;

export class PerfMap {
  readonly #pages: CodePages;
  readonly #code: JitCode;
  readonly #problems = new Map<string, number>();
  /** A last line without its newline: the writer may be in the middle of it. */
  #unfinished: Uint8Array = new Uint8Array();
  #skipLine = false;
  /** What hexField() read, and where it ended: no object per field, of which a large map has millions. */
  #value = 0;
  #next = 0;

  /** @param pages entries elsewhere are passed over */
  constructor(limits: JitCodeLimits = JIT_CODE_LIMITS, pages: CodePages = CodePages.all) {
    this.#code = new JitCode(limits);
    this.#pages = pages;
  }

  /** Entries kept, of which later ones may cover earlier ones. */
  get size(): number {
    return this.#code.size;
  }

  /** Memory that it takes, about. */
  get bytes(): number {
    return this.#code.bytes + this.#unfinished.length;
  }

  /** What was refused or dropped, by reason: `line_malformed`, `line_too_long`, `entries_forgotten`. */
  get problems(): ReadonlyMap<string, number> {
    const { forgotten } = this.#code;
    return forgotten === 0
      ? this.#problems
      : new Map([...this.#problems, ['entries_forgotten', forgotten]]);
  }

  /** Takes what was written since the last call; a line may be split between two. */
  append(bytes: Uint8Array): void {
    let from = 0;
    for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, from)) {
      if (this.#skipLine) this.#skipLine = false;
      else if (this.#unfinished.length > 0) this.#finish(bytes.subarray(from, at));
      else this.#line(bytes, from, at);
      from = at + 1;
    }
    if (from < bytes.length) this.#keep(bytes.subarray(from));
  }

  /** The entry that was written last for this address, which lies in one of the pages. */
  lookup(address: ProcessAddress): JitSymbol | undefined {
    const found = this.#code.find(address);
    return found && parseJitName(cleanName(found.name));
  }

  #keep(rest: Uint8Array): void {
    if (this.#skipLine) return;
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
    this.#line(line, 0, line.length);
  }

  #line(bytes: Uint8Array, from: number, end: number): void {
    const hasStart = this.#hexField(bytes, from, end);
    const start = this.#value;
    if (!hasStart || !this.#hexField(bytes, this.#next, end) || this.#next >= end) {
      if (end > from) this.#count('line_malformed');
      return;
    }
    const size = this.#value;
    if (!isCodeRange(start, size)) {
      this.#count('line_malformed');
      return;
    }
    if (!this.#pages.touches(start, start + size)) return;
    const name = bytes.subarray(this.#next, Math.min(end, this.#next + MAX_NAME_BYTES));
    this.#code.add(start, size, name);
  }

  /** Reads a hex number (with or without 0x), the blanks before and one after it. */
  #hexField(bytes: Uint8Array, from: number, end: number): boolean {
    let at = from;
    while (at < end && (bytes[at] === BLANK || bytes[at] === TAB)) at++;
    if (at + 1 < end && bytes[at] === 0x30 && (bytes[at + 1]! | 0x20) === 0x78) at += 2;
    const first = at;
    let value = 0;
    for (; at < end; at++) {
      const byte = bytes[at]! | 0x20;
      if (byte >= 0x30 && byte <= 0x39) value = value * 16 + byte - 0x30;
      else if (byte >= 0x61 && byte <= 0x66) value = value * 16 + byte - 0x57;
      else break;
    }
    if (at === first || at - first > MAX_DIGITS || at >= end) return false;
    if (bytes[at] !== BLANK && bytes[at] !== TAB) return false;
    this.#value = value;
    this.#next = at + 1;
    return true;
  }

  #count(reason: string): void {
    this.#problems.set(reason, (this.#problems.get(reason) ?? 0) + 1);
  }
}

function concatenate(a: Uint8Array, b: Uint8Array): Uint8Array {
  const result = new Uint8Array(a.length + b.length);
  result.set(a);
  result.set(b, a.length);
  return result;
}
