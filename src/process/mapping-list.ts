/** The executable mappings of one process, sorted, as a persistent value. */
import type { ProcessAddress } from '../units/units.ts';
import type { RawMapping } from './maps.ts';

/** A mapping and what is mapped there. Immutable: lists share them. */
export interface Mapped<What> {
  readonly start: ProcessAddress;
  readonly end: ProcessAddress;
  readonly raw: RawMapping;
  readonly what: What;
}

/** Index of the last mapping that starts at or below `address`, -1 when there is none. */
export function lastStartingAt<What>(
  list: readonly Mapped<What>[],
  address: ProcessAddress,
): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list[middle]!.start <= address) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export function findMapping<What>(
  list: readonly Mapped<What>[],
  address: ProcessAddress,
): Mapped<What> | undefined {
  const found = list[lastStartingAt(list, address)];
  return found !== undefined && address < found.end ? found : undefined;
}

/**
 * A new list with `added` in place of whatever it overlaps; parts that stick
 * out keep their old content. Returns the same list when nothing changes.
 */
export function insertMapping<What>(
  list: readonly Mapped<What>[],
  added: Mapped<What>,
): readonly Mapped<What>[] {
  let from = lastStartingAt(list, added.start);
  if (from < 0 || list[from]!.end <= added.start) from++;
  let to = from;
  while (to < list.length && list[to]!.start < added.end) to++;
  if (to === from + 1) {
    const only = list[from]!;
    if (only.start <= added.start && only.end >= added.end && continues(only, added)) return list;
  }
  const pieces: Mapped<What>[] = [];
  const first = list[from];
  if (to > from && first!.start < added.start) pieces.push(head(first!, added.start));
  pieces.push(added);
  const last = list[to - 1];
  if (to > from && last!.end > added.end) pieces.push(tail(last!, added.end));
  return [...list.slice(0, from), ...pieces, ...list.slice(to)];
}

/** Same thing at the same place: a file mapped anew may lie at another offset. */
function continues<What>(old: Mapped<What>, added: Mapped<What>): boolean {
  if (old.what !== added.what) return false;
  // Memory without a file has no offset to speak of: sources fill it in differently.
  if (old.raw.inode === 0n && added.raw.inode === 0n) return true;
  return old.start - old.raw.offset === added.start - added.raw.offset;
}

/** The part up to `end`. */
function head<What>(mapping: Mapped<What>, end: ProcessAddress): Mapped<What> {
  return { ...mapping, end, raw: { ...mapping.raw, end } };
}

/** The part from `start` on; its file offset moves along. */
function tail<What>(mapping: Mapped<What>, start: ProcessAddress): Mapped<What> {
  const offset = mapping.raw.offset + (start - mapping.start);
  return {
    ...mapping,
    start,
    raw: { ...mapping.raw, start, offset: offset as RawMapping['offset'] },
  };
}
