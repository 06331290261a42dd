/** ELF file header, program headers and section headers (System V gABI, 64-bit little-endian). */
import {
  type FileOffset,
  fileOffset,
  type VirtualAddress,
  virtualAddress,
} from '../units/units.ts';
import { type ByteSource, ParseError } from './source.ts';

export type ElfType = 'executable' | 'shared' | 'relocatable' | 'core';
export type ElfMachine = 'x86-64' | 'arm64';

export const SegmentType = {
  Load: 1,
  Dynamic: 2,
  Interpreter: 3,
  Note: 4,
  Tls: 7,
  GnuEhFrame: 0x6474e550,
} as const;
export const SEGMENT_EXECUTABLE = 1;

export const SectionType = {
  Null: 0,
  Progbits: 1,
  Symtab: 2,
  Strtab: 3,
  Note: 7,
  Nobits: 8,
  Dynsym: 11,
} as const;
export const SECTION_COMPRESSED = 0x800;

export interface Segment {
  /** p_type, see SegmentType. */
  readonly type: number;
  /** p_flags: 1 execute, 2 write, 4 read. */
  readonly flags: number;
  readonly offset: FileOffset;
  readonly address: VirtualAddress;
  /** Bytes in the file as stated; may reach beyond its end. */
  readonly fileSize: number;
  readonly memorySize: number;
  readonly align: number;
}

export interface Section {
  readonly name: string;
  /** sh_type, see SectionType. */
  readonly type: number;
  readonly flags: number;
  /** 0 when the section is not loaded. */
  readonly address: VirtualAddress;
  readonly offset: FileOffset;
  /** Bytes as stated; may reach beyond the end of the file. */
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly entrySize: number;
}

export interface FileHeader {
  readonly type: ElfType;
  readonly machine: ElfMachine;
  readonly entry: VirtualAddress;
  readonly segmentTable: number;
  readonly segmentCount: number;
  readonly sectionTable: number;
  readonly sectionCount: number;
  readonly nameSection: number;
}

const HEADER_SIZE = 64;
const SEGMENT_SIZE = 56;
const SECTION_SIZE = 64;
/** Executables have about a dozen; a core file one per mapping (65,530 by default). */
const MAX_SEGMENTS = 65_536;
/** Linked files have about forty; an object with a section per function tens of thousands. */
const MAX_SECTIONS = 65_536;
const MAX_NAMES_SIZE = 4 << 20;
const MAX_NAME_LENGTH = 255;
/** e_phnum (PN_XNUM) and e_shstrndx (SHN_XINDEX): the number is in section header 0. */
const EXTENDED = 0xffff;

const TYPES: ReadonlyMap<number, ElfType> = new Map([
  [1, 'relocatable'],
  [2, 'executable'],
  [3, 'shared'],
  [4, 'core'],
]);
const MACHINES: ReadonlyMap<number, ElfMachine> = new Map([
  [62, 'x86-64'],
  [183, 'arm64'],
]);

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Rounded above 2^53: such a value fails every later bounds check. */
export function readUnsigned64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 0x1_0000_0000;
}

/**
 * @throws ParseError `not_elf`, `elf_class` (32-bit), `elf_byte_order`,
 *   `elf_version`, `elf_type`, `elf_machine`.
 */
export function parseFileHeader(source: ByteSource): FileHeader {
  if (source.size < HEADER_SIZE) {
    throw new ParseError('not_elf', `${source.size} bytes are too few for an ELF header`);
  }
  const view = viewOf(source.read(0, HEADER_SIZE));
  if (view.getUint32(0) !== 0x7f454c46) throw new ParseError('not_elf', 'no ELF magic');
  if (view.getUint8(4) !== 2) throw new ParseError('elf_class', 'not a 64-bit ELF file');
  if (view.getUint8(5) !== 1) throw new ParseError('elf_byte_order', 'not little-endian');
  if (view.getUint8(6) !== 1) throw new ParseError('elf_version', 'unknown ELF version');
  const type = TYPES.get(view.getUint16(16, true));
  if (type === undefined) {
    throw new ParseError('elf_type', `unknown ELF type ${view.getUint16(16, true)}`);
  }
  const machine = MACHINES.get(view.getUint16(18, true));
  if (machine === undefined) {
    throw new ParseError('elf_machine', `machine ${view.getUint16(18, true)} is not supported`);
  }
  const header = {
    type,
    machine,
    entry: virtualAddress(readUnsigned64(view, 24)),
    segmentTable: readUnsigned64(view, 32),
    sectionTable: readUnsigned64(view, 40),
    segmentCount: view.getUint16(56, true),
    sectionCount: view.getUint16(60, true),
    nameSection: view.getUint16(62, true),
  };
  const segmentEntry = view.getUint16(54, true);
  if (header.segmentCount > 0 && segmentEntry !== SEGMENT_SIZE) {
    throw new ParseError('elf_segments', `program headers of ${segmentEntry} bytes`);
  }
  if (header.sectionTable === 0 || view.getUint16(58, true) !== SECTION_SIZE) {
    return { ...header, sectionTable: 0, sectionCount: 0 };
  }
  return withExtendedNumbers(source, header);
}

