/** The line table of one function in a jitdump: JIT_CODE_DEBUG_INFO. */
import type { JitLines } from './jit-code.ts';

const HEADER = 16;
/** Address, line, discriminator; the name of the file follows. */
const ENTRY = 16;
/** Rows kept per function; of more the first. */
const MAX_ROWS = 1 << 16;
/** Stands for the file of the entry before. */
const SAME_FILE = 0xff;

/**
 * @param record Code address, number of entries, entries.
 * @param size Of the code: entries beyond are no lines of it.
 * @param fileId Called once for each name that differs from the one before.
 * @returns undefined when the record contradicts itself.
 */
export function readDebugInfo(
  record: Uint8Array,
  start: number,
  size: number,
  fileId: (name: Uint8Array) => number,
): JitLines | undefined {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  const count = Math.min(
    view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32,
    MAX_ROWS,
    Math.floor((record.length - HEADER) / (ENTRY + 1)),
  );
  const rows: { offset: number; line: number; file: number }[] = [];
  let file = 0;
  let lastName: Uint8Array | undefined;
  let at = HEADER;
  for (let row = 0; row < count; row++) {
    if (at + ENTRY >= record.length) break;
    const offset = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32 - start;
    const line = view.getInt32(at + 8, true);
    const end = record.indexOf(0, at + ENTRY);
    if (end < 0) break;
    if (!(offset >= 0 && offset <= size)) return undefined;
    const name = record.subarray(at + ENTRY, end);
    const isSame = name.length === 1 && name[0] === SAME_FILE;
    if (!isSame && (lastName === undefined || !equal(name, lastName))) {
      file = fileId(name);
      lastName = name;
    }
    rows.push({ offset, line: Math.max(line, 0), file });
    at = end + 1;
  }
  rows.sort((a, b) => a.offset - b.offset);
  return {
    offset: Uint32Array.from(rows, (row) => row.offset),
    line: Uint32Array.from(rows, (row) => row.line),
    file: Uint32Array.from(rows, (row) => row.file),
  };
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
