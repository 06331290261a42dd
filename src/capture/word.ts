/** Words of 64 bits in records. */

/** A little-endian u64; exact below 2^53, where every user address and time lies. */
export function readWord(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}
