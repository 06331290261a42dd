/** What the dynamic linker is told of a file: symbols, names and relocations by address, with or without section headers. */
import { readUnsigned64, viewOf } from './headers.ts';
import { type ElfImage, SectionType, SegmentType } from './image.ts';
import { SliceSource } from './slice-source.ts';
import type { ByteSource } from './source.ts';

/** d_tag of the System V gABI and its GNU additions. */
export const DynamicTag = {
  PltRelocationsSize: 2,
  Hash: 4,
  Strings: 5,
  Symbols: 6,
  Relocations: 7,
  RelocationsSize: 8,
  StringsSize: 10,
  SharedName: 14,
  PltRelocations: 23,
  GnuHash: 0x6ffffef5,
  RelativeCount: 0x6ffffff9,
  Flags1: 0x6ffffffb,
} as const;

/** Files have about thirty. */
const MAX_ENTRIES = 4096;
const ENTRY_SIZE = 16;
const SYMBOL_SIZE = 24;

export class DynamicSection {
  readonly #image: ElfImage;
  readonly #values: ReadonlyMap<number, number>;

  private constructor(image: ElfImage, values: ReadonlyMap<number, number>) {
    this.#image = image;
    this.#values = values;
  }

  /**
   * Undefined for files that are not linked dynamically.
   * @throws ParseError `out_of_bounds`.
   */
  static of(image: ElfImage): DynamicSection | undefined {
    const segment = image.segments.find(({ type }) => type === SegmentType.Dynamic);
    if (segment === undefined || segment.fileSize < ENTRY_SIZE) return undefined;
    const source = image.view(segment);
    const length = Math.min(source.size, MAX_ENTRIES * ENTRY_SIZE);
    const view = viewOf(source.read(0, length));
    const values = new Map<number, number>();
    for (let at = 0; at + ENTRY_SIZE <= length; at += ENTRY_SIZE) {
      const tag = readUnsigned64(view, at);
      if (tag === 0) break;
      if (!values.has(tag)) values.set(tag, readUnsigned64(view, at + 8));
    }
    return new DynamicSection(image, values);
  }

  /** The value or address of an entry; rounded above 2^53. */
  value(tag: number): number | undefined {
    return this.#values.get(tag);
  }

  /** `.dynstr`. @throws ParseError `out_of_bounds`. */
  strings(): ByteSource | undefined {
    return this.#table(DynamicTag.Strings, DynamicTag.StringsSize);
  }

  /** `.dynsym`. Without section headers and hash table it may go on into what follows. */
  symbols(): ByteSource | undefined {
    const address = this.#values.get(DynamicTag.Symbols);
    if (address === undefined) return undefined;
    const count = this.#symbolCount(address);
    return this.#at(address, count === undefined ? undefined : count * SYMBOL_SIZE);
  }

  /** `.rela.dyn` without the leading entries that only move an address, and `.rela.plt`. */
  relocations(): ByteSource[] {
    const relative = this.#values.get(DynamicTag.RelativeCount) ?? 0;
    const all = this.#table(DynamicTag.Relocations, DynamicTag.RelocationsSize);
    const tables: ByteSource[] = [];
    const skipped = relative * SYMBOL_SIZE;
    if (all !== undefined && skipped < all.size) {
      tables.push(new SliceSource(all, skipped, all.size - skipped));
    }
    const plt = this.#table(DynamicTag.PltRelocations, DynamicTag.PltRelocationsSize);
    if (plt !== undefined) tables.push(plt);
    return tables;
  }

  #table(addressTag: number, sizeTag: number): ByteSource | undefined {
    const address = this.#values.get(addressTag);
    const size = this.#values.get(sizeTag);
    return address === undefined || size === undefined ? undefined : this.#at(address, size);
  }

  #symbolCount(address: number): number | undefined {
    const section = this.#image.sections.find((one) => one.type === SectionType.Dynsym);
    if (section?.address === address) return Math.floor(section.size / SYMBOL_SIZE);
    const hash = this.#values.get(DynamicTag.Hash);
    const header = hash === undefined ? undefined : this.#at(hash, 8);
    // nchain: one entry per symbol.
    if (header !== undefined) return viewOf(header.read(0, 8)).getUint32(4, true);
    const strings = this.#values.get(DynamicTag.Strings);
    // Every linker puts the names behind the symbols.
    if (strings !== undefined && strings > address) {
      return Math.floor((strings - address) / SYMBOL_SIZE);
    }
    return undefined;
  }

  /** File bytes at a loaded address, as many of `size` as there are. */
  #at(address: number, size = Number.POSITIVE_INFINITY): ByteSource | undefined {
    for (const segment of this.#image.segments) {
      const distance = address - segment.address;
      if (segment.type !== SegmentType.Load || distance < 0 || distance >= segment.fileSize) {
        continue;
      }
      const whole = this.#image.view(segment);
      const length = Math.min(size, whole.size - distance);
      return length > 0 ? new SliceSource(whole, distance, length) : undefined;
    }
    return undefined;
  }
}
