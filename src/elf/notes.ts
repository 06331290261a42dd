/** Build ids from ELF notes. */
import { type Section, SectionType, type Segment, SegmentType, viewOf } from './headers.ts';
import type { ByteSource } from './source.ts';

export interface BuildIds {
  /** Hex; '' when there is none. */
  readonly gnu: string;
  /** As the Go linker wrote it; '' when there is none. */
  readonly go: string;
}

const GNU_BUILD_ID = 3;
const GO_BUILD_ID = 4;
/** SHA-1 takes 20 bytes; --build-id=0x… may take any number. */
const MAX_GNU_BYTES = 64;
const MAX_GO_BYTES = 256;
/** Executables have fewer than ten. */
const MAX_NOTES = 1024;

/** Reads the notes of the segments and, where these say nothing, of the sections. */
export function readBuildIds(
  source: ByteSource,
  segments: readonly Segment[],
  sections: readonly Section[],
): BuildIds {
  const found = { gnu: '', go: '' };
  let budget = MAX_NOTES;
  for (const { type, offset, fileSize, align } of segments) {
    if (type === SegmentType.Note)
      budget = scanNotes(source, offset, fileSize, align, found, budget);
  }
  if (found.gnu === '' || found.go === '') {
    for (const { type, offset, size } of sections) {
      if (type === SectionType.Note) budget = scanNotes(source, offset, size, 4, found, budget);
    }
  }
  return found;
}

function scanNotes(
  source: ByteSource,
  start: number,
  size: number,
  align: number,
  found: { gnu: string; go: string },
  budget: number,
): number {
  // Only 64-bit property notes are padded to 8.
  const pad = align === 8 ? 8 : 4;
  const end = Math.min(start + size, source.size);
  let at = start;
  let left = budget;
  while (at + 12 <= end && left > 0) {
    left--;
    const view = viewOf(source.read(at, 12));
    const nameSize = view.getUint32(0, true);
    const valueSize = view.getUint32(4, true);
    const type = view.getUint32(8, true);
    const value = at + roundUp(12 + nameSize, pad);
    if (value + valueSize > end) break;
    if (nameSize === 4) {
      const name = viewOf(source.read(at + 12, 4)).getUint32(0);
      if (name === 0x474e5500 && type === GNU_BUILD_ID && found.gnu === '') {
        if (valueSize <= MAX_GNU_BYTES) found.gnu = hex(source.read(value, valueSize));
      } else if (name === 0x476f0000 && type === GO_BUILD_ID && found.go === '') {
        if (valueSize <= MAX_GO_BYTES) found.go = printable(source.read(value, valueSize));
      }
    }
    at = value + roundUp(valueSize, pad);
  }
  return left;
}

const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;

const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');

function printable(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  return /^[\x21-\x7e]*$/.test(text) ? text : '';
}

/** The path of PT_INTERP; '' when there is none. */
export function readInterpreter(source: ByteSource, segments: readonly Segment[]): string {
  const segment = segments.find(({ type }) => type === SegmentType.Interpreter);
  if (segment === undefined || segment.fileSize > 4096) return '';
  if (segment.offset + segment.fileSize > source.size) return '';
  const bytes = source.read(segment.offset, segment.fileSize);
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8');
}
