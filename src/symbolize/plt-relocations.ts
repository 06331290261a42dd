/** Which function a slot of the global offset table is filled with, by the dynamic relocations. */
import type { ElfImage, Section } from '../elf/image.ts';
import type { ByteSource } from '../elf/source.ts';
import { lastAtMost } from './sorted.ts';

const SECTION_RELA = 4;
const SECTION_LOADED = 2;
/** Elf64_Rela. */
const ROW = 24;
const ROWS_AT_ONCE = 4096;
/** Relocations looked at: Chromium has 1.3 million. */
const MAX_ROWS = 1 << 24;

/** x86-64 relocations that fill a slot with the address of a function. */
const Relocation = { Absolute: 1, GlobData: 6, JumpSlot: 7, Relative: 8, Irelative: 37 } as const;
const FILLS_A_SLOT: ReadonlySet<number> = new Set(Object.values(Relocation));

export interface SlotTarget {
  /** Index in the dynamic symbol table, 0 = none: a resolver function of this file. */
  readonly symbol: number;
  /** Address of that function when there is no symbol; else an offset from it. */
  readonly addend: number;
}

/**
 * Finds the targets of `slots`. `byNumber` are the rows of `.rela.plt`, which
 * lazy stubs know by their number.
 * @param slots Addresses, ascending.
 * @throws ParseError when the file ends within a table.
 */
export function slotTargets(image: ElfImage, slots: Float64Array): ReadonlyMap<number, SlotTarget> {
  const found = new Map<number, SlotTarget>();
  for (const section of image.sections) {
    if (section.type !== SECTION_RELA || !isDynamic(section)) continue;
    forEachRow(image.view(section), (slot, type, target) => {
      if (!FILLS_A_SLOT.has(type)) return;
      const at = lastAtMost(slots, slots.length, slot);
      // The table of the stubs comes last and knows best.
      if (at >= 0 && slots[at] === slot) found.set(slot, target);
    });
  }
  return found;
}

/** Row `number` of `.rela.plt`: what `push NUMBER` in a lazy stub means. */
export function numberedTarget(image: ElfImage, number: number): SlotTarget | undefined {
  const section = image.section('.rela.plt');
  if (section === undefined || section.type !== SECTION_RELA) return undefined;
  const rows = image.view(section);
  if ((number + 1) * ROW > rows.size) return undefined;
  const { type, target } = readRow(rows.read(number * ROW, ROW), 0);
  return type === Relocation.JumpSlot || type === Relocation.Irelative ? target : undefined;
}

/** Of a linked file: `.rela.dyn`, `.rela.plt`, `.rela.iplt`. Others (`-Wl,-q`) describe sections. */
const isDynamic = ({ flags }: Section): boolean => (flags & SECTION_LOADED) !== 0;

function forEachRow(
  rows: ByteSource,
  visit: (slot: number, type: number, target: SlotTarget) => void,
): void {
  const total = Math.min(Math.floor(rows.size / ROW), MAX_ROWS);
  for (let first = 0; first < total; first += ROWS_AT_ONCE) {
    const count = Math.min(ROWS_AT_ONCE, total - first);
    const bytes = rows.read(first * ROW, count * ROW);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < count * ROW; at += ROW) {
      const type = view.getUint32(at + 8, true);
      if (!FILLS_A_SLOT.has(type)) continue;
      const row = readRow(bytes, at);
      visit(row.slot, type, row.target);
    }
  }
}

function readRow(
  bytes: Uint8Array,
  at: number,
): { slot: number; type: number; target: SlotTarget } {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, ROW);
  const word = (offset: number) =>
    view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 2 ** 32;
  return {
    slot: word(0),
    type: view.getUint32(8, true),
    target: { symbol: view.getUint32(12, true), addend: word(16) },
  };
}
