/** Compilation units: headers, and the attributes of their first entries. */
import { ParseError } from '../source.ts';
import type { AbbreviationTable } from './abbreviations.ts';
import { Form, Slot, UnitType } from './codes.ts';
import type { DwarfFile } from './dwarf-file.ts';
import type { EntryReader } from './entry-reader.ts';
import type { SectionReader } from './section-reader.ts';

const SIZE_64 = 0xffffffff;
const FIRST_RESERVED_SIZE = 0xfffffff0;
const C_LANGUAGES: ReadonlySet<number> = new Set([0x01, 0x02, 0x0c, 0x1d, 0x8001]);

export interface Unit {
  readonly file: DwarfFile;
  /** '.debug_info' or '.debug_types'. */
  readonly section: string;
  readonly offset: number;
  readonly end: number;
  readonly version: number;
  readonly addressSize: number;
  readonly offsetSize: number;
  readonly abbreviations: number;
  /** Where its first entry begins. */
  readonly first: number;
  readonly isType: boolean;
  /** Signature of a type unit, id of a skeleton or split unit of version 5; else 0. */
  readonly id: bigint;
  /** Of the type within a type unit, relative to `offset`. */
  readonly typeOffset: number;
  /** Filled in by root(). */
  root: UnitRoot | undefined;
}

/** What the first entry says. Offsets in sections, -1 = not there. */
export interface UnitRoot {
  readonly name: string;
  readonly compilationDirectory: string;
  readonly language: number;
  readonly lowPc: number;
  readonly hasCode: boolean;
  readonly statementList: number;
  readonly addressBase: number;
  readonly stringOffsetsBase: number;
  readonly rangeListsBase: number;
  /** Added to DW_AT_ranges in GNU's split units. */
  readonly gnuRangesBase: number;
  readonly splitName: string;
  readonly splitId: bigint;
  /** The unit in the main file for a split one: its addresses and lines are there. */
  readonly skeleton: Unit | undefined;
}

/**
 * The unit at the reader's place and where the next one begins; no unit when it
 * is of a version that is not known.
 * @throws ParseError `truncated`, `unit_header`.
 */
export function parseUnitHeader(
  file: DwarfFile,
  section: string,
  reader: SectionReader,
  limit: number,
): { unit: Unit | undefined; next: number } {
  const offset = reader.at;
  let length = reader.u32();
  let offsetSize = 4;
  if (length === SIZE_64) {
    length = reader.u64();
    offsetSize = 8;
  } else if (length >= FIRST_RESERVED_SIZE) {
    throw new ParseError('unit_header', `a unit of reserved length at ${offset}`);
  }
  const end = reader.at + length;
  if (end > limit) throw new ParseError('unit_header', `the unit at ${offset} ends at ${end}`);
  if (length < 7) return { unit: undefined, next: end };
  const version = reader.u16();
  if (version < 2 || version > 5) return { unit: undefined, next: end };
  let type: number = section === '.debug_types' ? UnitType.type : UnitType.compile;
  let addressSize: number;
  let abbreviations: number;
  let id = 0n;
  let typeOffset = 0;
  if (version >= 5) {
    type = reader.u8();
    addressSize = reader.u8();
    abbreviations = reader.word(offsetSize);
  } else {
    abbreviations = reader.word(offsetSize);
    addressSize = reader.u8();
  }
  const isType = type === UnitType.type || type === UnitType.splitType;
  if (isType) {
    id = reader.exact64();
    typeOffset = reader.word(offsetSize);
  } else if (type === UnitType.skeleton || type === UnitType.splitCompile) {
    id = reader.exact64();
  }
  if ((addressSize !== 8 && addressSize !== 4) || reader.at > end) {
    return { unit: undefined, next: end };
  }
  const unit: Unit = {
    file,
    section,
    offset,
    end,
    version,
    addressSize,
    offsetSize,
    abbreviations,
    first: reader.at,
    isType,
    id,
    typeOffset,
    root: undefined,
  };
  return { unit, next: end };
}

export function abbreviationsOf(unit: Unit): AbbreviationTable {
  return unit.file.abbreviations(unit.abbreviations, unit);
}

/**
 * The attributes of the unit's first entry.
 * @throws ParseError
 */
