/** An ELF file: where its parts are, and how file offsets and addresses belong together. */
import {
  type FileOffset,
  fileOffset,
  type VirtualAddress,
  virtualAddress,
} from '../units/units.ts';
import { decompressed } from './compressed-section.ts';
import {
  type ElfMachine,
  type ElfType,
  type FileHeader,
  parseFileHeader,
  parseSections,
  parseSegments,
  SEGMENT_EXECUTABLE,
  type Section,
  SectionType,
  type Segment,
  SegmentType,
} from './headers.ts';
import { type BuildIds, readBuildIds, readInterpreter } from './notes.ts';
import { SliceSource } from './slice-source.ts';
import { type ByteSource, MemorySource, ParseError } from './source.ts';

export type { ElfMachine, ElfType, Section, Segment } from './headers.ts';
export { SectionType, SegmentType } from './headers.ts';

const PAGE = 4096;

export class ElfImage {
  readonly type: ElfType;
  readonly machine: ElfMachine;
  readonly entry: VirtualAddress;
  readonly segments: readonly Segment[];
  /** Empty when the file has no usable section headers. */
  readonly sections: readonly Section[];
  /** Lowest executable address, rounded down to a page; 0 when nothing is executable. */
  readonly textBase: VirtualAddress;
  /** From textBase to the end of the last executable byte in the file; below 2^32. */
  readonly textSize: number;
  /** GNU build id in hex, '' when there is none. */
  readonly buildId: string;
  /** Go build id, '' when there is none. */
  readonly goBuildId: string;
  /** Path of the dynamic linker, '' when there is none. */
  readonly interpreter: string;
  readonly #source: ByteSource;
  readonly #byName: ReadonlyMap<string, Section>;

  private constructor(
    source: ByteSource,
    header: FileHeader,
    segments: readonly Segment[],
    sections: readonly Section[],
    ids: BuildIds,
    interpreter: string,
  ) {
    this.#source = source;
    this.type = header.type;
    this.machine = header.machine;
    this.entry = header.entry;
    this.segments = segments;
    this.sections = sections;
    this.buildId = ids.gnu;
    this.goBuildId = ids.go;
    this.interpreter = interpreter;
    const byName = new Map<string, Section>();
    for (const section of sections) {
      if (!byName.has(section.name)) byName.set(section.name, section);
    }
    this.#byName = byName;
    const { base, size } = textRange(segments, source.size);
    this.textBase = base;
    this.textSize = size;
  }

  /**
   * Reads the headers and ids; everything else is read on demand from `source`,
   * which must stay open as long as the image is used.
   * @throws ParseError `not_elf`, `elf_class`, `elf_byte_order`, `elf_version`,
   *   `elf_type`, `elf_machine`, `elf_segments`, `text_too_big`.
   */
  static parse(source: ByteSource): ElfImage {
    const header = parseFileHeader(source);
    const segments = parseSegments(source, header);
    const sections = parseSections(source, header);
    const ids = readBuildIds(source, segments, sections);
    const interpreter = readInterpreter(source, segments);
    return new ElfImage(source, header, segments, sections, ids, interpreter);
  }

  /** The first section of that name; `.debug_x` also finds the compressed `.zdebug_x`. */
  section(name: string): Section | undefined {
    const section = this.#byName.get(name);
    if (section !== undefined || !name.startsWith('.debug_')) return section;
    return this.#byName.get(`.z${name.slice(1)}`);
  }

  /**
   * The bytes of a section (decompressed; empty for SHT_NOBITS) or of the part
   * of a segment that is in the file. Decompression happens at each call and
   * its result lives in memory: keep the source, not the section.
   * @throws ParseError `out_of_bounds`, `section_compression`, `section_too_big`.
   */
  view(part: Section | Segment): ByteSource {
    if ('fileSize' in part) return new SliceSource(this.#source, part.offset, part.fileSize);
    return decompressed(part, this.stored(part));
  }

  /**
   * The bytes of a section as they are in the file, perhaps compressed.
   * @throws ParseError `out_of_bounds`.
   */
  stored(section: Section): ByteSource {
    if (section.type === SectionType.Nobits || section.type === SectionType.Null) {
      return new MemorySource(new Uint8Array());
    }
    return new SliceSource(this.#source, section.offset, section.size);
  }

  /** Where the byte at a loaded address is in the file; undefined when it is not in it. */
  addressToOffset(address: VirtualAddress): FileOffset | undefined {
    for (const segment of this.segments) {
      const distance = address - segment.address;
      if (segment.type !== SegmentType.Load || distance < 0 || distance >= segment.fileSize) {
        continue;
      }
      const offset = segment.offset + distance;
      return offset < this.#source.size ? fileOffset(offset) : undefined;
    }
    return undefined;
  }

  /**
   * The address at which the executable segments place a byte of the file.
   * The kernel maps whole pages, so the rest of the first and last page belongs
   * to the segment too, unless another one holds that byte itself.
   */
  offsetToAddress(offset: FileOffset): VirtualAddress | undefined {
    let padding: VirtualAddress | undefined;
    for (const segment of this.segments) {
      if (!isExecutable(segment)) continue;
      const distance = offset - segment.offset;
      if (distance >= 0 && distance < segment.fileSize) {
        return virtualAddress(segment.address + distance);
      }
      const start = roundDown(segment.offset);
      const end = roundDown(segment.offset + segment.fileSize + PAGE - 1);
      if (offset >= start && offset < end && segment.address + distance >= 0) {
        padding ??= virtualAddress(segment.address + distance);
      }
    }
    return padding;
  }
}

const roundDown = (value: number): number => value - (value % PAGE);

const isExecutable = (segment: Segment): boolean =>
  segment.type === SegmentType.Load && (segment.flags & SEGMENT_EXECUTABLE) !== 0;

function textRange(
  segments: readonly Segment[],
  sourceSize: number,
): { base: VirtualAddress; size: number } {
  let start = Number.POSITIVE_INFINITY;
  let end = 0;
  for (const segment of segments) {
    // What is not in the file is not mapped from it and has no rules.
    const inFile = Math.min(segment.fileSize, sourceSize - segment.offset);
    if (!isExecutable(segment) || inFile <= 0) continue;
    start = Math.min(start, roundDown(segment.address));
    end = Math.max(end, segment.address + inFile);
  }
  if (start >= end) return { base: virtualAddress(0), size: 0 };
  if (end - start >= 0x1_0000_0000) {
    throw new ParseError('text_too_big', `executable addresses span ${end - start} bytes`);
  }
  return { base: virtualAddress(start), size: end - start };
}
