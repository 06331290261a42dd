/**
 * What is drawn: the tree after filters, its nodes in drawing order (parent,
 * then each child with its whole subtree), with the place of each on the x axis.
 */
import type { Frame, Tree } from './tree.ts';
import { addUp } from './tree.ts';

export interface ViewOptions {
  readonly hideKernel: boolean;
  /** Names of the processes to keep, null = all. */
  readonly processes: ReadonlySet<string> | null;
  /** Leaves the process level out, so that equal stacks of all processes fall together. */
  readonly mergeProcesses: boolean;
  /** Leaves first, callers below them. */
  readonly inverted: boolean;
  readonly order: 'size' | 'name';
}

export interface View {
  readonly frames: readonly Frame[];
  readonly length: number;
  readonly frame: Uint32Array;
  /** Node index; the root's is 0. */
  readonly parent: Uint32Array;
  /** The root is 0. */
  readonly depth: Uint32Array;
  readonly self: Float64Array;
  readonly total: Float64Array;
  /** Left edge in samples from the root's left edge. */
  readonly start: Float64Array;
  /** First node index after the subtree. */
  readonly end: Uint32Array;
  readonly maxDepth: number;
}

export const defaultOptions: ViewOptions = {
  hideKernel: false,
  processes: null,
  mergeProcesses: false,
  inverted: false,
  order: 'size',
};

/**
 * Inverting can multiply nodes by the stack depth. What is below 1/20,000 of the
 * whole is under a quarter of a pixel on a 4K screen, so its callers are left out
 * until the view is filtered to something smaller.
 */
const INVERTED_RESOLUTION = 20_000;

/**
 * Steps from callee to caller that inverting may take, a second or two of work. Real
 * profiles need at most a few million (nodes × depth); made-up ones could ask for billions.
 */
const INVERTED_STEPS = 8_000_000;

class Trie {
  readonly frame: number[] = [];
  readonly parent: number[] = [];
  readonly self: number[] = [];
  readonly #children = new Map<number, number>();
  readonly #frameCount: number;

  constructor(rootFrame: number, frameCount: number) {
    this.#frameCount = frameCount;
    this.#push(rootFrame, 0);
  }

  child(parent: number, frame: number): number {
    // Below 2^53 for any tree that fits in memory: nodes × frames.
    const key = parent * this.#frameCount + frame;
    const known = this.#children.get(key);
    if (known !== undefined) return known;
    const node = this.#push(frame, parent);
    this.#children.set(key, node);
    return node;
  }

  #push(frame: number, parent: number): number {
    this.frame.push(frame);
    this.parent.push(parent);
    this.self.push(0);
    return this.frame.length - 1;
  }
}

function filtered(tree: Tree, options: ViewOptions): Trie {
  const trie = new Trie(tree.frame[0]!, tree.frames.length);
  const target = new Int32Array(tree.length);
  trie.self[0] = tree.self[0]!;
  for (let node = 1; node < tree.length; node++) {
    const frame = tree.frames[tree.frame[node]!]!;
    const parent = target[tree.parent[node]!]!;
    if (parent < 0) {
      target[node] = -1;
      continue;
    }
    let into: number;
    if (frame.type === 'process') {
      if (options.processes && !options.processes.has(frame.name)) {
        target[node] = -1;
        continue;
      }
      into = options.mergeProcesses ? parent : trie.child(parent, tree.frame[node]!);
    } else if (options.hideKernel && frame.type === 'kernel') {
      into = parent;
    } else {
      into = trie.child(parent, tree.frame[node]!);
    }
    target[node] = into;
    trie.self[into]! += tree.self[node]!;
  }
  return trie;
}

interface Caller {
  /** Where this path stands in the forward trie. */
  node: number;
  weight: number;
}

function inverted(trie: Trie, frameCount: number): Trie {
  const result = new Trie(trie.frame[0]!, frameCount);
  let total = 0;
  const leaves: Caller[] = [];
  for (let node = 1; node < trie.self.length; node++) {
    const weight = trie.self[node]!;
    if (weight === 0) continue;
    total += weight;
    leaves.push({ node, weight });
  }
  result.self[0] = trie.self[0]!;
  const least = total / INVERTED_RESOLUTION;
  let steps = INVERTED_STEPS;
  const work: [number, Caller[]][] = [[0, leaves]];
  for (let step = work.pop(); step; step = work.pop()) {
    const [into, callers] = step;
    const groups = new Map<number, Caller[]>();
    for (const caller of callers) {
      const frame = trie.frame[caller.node]!;
      const group = groups.get(frame);
      if (group) group.push(caller);
      else groups.set(frame, [caller]);
    }
    for (const [frame, group] of groups) {
      const node = result.child(into, frame);
      let weights = 0;
      for (const caller of group) weights += caller.weight;
      steps -= group.length;
      if (weights < least || steps < 0) {
        result.self[node]! += weights;
        continue;
      }
      const next: Caller[] = [];
      for (const caller of group) {
        const parent = trie.parent[caller.node]!;
        if (parent === 0) result.self[node]! += caller.weight;
        else next.push({ node: parent, weight: caller.weight });
      }
      if (next.length > 0) work.push([node, next]);
    }
  }
  return result;
}

