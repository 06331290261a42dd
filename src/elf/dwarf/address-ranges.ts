/** .debug_aranges: the linker's or compiler's list of where each unit's code is. */
import { ParseError } from '../source.ts';
import type { SectionReader } from './section-reader.ts';

const SIZE_64 = 0xffffffff;

/**
 * Tells each range with the offset of its unit in .debug_info.
 * @throws ParseError `address_ranges`, `truncated`, after what came before.
 */
export function readAddressRanges(
  reader: SectionReader,
  visit: (unit: number, start: number, end: number) => void,
): void {
  let at = 0;
  while (at < reader.size) {
    reader.seek(at);
    let length = reader.u32();
    let offsetSize = 4;
    if (length === SIZE_64) {
      length = reader.u64();
      offsetSize = 8;
    }
    const end = reader.at + length;
    if (end > reader.size) throw new ParseError('address_ranges', `a table ends at ${end}`);
    reader.u16();
    const unit = reader.word(offsetSize);
    const size = reader.u8();
    reader.u8();
    if (size !== 8 && size !== 4) {
      throw new ParseError('address_ranges', `addresses of ${size} bytes`);
    }
    // Pairs begin at a multiple of their own size, counted from the table's beginning.
    const pair = 2 * size;
    reader.skip((pair - ((reader.at - at) % pair)) % pair);
    while (reader.at + pair <= end) {
      const start = reader.word(size);
      const extent = reader.word(size);
      // What the linker discarded is at 0 or 1.
      if (start > 1 && extent > 0 && start + extent <= Number.MAX_SAFE_INTEGER) {
        visit(unit, start, start + extent);
      }
    }
    at = end;
  }
}
