/**
 * `/tmp/perf-PID.map`: where run times tell profilers about code they generate.
 * Lines of `START SIZE name`, start and size in hex (Linux:
 * tools/perf/Documentation/jit-interface.txt), appended to while the process runs.
 */
import type { ProcessAddress } from '../units/units.ts';
import { cleanName, MAX_NAME_BYTES } from './clean-name.ts';
import { JIT_CODE_LIMITS, JitCode, type JitCodeLimits } from './jit-code.ts';
import { type JitSymbol, parseJitName } from './jit-name.ts';

/** Two fields of hex and the longest name, which beyond MAX_NAME_BYTES is cut anyway. */
const MAX_LINE = 4 * MAX_NAME_BYTES;
const NEWLINE = 0x0a;

export class PerfMap {
  readonly #code: JitCode;
  readonly #problems = new Map<string, number>();
  /** A last line without its newline: the writer may be in the middle of it. */
  #unfinished: Uint8Array = new Uint8Array();
  #skipLine = false;

  constructor(limits: JitCodeLimits = JIT_CODE_LIMITS) {
    this.#code = new JitCode(limits);
  }

  /** Entries kept, of which later ones may cover earlier ones. */
  get size(): number {
    return this.#code.size;
  }

  /** What was refused or dropped, by reason: `line_malformed`, `line_too_long`, `entries_forgotten`, `bytes_skipped`. */
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
      else this.#line(bytes.subarray(from, at));
      from = at + 1;
    }
    this.#keep(bytes.subarray(from));
  }

  /** `bytes` of the map are left out; what follows begins somewhere in a line, which is left out too. */
  skip(bytes: number): void {
    this.#count('bytes_skipped', bytes);
    this.#unfinished = new Uint8Array();
    this.#skipLine = true;
  }

  /** The entry that was written last for this address. */
  lookup(address: ProcessAddress): JitSymbol | undefined {
    const found = this.#code.find(address);
    return found && parseJitName(cleanName(found.name));
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
    const name = line.subarray(size.next, size.next + MAX_NAME_BYTES);
    if (!this.#code.add(start.value, size.value, name)) this.#count('line_malformed');
  }

  #count(reason: string, count = 1): void {
    this.#problems.set(reason, (this.#problems.get(reason) ?? 0) + count);
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
  const result = new Uint8Array(a.length + b.length);
  result.set(a);
  result.set(b, a.length);
  return result;
}
