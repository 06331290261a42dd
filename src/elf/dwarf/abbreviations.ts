/** .debug_abbrev: the shapes of entries, compiled to what a reader has to do. */
import { ParseError } from '../source.ts';
import { Form, SLOT_OF_ATTRIBUTE, Slot, Tag } from './codes.ts';
import { MAX_LEB_SIZE } from './leb128.ts';
import type { SectionReader } from './section-reader.ts';

/** A compiler's largest tables have a few thousand shapes; LTO's some ten thousand. */
const MAX_ABBREVIATIONS = 200_000;
const MAX_ATTRIBUTES = 1024;
/** Codes below this are found by index. Compilers number from 1 without gaps. */
const DENSE_CODES = 1 << 18;

/** What an entry is to someone looking for code. */
export const Kind = {
  other: 0,
  /** May contain functions. */
  scope: 1,
  function: 2,
  inlined: 3,
  /** Part of a function's body. */
  block: 4,
} as const;

/** A step of a plan that moves over a known number of bytes; real forms are not 0. */
export const SKIP = 0;

/**
 * How to read the values that are wanted and pass over the rest: triples of
 * form (or SKIP), slot (-1 = not wanted) and operand (bytes to skip, implicit value).
 */
export interface Plan {
  readonly steps: Int32Array;
  /** No entry is longer, texts and blocks not counted. */
  readonly reserve: number;
  /** When all its entries are equally long and only the sibling is wanted: that length; else -1. */
  readonly fixedSize: number;
  /** In such entries, where the next sibling's 4 bytes are; -1 = not told. */
  readonly siblingAt: number;
}

/** The shape of an entry. Plans are made when they are first needed: most shapes never are. */
export class Abbreviation {
  readonly tag: number;
  readonly kind: number;
  readonly hasChildren: boolean;
  /** Whether its entries have addresses. */
  readonly hasCode: boolean;
  /** Triples of form, slot and implicit value. */
  readonly #attributes: readonly number[];
  readonly #sizes: UnitSizes;
  #walk: Plan | undefined;
  #full: Plan | undefined;

  constructor(tag: number, hasChildren: boolean, attributes: readonly number[], sizes: UnitSizes) {
    this.tag = tag;
    this.kind = KIND_OF_TAG.get(tag) ?? Kind.other;
    this.hasChildren = hasChildren;
    this.hasCode = attributes.some(
      (slot, index) => index % 3 === 1 && (slot === Slot.ranges || slot === Slot.highPc),
    );
    this.#attributes = attributes;
    this.#sizes = sizes;
  }

  /**
   * Only what finds code: addresses of functions and calls, next siblings.
   * @throws ParseError `unknown_form`.
   */
  get walk(): Plan {
    this.#walk ??= plan(this.#attributes, this.#sizes, WALKED_SLOTS[this.kind]!);
    return this.#walk;
  }

  /**
   * Every attribute that has a slot.
   * @throws ParseError `unknown_form`.
   */
  get full(): Plan {
    this.#full ??= plan(this.#attributes, this.#sizes, ALL_SLOTS);
    return this.#full;
  }
}

/** Sizes that the unit's header decides. */
export interface UnitSizes {
  readonly version: number;
  readonly addressSize: number;
  /** 4, or 8 in 64-bit DWARF. */
  readonly offsetSize: number;
}

/** Reads shapes up to the one that is asked for: of most units only the first entry is. */
export class AbbreviationTable {
  readonly #reader: SectionReader;
  readonly #sizes: UnitSizes;
  readonly #dense: (Abbreviation | undefined)[] = [];
  readonly #sparse = new Map<number, Abbreviation>();
  /** Of the next one to read; -1 at the end. */
  #next: number;
  #count = 0;

  constructor(reader: SectionReader, offset: number, sizes: UnitSizes) {
    this.#reader = reader;
    this.#next = offset;
    this.#sizes = sizes;
  }

  /** @throws ParseError `abbreviation_missing`, `abbreviations`, `truncated`, `leb128`. */
  get(code: number): Abbreviation {
    return this.#dense[code] ?? this.#find(code);
  }

