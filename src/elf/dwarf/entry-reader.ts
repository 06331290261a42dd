/** Reads debugging information entries one after the other, without an object per entry. */
import { type ByteSource, fill, ParseError } from '../source.ts';
import {
  type Abbreviation,
  type AbbreviationTable,
  formSize,
  type Plan,
  SKIP,
  type UnitSizes,
} from './abbreviations.ts';
import { Form, Slot } from './codes.ts';
import { LebReader, MAX_LEB_SIZE } from './leb128.ts';

const WORD = 0x1_0000_0000;
/** Longest entry: blocks hold constants and locations, a few with whole initialised arrays. */
const MAX_ENTRY_SIZE = 16 << 20;

interface UnitPlace extends UnitSizes {
  readonly offset: number;
  readonly end: number;
}

export class EntryReader {
  /** Where the entry that was read last begins, in the section. */
  entry = 0;
  /** Where the next one begins. */
  at = 0;
  /** Of the entry that was read last in full. */
  tag = 0;
  /** The next sibling, relative to the unit; 0 when it is not told. */
  sibling = 0;
  /**
   * By slot: its form, 0 when the entry has no such attribute. Left as they were by
   * an entry that is not read in full and of whose attributes none but the sibling is wanted.
   */
  readonly forms = new Uint16Array(Slot.count);
  /**
   * By slot: the number there: constant, address, offset or index as the form
   * says, relative to nothing; for texts in place and blocks where they begin in the section.
   * Rounded above 2^53.
   */
  readonly values = new Float64Array(Slot.count);
  /** By slot: where the value begins in the section. */
  readonly places = new Float64Array(Slot.count);
  readonly #source: ByteSource;
  readonly #leb = new LebReader('an entry');
  readonly #chunk: number;
  readonly #resident: number;
  #bytes: Uint8Array = new Uint8Array();
  #data = new DataView(this.#bytes.buffer);
  #base = 0;
  /** Bytes of the section from #base on; behind them are zeroes, which belong to no entry. */
  #filled = 0;
  #start = 0;
  #end = 0;
  #table!: AbbreviationTable;
  #sizes!: UnitSizes;

  /**
   * Reads `chunk` bytes of `source` at once, but units up to `resident` bytes as
   * a whole: then every place in them can be read without asking the source.
   */
  constructor(source: ByteSource, chunk: number, resident = 0) {
    this.#source = source;
    this.#chunk = chunk;
    this.#resident = resident;
  }

  /** Goes to an entry of a unit. */
  open(table: AbbreviationTable, unit: UnitPlace, at: number): void {
    this.#table = table;
    this.#sizes = unit;
    this.#start = unit.offset;
    this.#end = Math.min(unit.end, this.#source.size);
    this.at = at;
  }

