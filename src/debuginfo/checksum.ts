/** CRC-32 of a whole file, as `.gnu_debuglink` has it. */
import { crc32 } from 'node:zlib';
import type { FileAccess } from '../elf/file-access.ts';
import { fileFailure } from '../elf/file-source.ts';
import { ParseError } from '../elf/source.ts';

export interface ChecksumLimits {
  readonly bytes: number;
  readonly ms: number;
}

/**
 * About 2 GB per second from memory, 0.1 from a slow disk. Whoever may put a
 * file beside a program shall not keep us reading: files this big have build
 * ids, which cost nothing to compare.
 */
export const CHECKSUM_LIMITS: ChecksumLimits = { bytes: 2 ** 30, ms: 2_000 };
const CHUNK = 1 << 20;

/** @throws ParseError `debug_link_too_big`, `debug_link_time`, and as FileSource.read() */
export function fileChecksum(files: FileAccess, fd: number, limits: ChecksumLimits): number {
  const { bytes, ms } = limits;
  const begun = performance.now();
  const { size } = attempt(() => files.state(fd));
  if (size > bytes) throw new ParseError('debug_link_too_big', `${size} bytes`);
  const buffer = Buffer.allocUnsafe(CHUNK);
  let sum = 0;
  for (let at = 0; at <= bytes; ) {
    const count = attempt(() => files.read(fd, buffer, at));
    if (count === 0) return sum;
    sum = crc32(buffer.subarray(0, count), sum);
    at += count;
    if (performance.now() - begun > ms) {
      throw new ParseError('debug_link_time', `${at} of ${size} bytes in ${ms} ms`);
    }
  }
  throw new ParseError('debug_link_too_big', `more than ${bytes} bytes`);
}

function attempt<Result>(call: () => Result): Result {
  try {
    return call();
  } catch (cause) {
    throw fileFailure(cause);
  }
}
