/** Steps among frames for the keyboard. All answer a node index. */
import { childrenOf, type View } from './view.ts';

/** The largest child, the node itself when it has none. */
export function intoChild(view: View, node: number): number {
  let best = node;
  let most = 0;
  for (const child of childrenOf(view, node)) {
    if (view.total[child]! > most) {
      most = view.total[child]!;
      best = child;
    }
  }
  return best;
}

/** Neighbour in the same row inside the subtree of `within` (or among its ancestors: the node itself). */
export function alongRow(view: View, node: number, within: number, step: 1 | -1): number {
  if (node <= within) return node;
  const depth = view.depth[node]!;
  if (step === 1) {
    for (let next = view.end[node]!; next < view.end[within]!; next++) {
      if (view.depth[next] === depth) return next;
    }
    return node;
  }
  for (let next = node - 1; next > within; next--) {
    if (view.depth[next] === depth) return next;
  }
  return node;
}

/** First or last of the node's row inside the subtree of `within`. */
export function rowEnd(view: View, node: number, within: number, step: 1 | -1): number {
  const depth = view.depth[node]!;
  const [from, to] = step === 1 ? [view.end[within]! - 1, within] : [within, view.end[within]! - 1];
  for (let next = from; next !== to; next -= step) {
    if (view.depth[next] === depth) return next;
  }
  return node;
}

/** 1-based place among its siblings, and how many they are. */
export function placeAmongSiblings(view: View, node: number): { place: number; of: number } {
  if (node === 0) return { place: 1, of: 1 };
  const siblings = childrenOf(view, view.parent[node]!);
  return { place: siblings.indexOf(node) + 1, of: siblings.length };
}
