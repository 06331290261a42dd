/** Which nodes are on screen and where, in CSS pixels. Pure, so that it can be timed and tested. */
import type { View } from './view.ts';

export interface Window {
  /** Visible span of the x axis, in samples. */
  readonly x0: number;
  readonly x1: number;
  /** CSS pixels. */
  readonly width: number;
  /** Rows (depths) that can be seen, both included. */
  readonly firstRow: number;
  readonly lastRow: number;
}

export interface Box {
  /** Node index, or -1: several nodes, each too thin to draw. */
  readonly node: number;
  readonly row: number;
  readonly left: number;
  readonly width: number;
}

/** Narrower nodes are not drawn, their children neither. */
export const MIN_WIDTH = 0.5;

export function visibleBoxes(view: View, window: Window): Box[] {
  const boxes: Box[] = [];
  const span = window.x1 - window.x0;
  if (!(span > 0) || !(window.width > 0)) return boxes;
  const scale = window.width / span;
  // Thin neighbours are drawn as one box, so that no time vanishes from sight.
  const crumbs: { left: number; right: number }[] = [];
  const flush = (row: number) => {
    const crumb = crumbs[row];
    if (crumb && crumb.right - crumb.left >= 1 && row >= window.firstRow) {
      boxes.push({ node: -1, row, left: crumb.left, width: crumb.right - crumb.left });
    }
    if (crumb) crumb.left = crumb.right = Number.NEGATIVE_INFINITY;
  };
  let node = 0;
  while (node < view.length) {
    const row = view.depth[node]!;
    const left = (view.start[node]! - window.x0) * scale;
    const width = view.total[node]! * scale;
    if (row > window.lastRow || left + width <= 0 || left >= window.width) {
      node = view.end[node]!;
      continue;
    }
    if (width < MIN_WIDTH) {
      const crumb = crumbs[row];
      if (crumb && Math.abs(crumb.right - left) < 0.01) crumb.right = left + width;
      else {
        flush(row);
        crumbs[row] = { left, right: left + width };
      }
      node = view.end[node]!;
      continue;
    }
    if (row >= window.firstRow) boxes.push({ node, row, left, width });
    node++;
  }
  for (let row = 0; row < crumbs.length; row++) flush(row);
  return boxes;
}

/** The box under a point: `row` and x in CSS pixels. */
export function boxAt(boxes: readonly Box[], row: number, x: number): Box | undefined {
  return boxes.find((box) => box.row === row && x >= box.left && x < box.left + box.width);
}
