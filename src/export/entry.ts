/**
 * Entries of a segment file, version 1: a header of 32 bytes, then the request.
 * Little endian: magic u32, length u32, sequence u64, time u64 (ms since 1970),
 * CRC-32 of the request u32, CRC-32 of the 28 bytes before it u32.
 */
import { crc32 } from 'node:zlib';

export const HEADER_BYTES = 32;
const MAGIC = Buffer.from('FTQ1');
/** No request is near that; a header that says more is no header. */
export const MAX_REQUEST_BYTES = 256 << 20;

export interface EntryHeader {
  readonly sequence: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** Of the request, in bytes. */
  readonly length: number;
  readonly checksum: number;
}

/** Header and request, to be written at once. */
export function encodeEntry(sequence: number, time: number, request: Uint8Array): Buffer {
  const entry = Buffer.allocUnsafe(HEADER_BYTES + request.length);
  MAGIC.copy(entry);
  entry.writeUInt32LE(request.length, 4);
  entry.writeBigUInt64LE(BigInt(sequence), 8);
  entry.writeBigUInt64LE(BigInt(Math.max(0, Math.round(time))), 16);
  entry.writeUInt32LE(crc32(request), 24);
  entry.writeUInt32LE(crc32(entry.subarray(0, 28)), 28);
  entry.set(request, HEADER_BYTES);
  return entry;
}

/** Undefined when there is no sound header at `at`. */
export function decodeHeader(bytes: Buffer, at: number): EntryHeader | undefined {
  if (bytes.length - at < HEADER_BYTES) return undefined;
  if (bytes.readUInt32LE(at) !== MAGIC.readUInt32LE(0)) return undefined;
  if (crc32(bytes.subarray(at, at + 28)) !== bytes.readUInt32LE(at + 28)) return undefined;
  const length = bytes.readUInt32LE(at + 4);
  const sequence = bytes.readBigUInt64LE(at + 8);
  const time = bytes.readBigUInt64LE(at + 16);
  if (length > MAX_REQUEST_BYTES) return undefined;
  if (sequence > Number.MAX_SAFE_INTEGER || time > Number.MAX_SAFE_INTEGER) return undefined;
  return {
    sequence: Number(sequence),
    time: Number(time),
    length,
    checksum: bytes.readUInt32LE(at + 24),
  };
}

/** Where the next sound header starts, from `from` on; -1 when there is none. */
export function findHeader(bytes: Buffer, from: number): number {
  let at = bytes.indexOf(MAGIC, from);
  while (at >= 0) {
    const header = decodeHeader(bytes, at);
    if (header !== undefined && at + HEADER_BYTES + header.length <= bytes.length) return at;
    at = bytes.indexOf(MAGIC, at + 1);
  }
  return -1;
}