function withExtendedNumbers(source: ByteSource, header: FileHeader): FileHeader {
  const { segmentCount, sectionCount, nameSection, sectionTable } = header;
  if (segmentCount !== EXTENDED && sectionCount !== 0 && nameSection !== EXTENDED) return header;
  if (!(sectionTable + SECTION_SIZE <= source.size)) return header;
  const first = viewOf(source.read(sectionTable, SECTION_SIZE));
  return {
    ...header,
    segmentCount: segmentCount === EXTENDED ? first.getUint32(44, true) : segmentCount,
    sectionCount: sectionCount === 0 ? readUnsigned64(first, 32) : sectionCount,
    nameSection: nameSection === EXTENDED ? first.getUint32(40, true) : nameSection,
  };
}

/** @throws ParseError `elf_segments` when the table is not in the file, too long or absurd. */
export function parseSegments(source: ByteSource, header: FileHeader): Segment[] {
  const { segmentTable, segmentCount } = header;
  if (segmentCount === 0) return [];
  if (segmentCount > MAX_SEGMENTS) {
    throw new ParseError('elf_segments', `${segmentCount} segments are more than ${MAX_SEGMENTS}`);
  }
  if (!(segmentTable + segmentCount * SEGMENT_SIZE <= source.size)) {
    throw new ParseError('elf_segments', 'the program headers are not in the file');
  }
  const view = viewOf(source.read(segmentTable, segmentCount * SEGMENT_SIZE));
  const segments: Segment[] = [];
  for (let at = 0; at < view.byteLength; at += SEGMENT_SIZE) {
    const segment = {
      type: view.getUint32(at, true),
      flags: view.getUint32(at + 4, true),
      offset: fileOffset(readUnsigned64(view, at + 8)),
      address: virtualAddress(readUnsigned64(view, at + 16)),
      fileSize: readUnsigned64(view, at + 32),
      memorySize: readUnsigned64(view, at + 40),
      align: readUnsigned64(view, at + 48),
    };
    const end = Math.max(
      segment.offset + segment.fileSize,
      segment.address + Math.max(segment.memorySize, segment.fileSize),
    );
    // Inexact numbers would make all later arithmetic wrong without notice.
    if (Number.isSafeInteger(end)) segments.push(segment);
  }
  return segments;
}

/** All sections, or none when the table is absent or broken: unwinding does without. */
export function parseSections(source: ByteSource, header: FileHeader): Section[] {
  const { sectionTable, sectionCount } = header;
  if (sectionTable === 0 || sectionCount > MAX_SECTIONS) return [];
  if (!(sectionTable + sectionCount * SECTION_SIZE <= source.size)) return [];
  const table = viewOf(source.read(sectionTable, sectionCount * SECTION_SIZE).slice());
  const names = readNames(source, table, header.nameSection);
  const sections: Section[] = [];
  for (let at = 0; at < table.byteLength; at += SECTION_SIZE) {
    sections.push({
      name: nameAt(names, table.getUint32(at, true)),
      type: table.getUint32(at + 4, true),
      flags: readUnsigned64(table, at + 8),
      address: virtualAddress(readUnsigned64(table, at + 16)),
      offset: fileOffset(readUnsigned64(table, at + 24)),
      size: readUnsigned64(table, at + 32),
      link: table.getUint32(at + 40, true),
      info: table.getUint32(at + 44, true),
      entrySize: readUnsigned64(table, at + 56),
    });
  }
  return sections;
}

function readNames(source: ByteSource, table: DataView, index: number): Uint8Array {
  const at = index * SECTION_SIZE;
  if (at + SECTION_SIZE > table.byteLength) return new Uint8Array();
  const offset = readUnsigned64(table, at + 24);
  const size = readUnsigned64(table, at + 32);
  if (size > MAX_NAMES_SIZE || !(offset + size <= source.size)) return new Uint8Array();
  return source.read(offset, size);
}

function nameAt(names: Uint8Array, start: number): string {
  const limit = Math.min(names.length, start + MAX_NAME_LENGTH);
  let text = '';
  for (let at = start; at < limit && names[at] !== 0; at++) text += String.fromCharCode(names[at]!);
  return text;
}
