/**
 * `jit-PID.dump`: what run times tell perf about generated code, with lines
 * (Linux: tools/perf/Documentation/jitdump-specification.txt). Records follow
 * each other while the process runs; of the code itself nothing is read.
 */
import type { ProcessAddress } from '../units/units.ts';
import { cleanName, MAX_NAME_BYTES } from './clean-name.ts';
import { CodePages, pageOf } from './code-pages.ts';
import { isCodeRange, JIT_CODE_LIMITS, JitCode, type JitCodeLimits } from './jit-code.ts';
import { readDebugInfo } from './jit-debug-info.ts';
import { filePath, type JitSymbol, parseJitName } from './jit-name.ts';
import { lastAtMost } from './sorted.ts';

/** `JiTD` as a number of the writer's byte order. */
const MAGIC = 0x4a69_5444;
const VERSION = 1;
const HEADER = 40;
const RECORD_HEADER = 16;
const Id = { Load: 0, Move: 1, DebugInfo: 2, Close: 3, UnwindingInfo: 4 } as const;
/** Fields of a load or move record before what is of variable length. */
const LOAD = 40;
const MOVE = 48;
/** No record is longer: code objects reach 2 GiB at most. */
const MAX_RECORD = 2 ** 31 + 2 ** 20;
/** Longest part of a line table that is read: about 60,000 rows. */
const MAX_DEBUG_INFO = 1 << 20;
/** Sources of moves into sampled pages that are remembered: V8 and HotSpot move nothing. */
const MAX_SOURCES = 1 << 10;
/** Records between two looks at the clock, and bytes of line tables, about 0.1 ms of work each. */
const RECORDS_AT_ONCE = 256;
const TABLE_BYTES_AT_ONCE = 16 << 10;
/** Source files of one process, a few KiB each at the most. */
const MAX_FILES = 1 << 12;
/**
 * V8 gives lines the addresses that code has in the ELF file which perf makes
 * of it, behind that file's header (v8/src/diagnostics/perf-jit.cc).
 */
const V8_LINE_BIAS = 0x40;

/**
 * Code that V8 optimized has the lines of calls that it inlined, without saying
 * whose: a line would be shown with the wrong function.
 */
const V8_OPTIMIZED = /^[A-Za-z]+:[*+]/;

interface PendingLines {
  readonly address: number;
  readonly position: number;
  readonly size: number;
}

/** At `position`, as many bytes as asked for. @throws when that fails */
export type ReadDump = (position: number, length: number) => Uint8Array;

export class JitDump {
  /** Pages from which code was moved into pages that are kept, and that were not kept themselves. */
  readonly sources = new Set<number>();
  readonly #pages: CodePages;
  readonly #code: JitCode;
  readonly #problems = new Map<string, number>();
  readonly #files: string[] = [''];
  readonly #fileIds = new Map<string, number>();
  /** Of the load record that must follow. */
  #pendingLines: PendingLines | undefined;
  /** Since the clock was looked at, in records. */
  #work = 0;
  #position = 0;
  #isBroken = false;

  /** @param pages code elsewhere is passed over */
  constructor(limits: JitCodeLimits = JIT_CODE_LIMITS, pages: CodePages = CodePages.all) {
    this.#code = new JitCode(limits);
    this.#pages = pages;
  }

  get size(): number {
    return this.#code.size;
  }

  /** Memory that it takes, about. */
  get bytes(): number {
    return this.#code.bytes;
  }

  /** Where the next record begins. */
  get position(): number {
    return this.#position;
  }