  /**
   * The next entry's shape; undefined for the entry that ends a list of
   * siblings. Reads what the plan wants: everything that has a slot when `full`.
   * @throws ParseError `truncated`, `abbreviation_missing`, `leb128`,
   *   `unknown_form`, `entry_too_big`.
   */
  next(full: boolean): Abbreviation | undefined {
    const entry = this.at;
    if (!(entry >= 0 && entry < this.#end)) throw truncated(entry);
    let size = MAX_LEB_SIZE;
    for (;;) {
      const index = this.#load(entry, size);
      this.entry = entry;
      let at = index;
      let code = this.#bytes[at++]!;
      if (code >= 0x80) {
        code = this.#leb.unsigned(this.#bytes, at - 1);
        at = this.#leb.after;
      }
      if (code === 0) {
        this.at = this.#base + at;
        return undefined;
      }
      const abbreviation = this.#table.get(code);
      const plan = full ? abbreviation.full : abbreviation.walk;
      if (!full && plan.fixedSize >= 0 && at + plan.reserve <= this.#bytes.length) {
        this.sibling = plan.siblingAt < 0 ? 0 : this.#data.getUint32(at + plan.siblingAt, true);
        this.at = this.#base + at + plan.fixedSize;
        if (this.at > this.#end) throw truncated(this.at);
        return abbreviation;
      }
      const end = this.#read(plan, at);
      if (end >= 0) {
        this.at = this.#base + end;
        if (this.at > this.#end) throw truncated(this.at);
        this.sibling = this.forms[Slot.sibling] === 0 ? 0 : this.#sibling();
        this.tag = abbreviation.tag;
        return abbreviation;
      }
      // The window ends within it. Growing by factors keeps repeated attempts cheap.
      size = -end - index;
      if (size > this.#chunk) size *= 2;
    }
  }

  #sibling(): number {
    const value = this.values[Slot.sibling]!;
    return this.forms[Slot.sibling] === Form.refAddr ? value - this.#start : value;
  }

  /**
   * Makes the entry at `position` and `size` bytes from there present; its index
   * in #bytes. Beyond the end of the unit they are anything: who reads them
   * comes to a place that is not in the unit.
   */
  #load(position: number, size: number): number {
    const index = position - this.#base;
    const isLast = this.#base + this.#filled >= this.#end;
    if (index >= 0 && index + size <= (isLast ? this.#bytes.length : this.#filled)) return index;
    if (size > MAX_ENTRY_SIZE) {
      throw new ParseError('entry_too_big', `an entry of ${size} bytes at ${position}`);
    }
    const isWhole = this.#end - this.#start <= this.#resident;
    const base = isWhole ? this.#start : position;
    const wanted = isWhole ? this.#end - base : Math.max(size, this.#chunk);
    const capacity = Math.max(wanted, position - base + size);
    if (this.#bytes.length < capacity) {
      this.#bytes = new Uint8Array(capacity);
      this.#data = new DataView(this.#bytes.buffer);
    }
    const count = Math.min(wanted, this.#source.size - base);
    this.#filled = 0;
    this.#base = base;
    fill(this.#source, base, this.#bytes.subarray(0, count));
    this.#filled = count;
    return position - base;
  }

  /** Index behind the entry's values; negative: minus the index up to which bytes are needed. */
  #read(plan: Plan, start: number): number {
    const { steps, reserve } = plan;
    const { forms, values, places } = this;
    const bytes = this.#bytes;
    const data = this.#data;
    forms.fill(0);
    if (start + reserve > bytes.length) return -(start + reserve);
    let at = start;
    let leapt = false;
    for (let step = 0; step < steps.length; step += 3) {
      let form = steps[step]!;
      if (form === SKIP) {
        at += steps[step + 2]!;
        continue;
      }
      const slot = steps[step + 1]!;
      if (form === Form.indirect) {
        form = this.#leb.unsigned(bytes, at);
        at = this.#leb.after;
        formSize(form, this.#sizes);
        if (form === Form.indirect || form === Form.implicitConst) {
          throw new ParseError('unknown_form', 'an indirect form of that kind');
        }
        leapt = true;
      }
      const place = at;
      let value = 0;
      switch (form) {
        case Form.string: {
          value = this.#base + at;
          const end = bytes.indexOf(0, at);
          if (end < 0 || end >= this.#filled) {
            if (this.#base + this.#filled >= this.#end) throw truncated(this.#end);
            return -(bytes.length + reserve);
          }
          at = end + 1;
          leapt = true;
          break;
        }
        case Form.data1:
        case Form.flag:
        case Form.ref1:
        case Form.strx1:
        case Form.addrx1:
          value = bytes[at++]!;
          break;
        case Form.data2:
        case Form.ref2:
        case Form.strx2:
        case Form.addrx2:
          value = data.getUint16(at, true);
          at += 2;
          break;
        case Form.strx3:
        case Form.addrx3:
          value = data.getUint16(at, true) | (bytes[at + 2]! << 16);
          at += 3;
          break;
        case Form.data4:
        case Form.ref4:
        case Form.refSup4:
        case Form.strx4:
        case Form.addrx4:
          value = data.getUint32(at, true);
          at += 4;
          break;
        case Form.data8:
        case Form.ref8:
        case Form.refSig8:
        case Form.refSup8:
          value = data.getUint32(at, true) + data.getUint32(at + 4, true) * WORD;
          at += 8;
          break;
        case Form.data16:
          at += 16;
          break;
        case Form.udata:
        case Form.refUdata:
        case Form.strx:
        case Form.addrx:
        case Form.loclistx:
        case Form.rnglistx:
        case Form.gnuAddrIndex:
        case Form.gnuStrIndex:
          value = bytes[at]!;
          if (value < 0x80) at++;
          else {
            value = this.#leb.unsigned(bytes, at);
            at = this.#leb.after;
          }
          break;
        case Form.sdata:
          value = this.#leb.signed(bytes, at);
          at = this.#leb.after;
          break;
        case Form.flagPresent:
          value = 1;
          break;
        case Form.implicitConst:
          value = steps[step + 2]!;
          break;
        case Form.block:
        case Form.exprloc: {
          const length = this.#leb.unsigned(bytes, at);
          at = this.#leb.after;
          value = this.#base + at;
          at += length;
          leapt = true;
          break;
        }
        case Form.block1:
          at += 1 + bytes[at]!;
          leapt = true;
          break;
        case Form.block2:
          at += 2 + data.getUint16(at, true);
          leapt = true;
          break;
        case Form.block4:
          at += 4 + data.getUint32(at, true);
          leapt = true;
          break;
        default: {
          // What is left is as wide as an address or an offset.
          const size = formSize(form, this.#sizes);
          if (size === 8) value = data.getUint32(at, true) + data.getUint32(at + 4, true) * WORD;
          else if (size === 4) value = data.getUint32(at, true);
          else if (size === 2) value = data.getUint16(at, true);
          else value = bytes[at]!;
          at += size;
        }
      }
      if (leapt) {
        leapt = false;
        if (this.#base + at > this.#end) throw truncated(this.#base + at);
        if (at + reserve > bytes.length) return -(at + reserve);
      }
      if (slot >= 0) {
        forms[slot] = form;
        values[slot] = value;
        places[slot] = this.#base + place;
      }
    }
    return at;
  }
}

function truncated(at: number): ParseError {
  return new ParseError('truncated', `the entries end within one, at ${at}`);
}
