/** Runs line programs, keeping only the rows of wanted addresses. */
import { type ByteSource, fill, ParseError } from '../source.ts';
import { LebReader } from './leb128.ts';
import type { LineProgram } from './line-table.ts';
import type { RangeVisitor } from './range-lists.ts';

const WORD = 0x1_0000_0000;
/** The program of one unit; the largest units, made by link-time optimisation, have some 10 MB. */
const MAX_PROGRAM_SIZE = 64 << 20;
/** Behind the program: operands of the last instruction may be read without asking for its end. */
const PADDING = 64;
const MAX_LINE = 0x7fffffff;

const Standard = {
  extended: 0,
  copy: 1,
  advancePc: 2,
  advanceLine: 3,
  setFile: 4,
  setColumn: 5,
  constAddPc: 8,
  fixedAdvancePc: 9,
} as const;
const Extended = { endSequence: 1, setAddress: 2 } as const;

/** Rows by number of the wanted address. */
export class LineRows {
  /** 0 in version 5 is a file too: line -1 tells that there is no row. */
  readonly lines: Int32Array;
  readonly files: Uint32Array;
  readonly columns: Uint32Array;
  /** Where the sequence begins that the row is from. */
  readonly sequences: Float64Array;

  constructor(count: number) {
    this.lines = new Int32Array(count).fill(-1);
    this.files = new Uint32Array(count);
    this.columns = new Uint32Array(count);
    this.sequences = new Float64Array(count);
  }
}

export class LineRunner {
  readonly #source: ByteSource;
  #bytes: Uint8Array = new Uint8Array();
  readonly #leb = new LebReader('a line program');

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /**
   * The rows for ascending `addresses`. Tells `visit` of each stretch of code,
   * but for those that the linker discarded.
   * @throws ParseError `line_program`, `line_program_too_big`, `leb128`.
   */
  run(program: LineProgram, addresses: Float64Array, rows: LineRows, visit?: RangeVisitor): void {
    const size = program.end - program.start;
    if (size > MAX_PROGRAM_SIZE) {
      throw new ParseError('line_program_too_big', `a line program of ${size} bytes`);
    }
    if (this.#bytes.length < size + PADDING) {
      this.#bytes = new Uint8Array(size + PADDING + (size >> 2));
    }
    fill(this.#source, program.start, this.#bytes.subarray(0, size));
    this.#bytes.fill(0, size, size + PADDING);
    this.#run(program, size, addresses, rows, visit);
  }

  #run(
    program: LineProgram,
    size: number,
    addresses: Float64Array,
    rows: LineRows,
    visit: RangeVisitor | undefined,
  ): void {
    const bytes = this.#bytes;
    const { minimumLength, lineBase, lineRange, opcodeBase, operands } = program;
    const constAdd =
      lineRange === 0 ? 0 : Math.floor((255 - opcodeBase) / lineRange) * minimumLength;
    let at = 0;
    // Registers.
    let address = 0;
    let file = 1;
    let line = 1;
    let column = 0;
    // The row before, which holds up to the next one; no row yet: NaN, which is below nothing.
    let rowAddress = Number.NaN;
    let rowFile = 0;
    let rowLine = 0;
    let rowColumn = 0;
    let sequence = 0;
    /** Next wanted address at or above the row's. */
    let next = 0;
    let wanted = Number.POSITIVE_INFINITY;
    while (at < size) {
      const opcode = bytes[at++]!;
      let emits = false;
      let ends = false;
      if (opcode >= opcodeBase) {
        const adjusted = opcode - opcodeBase;
        if (lineRange === 0) throw broken('a line range of 0');
        const advance = (adjusted / lineRange) | 0;
        address += advance * minimumLength;
        line += lineBase + adjusted - advance * lineRange;
        emits = true;
      } else if (opcode === Standard.copy) {
        emits = true;
      } else if (opcode === Standard.setColumn) {
        column = bytes[at++]!;
        if (column >= 0x80) {
          column = this.#leb.unsigned(bytes, at - 1);
          at = this.#leb.after;
        }
      } else if (opcode === Standard.advanceLine) {
        const byte = bytes[at]!;
        if (byte < 0x80) {
          line += (byte << 25) >> 25;
          at++;
        } else {
          line += this.#leb.signed(bytes, at);
          at = this.#leb.after;
        }
      } else if (opcode === Standard.advancePc) {
        address += this.#leb.unsigned(bytes, at) * minimumLength;
        at = this.#leb.after;
      } else if (opcode === Standard.setFile) {
        file = bytes[at++]!;
        if (file >= 0x80) {
          file = this.#leb.unsigned(bytes, at - 1);
          at = this.#leb.after;
        }
      } else if (opcode === Standard.constAddPc) {
        address += constAdd;
      } else if (opcode === Standard.fixedAdvancePc) {
        address += bytes[at]! | (bytes[at + 1]! << 8);
        at += 2;
      } else if (opcode === Standard.extended) {
        let length = bytes[at++]!;
        if (length >= 0x80) {
          length = this.#leb.unsigned(bytes, at - 1);
          at = this.#leb.after;
        }
        if (length > 0) {
          const kind = bytes[at]!;
          if (kind === Extended.endSequence) {
            ends = true;
          } else if (kind === Extended.setAddress) {
            address = this.#word(at + 1, length - 1);
          }
        }
        at += length;
      } else {
        for (let count = operands[opcode]!; count > 0; count--) {
          this.#leb.unsigned(bytes, at);
          at = this.#leb.after;
          if (at > size) throw broken('truncated');
        }
      }
      if (!emits && !ends) continue;
      if (address > wanted) {
        // The row before covers the wanted addresses in between.
        do {
          if (rows.lines[next]! < 0 || sequence >= rows.sequences[next]!) {
            rows.files[next] = rowFile;
            rows.lines[next] = rowLine > 0 && rowLine <= MAX_LINE ? rowLine : 0;
            rows.columns[next] = rowColumn;
            rows.sequences[next] = sequence;
          }
          wanted = ++next < addresses.length ? addresses[next]! : Number.POSITIVE_INFINITY;
        } while (address > wanted);
      }
      if (ends) {
        if (visit !== undefined && sequence > 1 && address > sequence) visit(sequence, address);
        sequence = 0;
        address = 0;
        file = 1;
        line = 1;
        column = 0;
        rowAddress = Number.NaN;
        wanted = Number.POSITIVE_INFINITY;
        continue;
      }
      if (!(address >= rowAddress)) {
        if (Number.isNaN(rowAddress)) sequence = address;
        // A first row, or one that goes back. What the linker discarded is at 0, 1 or -1.
        next = sequence <= 1 ? addresses.length : firstAtLeast(addresses, address);
        wanted = next < addresses.length ? addresses[next]! : Number.POSITIVE_INFINITY;
      }
      rowAddress = address;
      rowFile = file;
      rowLine = line;
      rowColumn = column;
    }
  }

  #word(at: number, size: number): number {
    const bytes = this.#bytes;
    if (size !== 8 && size !== 4) throw broken(`an address of ${size} bytes`);
    if (at + size > bytes.length) throw broken('truncated');
    const low =
      (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
    if (size === 4) return low;
    const high =
      (bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24)) >>>
      0;
    return low + high * WORD;
  }
}

/** Index of the first of ascending `addresses` that is not below `address`. */
export function firstAtLeast(addresses: Float64Array, address: number): number {
  let low = 0;
  let high = addresses.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (addresses[middle]! < address) low = middle + 1;
    else high = middle;
  }
  return low;
}

function broken(what: string): ParseError {
  return new ParseError('line_program', `a line program: ${what}`);
}
