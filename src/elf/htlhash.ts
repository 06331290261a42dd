/** OpenTelemetry's id of a file, for those without a build id: of its head, its tail and its length. */
import { createHash } from 'node:crypto';
import type { ByteSource } from './source.ts';

const EDGE = 4096;
const HEX_DIGITS = 32;

/**
 * `process.executable.build_id.htlhash` of the semantic conventions: hex of the
 * first half of a SHA-256. In files of less than 8 KiB head and tail overlap.
 * @throws ParseError when the file cannot be read
 */
export function htlHash(source: ByteSource): string {
  const edge = Math.min(EDGE, source.size);
  const length = Buffer.alloc(8);
  length.writeBigUInt64BE(BigInt(source.size));
  return createHash('sha256')
    .update(source.read(0, edge))
    .update(source.read(source.size - edge, edge))
    .update(length)
    .digest('hex')
    .slice(0, HEX_DIGITS);
}