  #find(code: number): Abbreviation {
    const known = this.#sparse.get(code);
    if (known !== undefined) return known;
    const reader = this.#reader;
    while (this.#next >= 0) {
      reader.seek(this.#next);
      // Broken ones are not tried again.
      this.#next = -1;
      const read = reader.uleb();
      if (read === 0) break;
      if (++this.#count > MAX_ABBREVIATIONS) throw broken('too many');
      const abbreviation = parseAbbreviation(reader, this.#sizes);
      this.#next = reader.at;
      if (read >= DENSE_CODES) this.#sparse.set(read, abbreviation);
      else this.#dense[read] = abbreviation;
      if (read === code) return abbreviation;
    }
    throw new ParseError('abbreviation_missing', `no shape ${code}`);
  }
}

function broken(what: string): ParseError {
  return new ParseError('abbreviations', `.debug_abbrev: ${what}`);
}

const WALKED: readonly (readonly [kind: number, slots: readonly number[]])[] = [
  [Kind.other, [Slot.sibling]],
  [Kind.scope, [Slot.sibling]],
  [Kind.function, [Slot.sibling, Slot.lowPc, Slot.highPc, Slot.ranges]],
  [
    Kind.inlined,
    [
      Slot.sibling,
      Slot.lowPc,
      Slot.highPc,
      Slot.ranges,
      Slot.callFile,
      Slot.callLine,
      Slot.callColumn,
    ],
  ],
  [Kind.block, [Slot.sibling]],
];
const WALKED_SLOTS: readonly (readonly boolean[])[] = WALKED.map(([, slots]) =>
  Array.from({ length: Slot.count }, (_, slot) => slots.includes(slot)),
);
const ALL_SLOTS: readonly boolean[] = new Array(Slot.count).fill(true);

const KIND_OF_TAG: ReadonlyMap<number, number> = new Map([
  [Tag.compileUnit, Kind.scope],
  [Tag.partialUnit, Kind.scope],
  [Tag.skeletonUnit, Kind.scope],
  [Tag.typeUnit, Kind.scope],
  [Tag.namespace, Kind.scope],
  [Tag.module, Kind.scope],
  [Tag.subprogram, Kind.function],
  [Tag.inlinedSubroutine, Kind.inlined],
  [Tag.lexicalBlock, Kind.block],
  [Tag.tryBlock, Kind.block],
  [Tag.catchBlock, Kind.block],
  [Tag.withStatement, Kind.block],
]);

function parseAbbreviation(reader: SectionReader, sizes: UnitSizes): Abbreviation {
  const tag = reader.uleb();
  const hasChildren = reader.u8() !== 0;
  const specifications: number[] = [];
  for (;;) {
    const attribute = reader.uleb();
    const form = reader.uleb();
    const implicit = form === Form.implicitConst ? reader.sleb() : 0;
    if (attribute === 0 && form === 0) break;
    if (specifications.length === 3 * MAX_ATTRIBUTES) throw broken('too many attributes');
    specifications.push(form, SLOT_OF_ATTRIBUTE.get(attribute) ?? -1, implicit);
  }
  return new Abbreviation(tag, hasChildren, specifications, sizes);
}

function plan(
  specifications: readonly number[],
  sizes: UnitSizes,
  wanted: readonly boolean[],
): Plan {
  const steps: number[] = [];
  let skipped = 0;
  let reserve = MAX_LEB_SIZE;
  for (let at = 0; at < specifications.length; at += 3) {
    const form = specifications[at]!;
    const slot = specifications[at + 1]!;
    const size = formSize(form, sizes);
    // An indirect value has its form before it.
    reserve += size < 0 ? 2 * MAX_LEB_SIZE : size;
    const isWanted = slot >= 0 && wanted[slot]!;
    if (!isWanted && size >= 0) {
      skipped += size;
      continue;
    }
    if (skipped > 0) steps.push(SKIP, -1, skipped);
    skipped = 0;
    steps.push(form, isWanted ? slot : -1, specifications[at + 2]!);
  }
  if (skipped > 0) steps.push(SKIP, -1, skipped);
  return { steps: Int32Array.from(steps), reserve, ...fixedShape(steps) };
}

/** Most entries are of this kind: they are passed over without looking at each attribute. */
function fixedShape(steps: readonly number[]): { fixedSize: number; siblingAt: number } {
  let fixedSize = 0;
  let siblingAt = -1;
  for (let step = 0; step < steps.length; step += 3) {
    if (steps[step] === SKIP) {
      fixedSize += steps[step + 2]!;
    } else if (steps[step] === Form.ref4 && steps[step + 1] === Slot.sibling) {
      siblingAt = fixedSize;
      fixedSize += 4;
    } else {
      return { fixedSize: -1, siblingAt: -1 };
    }
  }
  return { fixedSize, siblingAt };
}

/**
 * Bytes of a value, -1 when its contents decide.
 * @throws ParseError `unknown_form`.
 */
export function formSize(form: number, sizes: UnitSizes): number {
  switch (form) {
    case Form.flagPresent:
    case Form.implicitConst:
      return 0;
    case Form.data1:
    case Form.flag:
    case Form.ref1:
    case Form.strx1:
    case Form.addrx1:
      return 1;
    case Form.data2:
    case Form.ref2:
    case Form.strx2:
    case Form.addrx2:
      return 2;
    case Form.strx3:
    case Form.addrx3:
      return 3;
    case Form.data4:
    case Form.ref4:
    case Form.refSup4:
    case Form.strx4:
    case Form.addrx4:
      return 4;
    case Form.data8:
    case Form.ref8:
    case Form.refSig8:
    case Form.refSup8:
      return 8;
    case Form.data16:
      return 16;
    case Form.addr:
      return sizes.addressSize;
    case Form.refAddr:
      return sizes.version <= 2 ? sizes.addressSize : sizes.offsetSize;
    case Form.strp:
    case Form.lineStrp:
    case Form.secOffset:
    case Form.strpSup:
    case Form.gnuRefAlt:
    case Form.gnuStrpAlt:
      return sizes.offsetSize;
    case Form.sdata:
    case Form.udata:
    case Form.refUdata:
    case Form.strx:
    case Form.addrx:
    case Form.loclistx:
    case Form.rnglistx:
    case Form.gnuAddrIndex:
    case Form.gnuStrIndex:
    case Form.string:
    case Form.block:
    case Form.block1:
    case Form.block2:
    case Form.block4:
    case Form.exprloc:
    case Form.indirect:
      return -1;
    default:
      throw new ParseError('unknown_form', `form 0x${form.toString(16)}`);
  }
}
