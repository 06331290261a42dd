/** Counts of what was refused, of several sources together. */

/** Adds counts by reason. */
export function addProblems(
  target: Record<string, number>,
  problems: ReadonlyMap<string, number>,
): void {
  for (const [reason, count] of problems) target[reason] = (target[reason] ?? 0) + count;
}
