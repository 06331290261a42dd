/** Where the runtime of a Go binary keeps its fields, by the binary's own debug information. */
import { decompressed, decompressedStart, type SectionStart } from './compressed-section.ts';
import { Form, Slot, Tag } from './dwarf/codes.ts';
import { DwarfFile } from './dwarf/dwarf-file.ts';
import { EntryReader } from './dwarf/entry-reader.ts';
import { abbreviationsOf, parseUnitHeader, textOf, type Unit } from './dwarf/unit.ts';
import { malformed } from './failure.ts';
import type { GoLabels, RuntimeLayout } from './go-thread.ts';
import type { ElfImage } from './image.ts';
import { type ByteSource, ParseError } from './source.ts';

/**
 * Why it does not say: `go_layout_dwarf` (broken, or something is missing or
 * cannot be true), `go_layout_too_big` (the structures are not within the part that
 * is read), `go_layout_unsupported` (fields are where the kernel side does not look).
 */
export type NoGoDebugLayout = 'go_layout_dwarf' | 'go_layout_too_big' | 'go_layout_unsupported';

const INFO = '.debug_info';
const ABBREVIATIONS = '.debug_abbrev';
/**
 * Decompressing takes 4 ms per MB of what comes out, about three times what goes in,
 * and the thread that does it unwinds stacks too. Go's linker puts packages
 * behind those that they import, so that the runtime comes early however big the
 * program: its types are at 0.6 MB of 0.7 in the smallest, at 0.9 MB of 13 in a big
 * one, 250 to 400 KB of compressed bytes. All of it takes 10 to 20 ms.
 */
const LIMITS = { compressed: 512 << 10, decompressed: 6 << 20 };
/** Go has one table of some 500 bytes for all units; C compilers one per unit. */
const MAX_ABBREVIATION_BYTES = 1 << 20;
/** Units are packages, or assembly files of one: the part that is read has some 200. */
const MAX_UNITS = 1 << 13;
/** In all types before the runtime's: 3,000 are usual. */
const MAX_ENTRIES = 50_000;
const CHUNK = 16 << 10;
const GO = 0x16;
const PACKAGE = 'runtime';

/** Structures are no larger; offsets are kept in 16 bits. */
const MAX_STRUCTURE = 1 << 16;
/**
 * What the kernel side copies of g and m, of g more for its labels than for all else,
 * and where it takes for granted what has never moved.
 */
const G_BYTES = 320;
const LABELLED_G_BYTES = 376;
const M_BYTES = 200;
const [G0, SCHED_SP, SCHED_PC] = [0, 56, 64];

interface Structure {
  readonly size: number;
  readonly members: ReadonlyMap<string, number>;
}

/**
 * The offsets; undefined when there is no debug information.
 * @param limits of the part of .debug_info that is read, in bytes
 * @throws ParseError when the file cannot be read.
 */
export function goDebugLayout(
  image: ElfImage,
  limits = LIMITS,
): RuntimeLayout | NoGoDebugLayout | undefined {
  const info = image.section(INFO);
  const shapes = image.section(ABBREVIATIONS);
  if (info === undefined || shapes === undefined) return undefined;
  try {
    const start = decompressedStart(
      info,
      image.stored(info),
      limits.compressed,
      limits.decompressed,
    );
    const table = decompressed(shapes, image.stored(shapes), MAX_ABBREVIATION_BYTES);
    const bytes = new StartSource(start);
    const sections = new Map<string, ByteSource>([
      [INFO, bytes],
      [ABBREVIATIONS, table],
    ]);
    const file = new DwarfFile({ section: (name) => sections.get(name) }, new Map());
    const types = new RuntimeTypes(file, bytes);
    const found = types.find();
    return layoutOf(found, () => labelsOf(found, types.isWhole));
  } catch (error) {
    const { reason } = malformed(error);
    return reason === 'section_too_big' || reason === 'go_layout_too_big'
      ? 'go_layout_too_big'
      : 'go_layout_dwarf';
  }
}

/** A section of which only the beginning can be read. */
class StartSource implements ByteSource {
  readonly size: number;
  readonly #bytes: ByteSource;

  constructor({ bytes, size }: SectionStart) {
    this.#bytes = bytes;
    this.size = size;
  }

  read(offset: number, length: number): Uint8Array {
    const end = offset + length;
    if (end > this.#bytes.size && end <= this.size) throw tooBig();
    return this.#bytes.read(offset, length);
  }
}

const tooBig = (): ParseError => new ParseError('go_layout_too_big', 'behind what is read');

class RuntimeTypes {
  readonly #file: DwarfFile;
  readonly #reader: EntryReader;
  readonly #found = new Map<string, Structure>();
  #entries = 0;
  #isWhole = true;

