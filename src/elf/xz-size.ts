/** How large the contents of an .xz file are, as its index says (xz file format 1.1.0, §2.1.2 and §4). */
import { Cursor } from './cursor.ts';
import { viewOf } from './headers.ts';
import { type ByteSource, ParseError } from './source.ts';

const HEADER_SIZE = 12;
const FOOTER_SIZE = 12;
/** One record takes at least two bytes; `xz` writes one per block of 24 MiB or more. */
const MAX_INDEX_BYTES = 1 << 20;

/**
 * Sum of the blocks of a file with a single stream, without padding. The
 * decoder checks it against what it finds.
 * @throws ParseError `xz_data`
 */
export function xzContentSize(source: ByteSource): number {
  if (source.size < HEADER_SIZE + FOOTER_SIZE) throw broken('too short');
  const footer = viewOf(source.read(source.size - FOOTER_SIZE, FOOTER_SIZE));
  if (footer.getUint16(10) !== 0x595a) throw broken('no footer');
  const indexSize = (footer.getUint32(4, true) + 1) * 4;
  const start = source.size - FOOTER_SIZE - indexSize;
  if (start < HEADER_SIZE || indexSize > MAX_INDEX_BYTES) throw broken('no index');
  // The last four bytes are its own checksum.
  const cursor = new Cursor().reset(source.read(start, indexSize), 0, indexSize - 4);
  if (cursor.u8() !== 0) throw broken('no index');
  const records = cursor.uleb();
  if (records > indexSize / 2) throw broken(`${records} blocks`);
  let size = 0;
  for (let i = 0; i < records; i++) {
    cursor.uleb();
    size += cursor.uleb();
  }
  return size;
}

const broken = (what: string): ParseError => new ParseError('xz_data', `not an .xz file: ${what}`);
