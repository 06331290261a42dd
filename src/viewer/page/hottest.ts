/** The view summed up by function: the table next to the graph. */
import type { View } from './view.ts';

export interface FunctionRow {
  /** Index into `View.frames`. */
  readonly frame: number;
  readonly self: number;
  /** Recursion counted once. */
  readonly total: number;
}

export type SortKey = 'self' | 'total' | 'name';

/** Rows of all functions; the root, processes and markers are not functions. */
export function hottestFunctions(view: View): FunctionRow[] {
  const self = new Float64Array(view.frames.length);
  const total = new Float64Array(view.frames.length);
  // End of the outermost activation of each frame that we are inside of.
  const until = new Uint32Array(view.frames.length);
  for (let node = 1; node < view.length; node++) {
    const frame = view.frame[node]!;
    self[frame]! += view.self[node]!;
    if (node < until[frame]!) continue;
    total[frame]! += view.total[node]!;
    until[frame] = view.end[node]!;
  }
  const rows: FunctionRow[] = [];
  for (let frame = 0; frame < view.frames.length; frame++) {
    const type = view.frames[frame]!.type;
    if (total[frame] === 0 || type === 'process' || type === 'marker' || type === 'root') continue;
    rows.push({ frame, self: self[frame]!, total: total[frame]! });
  }
  return rows;
}

export function sortRows(view: View, rows: readonly FunctionRow[], key: SortKey): FunctionRow[] {
  const name = (row: FunctionRow) => view.frames[row.frame]!.name;
  const byName = (a: FunctionRow, b: FunctionRow) =>
    name(a) < name(b) ? -1 : name(a) > name(b) ? 1 : 0;
  return [...rows].sort((a, b) => {
    if (key === 'name') return byName(a, b);
    const [first, second] =
      key === 'self' ? (['self', 'total'] as const) : (['total', 'self'] as const);
    return b[first] - a[first] || b[second] - a[second] || byName(a, b);
  });
}
