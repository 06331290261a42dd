/** Readings over time, and whether they stay where they are. */

export interface Series {
  readonly name: string;
  readonly unit: 'MiB' | '';
  readonly values: readonly number[];
}

export interface Flatness {
  /** Medians of the second quarter and of the last one. */
  readonly early: number;
  readonly late: number;
  /** Of the early one; positive = it grew. */
  readonly change: number;
  /** Per hour, of the last three quarters, by the median of all slopes (Theil and Sen). */
  readonly perHour: number;
}

/** A peak, or one reading in the middle of a collection, decides nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >>> 1;
  if (sorted.length === 0) return 0;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * The first quarter is not looked at: files are read, tables and caches fill.
 * @param secondsBetween readings
 */
export function flatness(values: readonly number[], secondsBetween: number): Flatness {
  const quarter = Math.floor(values.length / 4);
  const early = median(values.slice(quarter, 2 * quarter));
  const late = median(values.slice(-quarter));
  const slopes: number[] = [];
  for (let a = quarter; a < values.length; a++) {
    for (let b = a + 1; b < values.length; b++) slopes.push((values[b]! - values[a]!) / (b - a));
  }
  return {
    early,
    late,
    change: early === 0 ? 0 : late / early - 1,
    perHour: (median(slopes) * 3600) / secondsBetween,
  };
}