  constructor(file: DwarfFile, source: ByteSource) {
    this.#file = file;
    this.#reader = new EntryReader(source, CHUNK);
  }

  /** Whether all of the package has been read that can be wanted. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** By name, those of WANTED and LABELS that there are. */
  find(): ReadonlyMap<string, Structure> {
    const { units, isWhole } = this.#units();
    this.#isWhole = isWhole;
    // Types are in the last of several units; the others have code, which has many entries.
    for (const unit of units.reverse()) {
      try {
        if (this.#scan(unit)) return this.#found;
      } catch (error) {
        malformed(error);
        // What stands behind can only tell of labels.
        if (!this.#has(WANTED)) throw error;
        this.#isWhole = false;
      }
      if (this.#has(WANTED)) return this.#found;
    }
    if (!isWhole) throw tooBig();
    return this.#found;
  }

  #has(names: object): boolean {
    return Object.keys(names).every((name) => this.#found.has(name));
  }

  /** The units of the package that begin within what is present. */
  #units(): { units: Unit[]; isWhole: boolean } {
    const reader = this.#file.reader(INFO);
    const units: Unit[] = [];
    let at = 0;
    for (let count = 0; at < reader.size; count++) {
      if (count === MAX_UNITS) throw tooBig();
      try {
        const { unit, next } = parseUnitHeader(this.#file, INFO, reader.seek(at), reader.size);
        if (unit !== undefined && this.#isRuntime(unit)) units.push(unit);
        at = next;
      } catch (error) {
        if (malformed(error).reason !== 'go_layout_too_big') throw error;
        return { units, isWhole: false };
      }
    }
    return { units, isWhole: true };
  }

  #isRuntime(unit: Unit): boolean {
    const reader = this.#reader;
    reader.open(abbreviationsOf(unit), unit, unit.first);
    const root = reader.next(true);
    if (root?.tag !== Tag.compileUnit || reader.values[Slot.language] !== GO) return false;
    return this.#name(unit) === PACKAGE;
  }

  /** Of the entry that was read last. Go's are in place. */
  #name(unit: Unit): string {
    const { forms, values } = this.#reader;
    if (forms[Slot.name] !== Form.string) return '';
    return textOf(unit, Form.string, values[Slot.name]!);
  }

  /** Whether all that is wanted has been found. */
  #scan(unit: Unit): boolean {
    const reader = this.#reader;
    reader.open(abbreviationsOf(unit), unit, unit.first);
    while (reader.at < unit.end) {
      const entry = this.#next();
      if (entry?.tag !== Tag.structureType || !entry.hasChildren) continue;
      const name = this.#name(unit);
      if (!Object.hasOwn(WANTED, name) && !LABELS.has(name)) continue;
      const size = this.#number(Slot.byteSize);
      const members = new Map<string, number>();
      for (;;) {
        const child = this.#next();
        if (child === undefined) break;
        if (child.hasChildren) throw new ParseError('go_layout_dwarf', `${name} has parts`);
        if (child.tag === Tag.member) {
          members.set(this.#name(unit), this.#number(Slot.memberLocation));
        }
      }
      if (!this.#found.has(name)) this.#found.set(name, { size, members });
      if (this.#has(WANTED) && labelsOf(this.#found, false) !== 'go_labels_unknown') return true;
    }
    return false;
  }

  #next(): ReturnType<EntryReader['next']> {
    if (++this.#entries > MAX_ENTRIES) throw tooBig();
    return this.#reader.next(true);
  }

  /** -1 when it is not a constant. */
  #number(slot: number): number {
    const { forms, values } = this.#reader;
    return CONSTANTS.has(forms[slot]!) ? values[slot]! : -1;
  }
}

const CONSTANTS: ReadonlySet<number> = new Set([
  Form.data1,
  Form.data2,
  Form.data4,
  Form.data8,
  Form.udata,
  Form.implicitConst,
]);

/** Members that have to be there. */
const WANTED = {
  'runtime.g': ['m', 'sched', 'atomicstatus', 'goid', 'gopc', 'startpc'],
  'runtime.m': ['g0', 'gsignal', 'curg', 'isExtraInC'],
  'runtime.gobuf': ['sp', 'pc', 'bp'],
} as const;

/**
 * What g.labels points at: from 1.24 on a labelMap that is a set, which is a slice of
 * labels, which are two strings each; before, where labelMap is no structure, a map.
 */
const LABEL_MAP = 'runtime/pprof.labelMap';
const SLICE = 24;
const PAIR = 32;
interface Expected {
  readonly size: number;
  readonly members: Readonly<Record<string, number>>;
}
const SLICES: readonly Readonly<Record<string, Expected>>[] = [
  {
    'internal/runtime/pprof/label.Set': { size: SLICE, members: { List: 0 } },
    'internal/runtime/pprof/label.Label': { size: PAIR, members: { Key: 0, Value: 16 } },
  },
  {
    'runtime/pprof.LabelSet': { size: SLICE, members: { list: 0 } },
    'runtime/pprof.label': { size: PAIR, members: { key: 0, value: 16 } },
  },
];
const MAP: Readonly<Record<string, Expected>> = {
  'runtime/pprof.LabelSet': { size: SLICE, members: { list: 0 } },
  'hash<string,string>': {
    size: 48,
    members: { count: 0, flags: 8, B: 9, buckets: 16, oldbuckets: 24 },
  },
  'bucket<string,string>': {
    size: 272,
    members: { tophash: 0, keys: 8, values: 136, overflow: 264 },
  },
};
const LABELS: ReadonlySet<string> = new Set([LABEL_MAP, ...[...SLICES, MAP].flatMap(Object.keys)]);

/** @param isWhole nothing that could be found is missing */
function labelsOf(found: ReadonlyMap<string, Structure>, isWhole: boolean): GoLabels {
  const areAll = (expected: Readonly<Record<string, Expected>>): boolean =>
    Object.entries(expected).every(([name, { size, members }]) => {
      const structure = found.get(name);
      const places = Object.entries(members);
      return (
        structure?.size === size &&
        places.every(([member, offset]) => structure.members.get(member) === offset)
      );
    });
  const offset = found.get('runtime.g')?.members.get('labels') ?? -1;
  const isFollowed = offset > 0 && offset % 8 === 0 && offset + 8 <= LABELLED_G_BYTES;
  const map = found.get(LABEL_MAP);
  if (map) {
    const isSlice = map.size === SLICE && SLICES.some(areAll);
    return isFollowed && isSlice ? { offset, form: 'slice' } : 'go_labels_unknown';
  }
  if (!isWhole) return 'go_labels_unknown';
  if (!found.has('runtime/pprof.LabelSet')) return 'go_labels_unused';
  return isFollowed && areAll(MAP) ? { offset, form: 'map' } : 'go_labels_unknown';
}

function layoutOf(
  found: ReadonlyMap<string, Structure>,
  labels: () => GoLabels,
): RuntimeLayout | NoGoDebugLayout {
  const at = (name: keyof typeof WANTED, member: string): number =>
    found.get(name)!.members.get(member)!;
  for (const [name, members] of Object.entries(WANTED)) {
    const structure = found.get(name);
    if (structure === undefined || structure.size > MAX_STRUCTURE) return 'go_layout_dwarf';
    for (const member of members) {
      // All are words but a truth value and a structure, whose size is looked at below.
      const size = member === 'isExtraInC' ? 1 : 8;
      const offset = structure.members.get(member) ?? -1;
      const fits = offset >= 0 && offset % size === 0 && offset + size <= structure.size;
      if (!fits) return 'go_layout_dwarf';
    }
  }
  const g = (member: string): number => at('runtime.g', member);
  const m = (member: string): number => at('runtime.m', member);
  const sched = g('sched');
  const { size } = found.get('runtime.gobuf')!;
  if (sched + size > found.get('runtime.g')!.size) return 'go_layout_dwarf';
  const layout = {
    m: g('m'),
    curg: m('curg'),
    g0: m('g0'),
    schedSp: sched + at('runtime.gobuf', 'sp'),
    schedPc: sched + at('runtime.gobuf', 'pc'),
    schedBp: sched + at('runtime.gobuf', 'bp'),
    goid: g('goid'),
    gopc: g('gopc'),
    gsignal: m('gsignal'),
    inC: m('isExtraInC'),
    labels: labels(),
  };
  const areApart =
    isDistinct(layout.m, sched, layout.goid, layout.gopc) &&
    isDistinct(layout.curg, layout.g0, layout.gsignal, layout.inC) &&
    isDistinct(layout.schedSp, layout.schedPc, layout.schedBp);
  if (!areApart) return 'go_layout_dwarf';
  const isFollowed =
    layout.g0 === G0 &&
    layout.schedSp === SCHED_SP &&
    layout.schedPc === SCHED_PC &&
    g('atomicstatus') === layout.goid - 8 &&
    g('startpc') === layout.gopc + 16 &&
    Math.max(layout.m, layout.goid, g('startpc')) + 8 <= G_BYTES &&
    Math.max(layout.curg, layout.gsignal) + 8 <= M_BYTES;
  return isFollowed ? layout : 'go_layout_unsupported';
}

const isDistinct = (...offsets: readonly number[]): boolean =>
  new Set(offsets).size === offsets.length;
