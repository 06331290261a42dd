/** CRC-32 of a whole file, as `.gnu_debuglink` has it. */
import { readSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { ParseError } from '../elf/source.ts';

const CHUNK = 1 << 20;
/** At about 2 GB per second. The largest known debug files (of browsers) have 4 GB. */
const MAX_BYTES = 8 * 2 ** 30;

/** @throws ParseError `read_failed`, `debug_file_too_big` */
export function fileChecksum(fd: number): number {
  const buffer = Buffer.allocUnsafe(CHUNK);
  let sum = 0;
  for (let at = 0; at <= MAX_BYTES; ) {
    const count = read(fd, buffer, at);
    if (count === 0) return sum;
    sum = crc32(buffer.subarray(0, count), sum);
    at += count;
  }
  throw new ParseError('debug_file_too_big', `more than ${MAX_BYTES} bytes`);
}

function read(fd: number, buffer: Buffer, at: number): number {
  try {
    return readSync(fd, buffer, 0, buffer.length, at);
  } catch (cause) {
    throw new ParseError('read_failed', String(cause), { cause });
  }
}