export function rootOf(unit: Unit, skeleton?: Unit): UnitRoot {
  if (unit.root !== undefined) return unit.root;
  const entries = readEntry(unit, unit.first);
  const { forms, values } = entries;
  const number = (slot: number): number => (forms[slot] === 0 ? -1 : values[slot]!);
  const inherited = skeleton === undefined ? undefined : rootOf(skeleton);
  const splitIdPlace = forms[Slot.splitId] === 0 ? -1 : entries.places[Slot.splitId]!;
  const texts = [Slot.name, Slot.compilationDirectory, Slot.splitName].map((slot) => ({
    form: forms[slot]!,
    value: values[slot]!,
  }));
  const low = { form: forms[Slot.lowPc]!, value: values[Slot.lowPc]! };
  const bare: UnitRoot = {
    name: '',
    compilationDirectory: '',
    language: number(Slot.language),
    lowPc: 0,
    hasCode: forms[Slot.ranges] !== 0 || (forms[Slot.lowPc] !== 0 && forms[Slot.highPc] !== 0),
    statementList: inherited?.statementList ?? number(Slot.statementList),
    addressBase: inherited?.addressBase ?? number(Slot.addressBase),
    stringOffsetsBase: stringOffsetsBase(unit, number(Slot.stringOffsetsBase)),
    rangeListsBase: rangeListsBase(unit, number(Slot.rangeListsBase)),
    gnuRangesBase: inherited?.gnuRangesBase ?? number(Slot.gnuRangesBase),
    splitName: '',
    splitId: unit.id,
    skeleton,
  };
  // The texts and the address need the bases.
  unit.root = bare;
  const [name, directory, splitName] = texts.map(({ form, value }) =>
    form === 0 ? '' : textOf(unit, form, value),
  );
  const reader = unit.file.reader(unit.section);
  unit.root = {
    ...bare,
    name: name!,
    compilationDirectory: inherited?.compilationDirectory || directory!,
    splitName: splitName!,
    lowPc: inherited?.lowPc ?? (low.form === 0 ? 0 : addressOf(unit, low.form, low.value)),
    splitId: splitIdPlace < 0 ? unit.id : reader.seek(splitIdPlace).exact64(),
  };
  return unit.root;
}

/** In split units there is one table per unit, and nothing says where: behind its header. */
function stringOffsetsBase(unit: Unit, stated: number): number {
  const { file } = unit;
  if (stated >= 0) return stated + (file.contribution?.stringOffsets ?? 0);
  if (file.suffix === '') return unit.version >= 5 ? headerSize(unit, 8) : 0;
  return (file.contribution?.stringOffsets ?? 0) + (unit.version >= 5 ? headerSize(unit, 8) : 0);
}

function rangeListsBase(unit: Unit, stated: number): number {
  if (stated >= 0) return stated;
  return (unit.file.contribution?.rangeLists ?? 0) + headerSize(unit, 12);
}

const headerSize = (unit: Unit, small: number): number =>
  unit.offsetSize === 8 ? small + 8 : small;

/**
 * Reads one entry with all its attributes; valid until the next call.
 * @throws ParseError `reference` when there is none, and as EntryReader.
 */
export function readEntry(unit: Unit, at: number): EntryReader {
  if (!(at >= unit.first && at < unit.end)) {
    throw new ParseError('reference', `${at} is not in the unit at ${unit.offset}`);
  }
  const entries = unit.file.entries(unit);
  entries.open(abbreviationsOf(unit), unit, at);
  if (entries.next(true) === undefined) {
    throw new ParseError('reference', `no entry at ${at}`);
  }
  return entries;
}

/** C has no scopes worth telling. */
export function hasScopes(unit: Unit): boolean {
  return !C_LANGUAGES.has(rootOf(unit).language);
}

/**
 * An attribute's text.
 * @throws ParseError
 */
export function textOf(unit: Unit, form: number, value: number): string {
  const { file } = unit;
  switch (form) {
    case Form.string:
      return file.reader(unit.section).seek(value).text();
    case Form.strp:
      return file.reader('.debug_str').seek(value).text();
    case Form.lineStrp:
      return lineString(file, value);
    case Form.strpSup:
    case Form.gnuStrpAlt: {
      const supplement = file.supplement();
      if (supplement === undefined) throw new ParseError('supplement_missing', 'no such file');
      return supplement.reader('.debug_str').seek(value).text();
    }
    case Form.strx:
    case Form.strx1:
    case Form.strx2:
    case Form.strx3:
    case Form.strx4:
    case Form.gnuStrIndex: {
      const reader = file.reader('.debug_str_offsets');
      reader.seek(rootOf(unit).stringOffsetsBase + value * unit.offsetSize);
      return file.reader('.debug_str').seek(reader.word(unit.offsetSize)).text();
    }
    default:
      throw new ParseError('text_form', `a text of form 0x${form.toString(16)}`);
  }
}

export function lineString(file: DwarfFile, at: number): string {
  return file.main.reader('.debug_line_str').seek(at).text();
}

/**
 * An attribute's address.
 * @throws ParseError
 */
export function addressOf(unit: Unit, form: number, value: number): number {
  switch (form) {
    case Form.addr:
      return value;
    case Form.addrx:
    case Form.addrx1:
    case Form.addrx2:
    case Form.addrx3:
    case Form.addrx4:
    case Form.gnuAddrIndex:
      return indexedAddress(unit, value);
    default:
      throw new ParseError('address_form', `an address of form 0x${form.toString(16)}`);
  }
}

/** The n-th address of the unit's table in .debug_addr. */
export function indexedAddress(unit: Unit, index: number): number {
  const base = Math.max(rootOf(unit).addressBase, 0);
  const reader = unit.file.main.reader('.debug_addr');
  return reader.seek(base + index * unit.addressSize).word(unit.addressSize);
}
