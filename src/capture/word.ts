/** Words of 64 bits in records. */

/**
 * A little-endian u64 as a number: exact below 2^53, where user addresses lie, rounded above
 * it. For what is measured or shown; what identifies is read by readExactWord().
 */
export function readWord(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}

/** A little-endian u64, every bit of it. */
export function readExactWord(view: DataView, at: number): bigint {
  return view.getBigUint64(at, true);
}
