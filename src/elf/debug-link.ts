/** The sections by which an executable names the files that hold its debug information. */
import { Cursor } from './cursor.ts';
import { type ByteSource, ParseError } from './source.ts';

/** `.gnu_debuglink`: a debug file of the same program. */
export interface DebugLink {
  /** Without any folder. */
  readonly name: string;
  /** CRC-32 of the whole debug file. */
  readonly checksum: number;
}

/** `.gnu_debugaltlink` or `.debug_sup`: a file with what several debug files have in common. */
export interface SupplementLink {
  /** Absolute, or relative to the folder of the file with the link. */
  readonly path: string;
  /** In hex: the build id or checksum that the other file must have. */
  readonly id: string;
}

/** PATH_MAX with a checksum is below this. */
const MAX_LINK_BYTES = 8192;
const MAX_NAME_BYTES = 255;
const MAX_PATH_BYTES = 4095;
const MAX_ID_BYTES = 64;
const SUPPLEMENT_VERSION = 5;

/** @throws ParseError `debug_link` */
export function parseDebugLink(section: ByteSource): DebugLink {
  const cursor = whole(section);
  const name = text(cursor, MAX_NAME_BYTES);
  if (name.includes('/') || name === '.' || name === '..') throw broken(`a link to '${name}'`);
  cursor.skip(Math.min((4 - (cursor.at % 4)) % 4, cursor.left));
  if (cursor.left < 4) throw broken('no checksum');
  return { name, checksum: cursor.u32() };
}

/** @throws ParseError `debug_link` */
export function parseAlternateLink(section: ByteSource): SupplementLink {
  const cursor = whole(section);
  const path = text(cursor, MAX_PATH_BYTES);
  return { path, id: id(cursor, cursor.left) };
}

/**
 * DWARF 5 §7.3.6.
 * @returns With `path` '' when the file is itself the supplement.
 * @throws ParseError `debug_link`
 */
export function parseSupplementLink(section: ByteSource): SupplementLink {
  const cursor = whole(section);
  if (cursor.left < 3) throw broken('too short');
  const version = cursor.u16();
  if (version !== SUPPLEMENT_VERSION) throw broken(`version ${version}`);
  const isSupplement = cursor.u8() !== 0;
  const path = text(cursor, MAX_PATH_BYTES, isSupplement);
  if (cursor.left < 1) throw broken('no checksum');
  const length = cursor.u8();
  return { path: isSupplement ? '' : path, id: id(cursor, length) };
}

function whole(section: ByteSource): Cursor {
  if (section.size > MAX_LINK_BYTES) throw broken(`${section.size} bytes`);
  return new Cursor().reset(section.read(0, section.size), 0, section.size);
}

function text(cursor: Cursor, maximum: number, mayBeEmpty = false): string {
  const end = cursor.bytes.indexOf(0, cursor.at);
  const length = end - cursor.at;
  if (end < 0 || length > maximum || (length === 0 && !mayBeEmpty)) throw broken('no name');
  const bytes = cursor.block(length);
  cursor.skip(1);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}

function id(cursor: Cursor, length: number): string {
  if (length === 0 || length > MAX_ID_BYTES || length > cursor.left) throw broken('no id');
  return Buffer.from(cursor.block(length)).toString('hex');
}

const broken = (what: string): ParseError =>
  new ParseError('debug_link', `broken link to a debug file: ${what}`);