function childLists(trie: Trie, total: Float64Array, order: ViewOptions['order'], tree: Tree) {
  const lists: number[][] = trie.frame.map(() => []);
  for (let node = 1; node < trie.frame.length; node++) lists[trie.parent[node]!]!.push(node);
  const name = (node: number) => tree.frames[trie.frame[node]!]!.name;
  const byName = (a: number, b: number) => (name(a) < name(b) ? -1 : name(a) > name(b) ? 1 : 0);
  const bySize = (a: number, b: number) => total[b]! - total[a]! || byName(a, b);
  for (const list of lists) {
    if (list.length > 1) list.sort(order === 'size' ? bySize : byName);
  }
  return lists;
}

export function buildView(tree: Tree, options: ViewOptions): View {
  const forward = filtered(tree, options);
  const trie = options.inverted ? inverted(forward, tree.frames.length) : forward;
  const length = trie.frame.length;
  const totals = new Float64Array(length);
  addUp(trie.parent, trie.self, totals);
  const children = childLists(trie, totals, options.order, tree);

  const view = {
    frames: tree.frames,
    length,
    frame: new Uint32Array(length),
    parent: new Uint32Array(length),
    depth: new Uint32Array(length),
    self: new Float64Array(length),
    total: new Float64Array(length),
    start: new Float64Array(length),
    end: new Uint32Array(length),
    maxDepth: 0,
  };
  let next = 0;
  const place = (node: number, parent: number, depth: number, start: number): number => {
    const index = next++;
    view.frame[index] = trie.frame[node]!;
    view.parent[index] = parent;
    view.depth[index] = depth;
    view.self[index] = trie.self[node]!;
    view.total[index] = totals[node]!;
    view.start[index] = start;
    if (depth > view.maxDepth) view.maxDepth = depth;
    return index;
  };
  // An explicit stack: hostile depth must not overflow the engine's own.
  const path: { node: number; index: number; child: number; x: number }[] = [];
  path.push({ node: 0, index: place(0, 0, 0, 0), child: 0, x: 0 });
  while (path.length > 0) {
    const top = path[path.length - 1]!;
    const child = children[top.node]![top.child];
    if (child === undefined) {
      view.end[top.index] = next;
      path.pop();
      continue;
    }
    top.child++;
    const index = place(child, top.index, path.length, top.x);
    path.push({ node: child, index, child: 0, x: top.x });
    top.x += totals[child]!;
  }
  return view;
}

/** What makes a node the same one in another tree of the same program. */
export function frameKey(frame: Frame): string {
  return `${frame.type}\0${frame.name}\0${frame.module}`;
}

/** Keys from the root's child down to the node; [] = the root. */
export function pathOf(view: View, node: number): string[] {
  const keys: string[] = [];
  for (let at = node; at !== 0; at = view.parent[at]!) {
    keys.push(frameKey(view.frames[view.frame[at]!]!));
  }
  return keys.reverse();
}

/** The node at the end of the longest part of the path that this view has. */
export function findPath(view: View, path: readonly string[]): { node: number; whole: boolean } {
  let node = 0;
  for (const key of path) {
    const child = childrenOf(view, node).find(
      (each) => frameKey(view.frames[view.frame[each]!]!) === key,
    );
    if (child === undefined) return { node, whole: false };
    node = child;
  }
  return { node, whole: true };
}

export function childrenOf(view: View, node: number): number[] {
  const children: number[] = [];
  for (let child = node + 1; child < view.end[node]!; child = view.end[child]!)
    children.push(child);
  return children;
}

/** Processes of the tree with their samples, largest first; equal names fall together. */
export function processesOf(tree: Tree): { name: string; total: number }[] {
  const totals = new Map<string, number>();
  for (let node = 1; node < tree.length; node++) {
    const frame = tree.frames[tree.frame[node]!]!;
    if (tree.parent[node] !== 0 || frame.type !== 'process') continue;
    totals.set(frame.name, (totals.get(frame.name) ?? 0) + tree.total[node]!);
  }
  return [...totals]
    .map(([name, total]) => ({ name, total }))
    .sort((a, b) => b.total - a.total || (a.name < b.name ? -1 : 1));
}