  /** What was refused or dropped, by reason. */
  get problems(): ReadonlyMap<string, number> {
    const { forgotten } = this.#code;
    return forgotten === 0
      ? this.#problems
      : new Map([...this.#problems, ['entries_forgotten', forgotten]]);
  }

  /**
   * Goes on from where it stopped to the last whole record before `end`.
   * After a record that cannot be, nothing more is read: nothing says where the next begins.
   * @param isSpent asked every 0.1 ms or so
   * @returns false when it stopped because that was true
   */
  advance(read: ReadDump, end: number, isSpent: () => boolean = () => false): boolean {
    if (this.#isBroken) return true;
    if (this.#position === 0 && !this.#header(read, end)) return true;
    while (this.#position + RECORD_HEADER <= end) {
      if (this.#work >= RECORDS_AT_ONCE) {
        this.#work = 0;
        if (isSpent()) return false;
      }
      const view = viewOf(read(this.#position, RECORD_HEADER));
      const id = view.getUint32(0, true);
      const size = view.getUint32(4, true);
      if (size < RECORD_HEADER || size > MAX_RECORD) {
        this.#break('record_size');
        return true;
      }
      if (this.#position + size > end) return true;
      this.#record(id, this.#position + RECORD_HEADER, size - RECORD_HEADER, read);
      this.#position += size;
      this.#work++;
    }
    return true;
  }

  lookup(address: ProcessAddress): JitSymbol | undefined {
    const found = this.#code.find(address);
    if (found === undefined) return undefined;
    const symbol = parseJitName(cleanName(found.name));
    const { lines } = found;
    if (lines === undefined || V8_OPTIMIZED.test(symbol.line.systemName)) return symbol;
    const bias = symbol.type === 'v8js' ? V8_LINE_BIAS : 0;
    const row = lastAtMost(lines.offset, lines.offset.length, address - found.start + bias);
    if (row < 0) return symbol;
    const file = this.#files[lines.file[row]!]!;
    const { line } = symbol;
    // What was inlined from another file: its function is not known.
    if (line.file !== '' && line.file !== file) return symbol;
    // Rows have lines only; V8's column was that of the function.
    return { ...symbol, line: { ...line, file, line: lines.line[row]!, column: 0 } };
  }

  #header(read: ReadDump, end: number): boolean {
    if (end < HEADER) return false;
    const view = viewOf(read(0, HEADER));
    if (view.getUint32(0, true) !== MAGIC) {
      this.#break(view.getUint32(0, false) === MAGIC ? 'byte_order' : 'not_a_jitdump');
      return false;
    }
    const size = view.getUint32(8, true);
    if (view.getUint32(4, true) !== VERSION || size < HEADER || size > 4096) {
      this.#break('version');
      return false;
    }
    this.#position = size;
    return true;
  }

  #record(id: number, position: number, size: number, read: ReadDump): void {
    if (id === Id.Load && size > LOAD) this.#load(position, size, read);
    else if (id === Id.Move && size >= MOVE) this.#move(position, read);
    else if (id === Id.DebugInfo) this.#debugInfo(position, size, read);
    else if (id !== Id.Close && id !== Id.UnwindingInfo) this.#count('record_unknown');
  }

  #load(position: number, recordSize: number, read: ReadDump): void {
    const view = viewOf(read(position, LOAD));
    const address = wordAt(view, 16);
    const size = wordAt(view, 24);
    const pending = this.#pendingLines;
    this.#pendingLines = undefined;
    if (!isCodeRange(address, size)) {
      this.#count('record_malformed');
      return;
    }
    if (!this.#pages.touches(address, address + size)) return;
    const lines = pending?.address === address ? this.#lines(pending, size, read) : undefined;
    const length = Math.min(recordSize - LOAD, MAX_NAME_BYTES);
    const bytes = read(position + LOAD, length);
    const end = bytes.indexOf(0);
    this.#code.add(address, size, bytes.subarray(0, end < 0 ? length : end), lines);
  }

  #move(position: number, read: ReadDump): void {
    const view = viewOf(read(position, MOVE));
    const [source, target, size] = [wordAt(view, 16), wordAt(view, 24), wordAt(view, 32)];
    if (!isCodeRange(target, size)) {
      this.#count('record_malformed');
      return;
    }
    if (!this.#pages.touches(target, target + size)) return;
    if (!this.#pages.has(pageOf(source))) {
      if (this.sources.size < MAX_SOURCES) this.sources.add(pageOf(source));
      return;
    }
    const from = this.#code.find(source);
    if (from === undefined) this.#count('move_unknown');
    else this.#code.add(target, size, from.name.slice(), from.lines);
  }

  /** Read with the load record that must follow, if that is of use. */
  #debugInfo(position: number, size: number, read: ReadDump): void {
    this.#pendingLines = undefined;
    if (size < 16) this.#count('record_malformed');
    else this.#pendingLines = { address: wordAt(viewOf(read(position, 8)), 0), position, size };
  }

  #lines({ address, position, size }: PendingLines, codeSize: number, read: ReadDump) {
    if (size > MAX_DEBUG_INFO) this.#count('lines_cut');
    const record = read(position, Math.min(size, MAX_DEBUG_INFO)).slice();
    this.#work += (RECORDS_AT_ONCE * record.length) / TABLE_BYTES_AT_ONCE;
    const lines = readDebugInfo(record, address, codeSize + V8_LINE_BIAS, (name) =>
      this.#fileId(name),
    );
    // V8 24 itself writes such records, for code of its middle tier.
    if (lines === undefined) this.#count('lines_malformed');
    return lines;
  }

  #fileId(name: Uint8Array): number {
    const parsed = filePath(cleanName(name));
    const known = this.#fileIds.get(parsed);
    if (known !== undefined) return known;
    if (this.#files.length === MAX_FILES) {
      this.#count('too_many_files');
      return 0;
    }
    this.#fileIds.set(parsed, this.#files.length);
    return this.#files.push(parsed) - 1;
  }

  #break(reason: string): void {
    this.#isBroken = true;
    this.#count(reason);
  }

  #count(reason: string): void {
    this.#problems.set(reason, (this.#problems.get(reason) ?? 0) + 1);
  }
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Addresses and sizes beyond 2^53 lose bits; they are refused as addresses anyway. */
const wordAt = (view: DataView, at: number): number =>
  view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
