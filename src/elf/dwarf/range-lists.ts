/** Address ranges of entries: DW_AT_low_pc/high_pc, .debug_ranges, .debug_rnglists. */
import { ParseError } from '../source.ts';
import { Form, Slot } from './codes.ts';
import type { EntryReader } from './entry-reader.ts';
import { addressOf, indexedAddress, rootOf, type Unit } from './unit.ts';

/** A hot function of a huge program has hundreds of parts; units have one per function. */
const MAX_RANGES = 1 << 20;

const Kind = {
  end: 0,
  baseIndex: 1,
  startIndexEndIndex: 2,
  startIndexLength: 3,
  offsetPair: 4,
  base: 5,
  startEnd: 6,
  startLength: 7,
} as const;

/** Told of each range that has code. */
export type RangeVisitor = (start: number, end: number) => void;

/**
 * The ranges of the entry that `entries` read last, without what the linker
 * discarded: it left 0, 1 or -1 there.
 * @throws ParseError `ranges`, `range_lists`, `truncated`, `address_form`.
 */
export function visitRanges(unit: Unit, entries: EntryReader, visit: RangeVisitor): void {
  const { forms, values } = entries;
  const form = forms[Slot.ranges]!;
  if (form !== 0) {
    visitList(unit, form, values[Slot.ranges]!, visit);
    return;
  }
  const low = forms[Slot.lowPc]!;
  const high = forms[Slot.highPc]!;
  if (low === 0 || high === 0) return;
  const length = values[Slot.highPc]!;
  const start = addressOf(unit, low, values[Slot.lowPc]!);
  tell(start, isAddress(high) ? addressOf(unit, high, length) : start + length, visit);
}

function isAddress(form: number): boolean {
  return (
    form === Form.addr ||
    form === Form.addrx ||
    (form >= Form.addrx1 && form <= Form.addrx4) ||
    form === Form.gnuAddrIndex
  );
}

/** Nothing is loaded at 0 or 1, where the ELF header is. */
function tell(start: number, end: number, visit: RangeVisitor): void {
  if (start > 1 && end > start && end <= Number.MAX_SAFE_INTEGER) visit(start, end);
}

function visitList(unit: Unit, form: number, value: number, visit: RangeVisitor): void {
  if (unit.version >= 5) {
    visitRangeList(unit, form === Form.rnglistx ? indexedList(unit, value) : value, visit);
  } else {
    const isSplit = unit.file.suffix !== '';
    visitOldList(unit, isSplit ? value + Math.max(rootOf(unit).gnuRangesBase, 0) : value, visit);
  }
}

function indexedList(unit: Unit, index: number): number {
  const base = rootOf(unit).rangeListsBase;
  const reader = unit.file.reader('.debug_rnglists');
  return base + reader.seek(base + index * unit.offsetSize).word(unit.offsetSize);
}

/** .debug_ranges: pairs relative to a base, which a pair beginning with -1 changes. */
function visitOldList(unit: Unit, at: number, visit: RangeVisitor): void {
  const reader = unit.file.main.reader('.debug_ranges').seek(at);
  const size = unit.addressSize;
  const newBase = size === 8 ? 2 ** 64 : 0xffffffff;
  let base = rootOf(unit).lowPc;
  for (let count = 0; count < MAX_RANGES; count++) {
    const start = reader.word(size);
    const end = reader.word(size);
    if (start === 0 && end === 0) return;
    if (start === newBase) base = end;
    // A discarded function's pair is (1, 1) or (0, size) without its own base.
    else if (start !== end) tell(base + start, base + end, visit);
  }
  throw new ParseError('range_lists', 'a list of ranges without end');
}

function visitRangeList(unit: Unit, start: number, visit: RangeVisitor): void {
  const reader = unit.file.reader('.debug_rnglists');
  const size = unit.addressSize;
  let base = rootOf(unit).lowPc;
  let at = start;
  for (let count = 0; count < MAX_RANGES; count++) {
    // The tables of addresses have readers of their own: this one keeps its place.
    const kind = reader.seek(at).u8();
    let from = 0;
    let to = -1;
    switch (kind) {
      case Kind.end:
        return;
      case Kind.baseIndex:
        base = indexedAddress(unit, reader.uleb());
        break;
      case Kind.startIndexEndIndex:
        from = indexedAddress(unit, reader.uleb());
        to = indexedAddress(unit, reader.uleb());
        break;
      case Kind.startIndexLength:
        from = indexedAddress(unit, reader.uleb());
        to = from + reader.uleb();
        break;
      case Kind.offsetPair:
        from = base + reader.uleb();
        to = base + reader.uleb();
        break;
      case Kind.base:
        base = reader.word(size);
        break;
      case Kind.startEnd:
        from = reader.word(size);
        to = reader.word(size);
        break;
      case Kind.startLength:
        from = reader.word(size);
        to = from + reader.uleb();
        break;
      default:
        throw new ParseError('range_lists', `an entry of kind ${kind}`);
    }
    at = reader.at;
    tell(from, to, visit);
  }
  throw new ParseError('range_lists', 'a list of ranges without end');
}
