/** Encoded pointers of exception frames (Linux Standard Base Core, DWARF Exception Header Encoding). */
import type { Cursor } from './cursor.ts';
import { ParseError } from './source.ts';

const PC_RELATIVE = 0x10;
const DATA_RELATIVE = 0x30;

/**
 * Reads a pointer. `position` is the virtual address of its first byte,
 * `data` that of the section to which data-relative pointers refer.
 * @throws ParseError `pointer_encoding` for forms that no linker writes here:
 *   indirect, text- and function-relative, aligned, omitted.
 */
export function readEncoded(
  cursor: Cursor,
  encoding: number,
  position: number,
  data?: number,
): number {
  switch (encoding & 0xf0) {
    case 0:
      return readFormat(cursor, encoding, false);
    case PC_RELATIVE:
      return position + readFormat(cursor, encoding, true);
    case DATA_RELATIVE:
      if (data !== undefined) return data + readFormat(cursor, encoding, true);
  }
  throw new ParseError('pointer_encoding', `pointer encoding ${encoding}`);
}

function readFormat(cursor: Cursor, encoding: number, relative: boolean): number {
  switch (encoding & 0x0f) {
    case 0x00:
    case 0x04:
      // Distances backwards wrap around 64 bits.
      return relative ? cursor.s64() : cursor.u64();
    case 0x01:
      return cursor.uleb();
    case 0x02:
      return cursor.u16();
    case 0x03:
      return relative ? cursor.s32() : cursor.u32();
    case 0x09:
      return cursor.sleb();
    case 0x0a:
      return (cursor.u16() << 16) >> 16;
    case 0x0b:
      return cursor.s32();
    case 0x0c:
      return cursor.s64();
    default:
      throw new ParseError('pointer_encoding', `pointer format ${encoding & 0x0f}`);
  }
}
