/** "Did you mean": the nearest of the known words. */

/** Words further away than this are not what was meant. */
const FURTHEST = 2;

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...b].entries()) {
      const change = (row[j] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(change, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** @returns `; did you mean 'x'?`, or '' when nothing is near */
export function suggestion(word: string, known: readonly string[]): string {
  // Long input cannot be near anything, and the distance costs its square.
  if (word.length > 40) return '';
  const beginning = known.filter((one) => word.length > 1 && one.startsWith(word));
  const near = known
    .map((one) => ({ one, far: distance(word, one) }))
    .filter(({ far }) => far <= FURTHEST)
    .sort((a, b) => a.far - b.far);
  const best = near[0]?.one ?? (beginning.length === 1 ? beginning[0] : undefined);
  return best === undefined ? '' : `; did you mean '${best}'?`;
}
