/** Search in sorted columns. */

/**
 * Index of the last of the first `length` values that is at most `value`, -1
 * when all are greater. Of equal values the last one is found.
 */
export function lastAtMost(
  column: Float64Array | Uint32Array,
  length: number,
  value: number,
): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (column[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
