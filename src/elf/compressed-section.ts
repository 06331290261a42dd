/** Sections that the linker or objcopy compressed: SHF_COMPRESSED and the older `.zdebug_*`. */
import { constants, inflateSync, zstdDecompressSync } from 'node:zlib';
import { readUnsigned64, SECTION_COMPRESSED, type Section, viewOf } from './headers.ts';
import { SliceSource } from './slice-source.ts';
import { type ByteSource, MemorySource, ParseError } from './source.ts';

/** Decompressed sections live in memory; a larger one is refused. */
export const MAX_DECOMPRESSED_SIZE = 256 << 20;
const ZLIB = 1;
const ZSTD = 2;
const CHDR_SIZE = 24;
const ZDEBUG_HEADER_SIZE = 12;
/** Deflate cannot do better than 1,032 to 1; a larger claim is a lie. */
const MAX_DEFLATE_RATIO = 1032;

export interface Compression {
  readonly kind: 'zlib' | 'zstd';
  /** Where the compressed bytes begin; they reach to the end of the section. */
  readonly start: number;
  /** Bytes after decompression, as claimed. */
  readonly size: number;
}

/**
 * How a section is compressed; undefined when it is not.
 * @param raw its bytes in the file
 * @throws ParseError `section_compression` (unknown kind, or a claim that cannot
 *   be true), `section_too_big` (it claims more than `maximum` bytes).
 */
export function compressionOf(
  section: Section,
  raw: ByteSource,
  maximum: number,
): Compression | undefined {
  if (Math.floor(section.flags / SECTION_COMPRESSED) % 2 === 1) {
    if (raw.size < CHDR_SIZE) throw broken(section, 'too short');
    const header = viewOf(raw.read(0, CHDR_SIZE));
    const kind = header.getUint32(0, true);
    if (kind !== ZLIB && kind !== ZSTD) throw broken(section, `kind ${kind}`);
    const size = readUnsigned64(header, 8);
    return plausible(section, raw, maximum, {
      kind: kind === ZLIB ? 'zlib' : 'zstd',
      start: CHDR_SIZE,
      size,
    });
  }
  if (section.name.startsWith('.zdebug_') && raw.size >= ZDEBUG_HEADER_SIZE) {
    const header = viewOf(raw.read(0, ZDEBUG_HEADER_SIZE));
    if (header.getUint32(0) !== 0x5a4c4942) return undefined;
    const size = header.getUint32(4) * 0x1_0000_0000 + header.getUint32(8);
    return plausible(section, raw, maximum, { kind: 'zlib', start: ZDEBUG_HEADER_SIZE, size });
  }
  return undefined;
}

/**
 * The contents of a section as the program would see them.
 * @param raw its bytes in the file
 * @throws ParseError `section_compression` (broken data or unknown kind),
 *   `section_too_big` (more than `maximum` bytes).
 */
export function decompressed(
  section: Section,
  raw: ByteSource,
  maximum = MAX_DECOMPRESSED_SIZE,
): ByteSource {
  const compression = compressionOf(section, raw, maximum);
  if (compression === undefined) return raw;
  const { kind, start, size } = compression;
  if (raw.size > maximum) throw tooBig(section, raw.size);
  if (size === 0) return new MemorySource(new Uint8Array());
  const input = raw.read(start, raw.size - start);
  let output: Uint8Array;
  try {
    const decode = kind === 'zlib' ? inflateSync : zstdDecompressSync;
    output = decode(input, { maxOutputLength: size });
  } catch (cause) {
    throw broken(section, String(cause), { cause });
  }
  if (output.length !== size) throw broken(section, `${output.length} bytes instead of ${size}`);
  return new MemorySource(output);
}

/** The first bytes of a section, which claims to have `size` in all. */
export interface SectionStart {
  readonly bytes: ByteSource;
  readonly size: number;
}

/**
 * The beginning of a section, as much as `maximumRaw` bytes in the file hold, for
 * who cannot wait for the whole.
 * @throws ParseError `section_compression`; `section_too_big` when those bytes hold
 *   more than `maximum`, or what is compressed with zstd does.
 */
export function decompressedStart(
  section: Section,
  raw: ByteSource,
  maximumRaw: number,
  maximum: number,
): SectionStart {
  const compression = compressionOf(section, raw, Number.MAX_SAFE_INTEGER);
  if (compression === undefined) {
    return { bytes: new SliceSource(raw, 0, Math.min(raw.size, maximum)), size: raw.size };
  }
  const { kind, start, size } = compression;
  const length = Math.min(raw.size - start, maximumRaw);
  if (kind === 'zstd' || size === 0) {
    const bytes = decompressed(section, raw, maximum);
    return { bytes, size: bytes.size };
  }
  let output: Uint8Array;
  try {
    output = inflateSync(raw.read(start, length), {
      maxOutputLength: Math.min(size, maximum),
      // The input may end anywhere.
      finishFlush: constants.Z_SYNC_FLUSH,
    });
  } catch (cause) {
    if (size > maximum && isTooLarge(cause)) throw tooBig(section, size);
    throw broken(section, String(cause), { cause });
  }
  const isWhole = start + length === raw.size;
  if (output.length > size || (isWhole && output.length !== size)) {
    throw broken(section, `${output.length} bytes instead of ${size}`);
  }
  return { bytes: new MemorySource(output), size };
}

const isTooLarge = (cause: unknown): boolean =>
  cause instanceof Error && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE';

function plausible(
  section: Section,
  raw: ByteSource,
  maximum: number,
  compression: Compression,
): Compression {
  const { kind, size } = compression;
  if (size > maximum) throw tooBig(section, size);
  if (kind === 'zlib' && size > raw.size * MAX_DEFLATE_RATIO) {
    throw broken(section, `${size} bytes out of ${raw.size}`);
  }
  return compression;
}

const tooBig = (section: Section, size: number): ParseError =>
  new ParseError('section_too_big', `${section.name} has ${size} bytes`);

function broken(section: Section, what: string, options?: ErrorOptions): ParseError {
  return new ParseError('section_compression', `${section.name}: ${what}`, options);
}
