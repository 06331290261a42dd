/** Reads the raw records that `record --save-records` keeps; the layout is stated in src/capture/recording.ts. */
import { readFileSync } from 'node:fs';

const MAGIC_BYTES = 24;
const CHUNK_HEADER_BYTES = 8;
const RECORDS = 2;

/**
 * All kernel records of a saved recording, one after the other.
 * @throws Error when the file is not a recording
 */
export function readSavedRecords(path: string): Uint8Array {
  const bytes = readFileSync(path);
  if (!bytes.subarray(0, MAGIC_BYTES).toString('latin1').startsWith('flametap records 4\n')) {
    throw new Error(`${path} is no saved recording`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const pieces: Uint8Array[] = [];
  for (let at = MAGIC_BYTES; at + CHUNK_HEADER_BYTES <= bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    const body = at + CHUNK_HEADER_BYTES;
    if (view.getUint32(at, true) === RECORDS) pieces.push(bytes.subarray(body, body + length));
    at = body + ((length + 7) & ~7);
  }
  return Buffer.concat(pieces);
}
