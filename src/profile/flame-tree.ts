/**
 * The call tree that a flame graph draws, as compact columns. This is also the
 * JSON that the flame graph page and the viewer read; its shape:
 *
 * ```json
 * {
 *   "title": "flametap record --pid 42",
 *   "unit": "samples",
 *   "periodNs": 10101010,
 *   "durationNs": 10000000000,
 *   "startTimeMs": 1790000000000,
 *   "host": "web-1",
 *   "total": 120,
 *   "frames": [
 *     { "name": "all", "type": "root", "module": "", "file": "", "line": 0 },
 *     { "name": "nginx", "type": "process", "module": "", "file": "", "line": 0 },
 *     { "name": "main(int, char**)", "short": "main", "type": "native", "module": "/usr/sbin/nginx", "file": "nginx.c", "line": 196 }
 *   ],
 *   "nodes": {
 *     "frame":  [0, 1, 2],
 *     "parent": [-1, 0, 1],
 *     "self":   [0, 0, 120],
 *     "total":  [120, 120, 120]
 *   },
 *   "tally": { "taken": 121, "exported": 120, "lost": { "ring_full": 1 }, "…": "Tally of model.ts, whole" }
 * }
 * ```
 *
 * - Node i is entry i of the four arrays in `nodes`, which are equally long.
 *   Node 0 is the root, `all`; its parent is -1 and its total is `total`.
 * - Nodes come level by level: a parent before its children, the children of
 *   one parent adjacent and sorted by name (UTF-16 code units, then type,
 *   module, file, line, inlined). So `parent` never decreases.
 * - `self` and `total` count samples; self + totals of the children = total.
 *   Time is samples x `periodNs`. Totals are positive except for a root alone.
 * - Level 1 is processes, merged by name (type `process`); with the `threads`
 *   option level 2 is threads (type `thread`). Then frames, outermost first;
 *   inlined calls are frames of their own. A cut stack has its marker (type
 *   `marker`) outermost, right below the process or thread.
 * - `inlined` is true for calls that exist only in debug information, absent
 *   otherwise: a function that is both has two frames.
 * - `short` is for narrow places, absent where it equals `name`.
 * - `frames` are unique. Other types are those of `FrameType`. `module` is the
 *   path of the binary or `[kernel]`, `[vdso]`, `[anon]`; `file` is the source
 *   file; '' = not known. `line` is the first line of the function, or with
 *   `lines: true` the line that ran (frames are then told apart by it); 0 = not known.
 * - All names come from the machine and are hostile: put them into a page as
 *   text, never as HTML. Names may hold any character, also newlines.
 */
import { framesOf, processText } from './frame.ts';
import type { FrameType, Process, Profile, Tally } from './model.ts';

export interface FlameFrame {
  readonly name: string;
  readonly short?: string;
  readonly type: FrameType | 'root' | 'process' | 'thread';
  readonly module: string;
  readonly file: string;
  readonly line: number;
  /** Present for calls that exist only in debug information. */
  readonly inlined?: true;
}

export interface FlameNodes {
  /** Index into `FlameTree.frames`. */
  readonly frame: readonly number[];
  /** Index of the parent node; -1 for the root. */
  readonly parent: readonly number[];
  /** Samples that ended in this frame. */
  readonly self: readonly number[];
  /** Samples that went through this frame. */
  readonly total: readonly number[];
}

export interface FlameTree {
  readonly title: string;
  readonly unit: 'samples';
  /** CPU time one sample stands for. */
  readonly periodNs: number;
  readonly durationNs: number;
  /** Milliseconds since 1970, for `new Date()`. */
  readonly startTimeMs: number;
  readonly host: string;
  /** Samples in the tree: fewer than `tally.exported` when filtered. */
  readonly total: number;
  readonly frames: readonly FlameFrame[];
  readonly nodes: FlameNodes;
  readonly tally: Tally;
}

export interface FlameTreeOptions {
  readonly title?: string;
  /** Keeps only samples of these processes. */
  readonly process?: (process: Process) => boolean;
  /** Counts time in the kernel for the user function that called it. */
  readonly hideKernel?: boolean;
  /** A level of threads below the processes. */
  readonly threads?: boolean;
  /** Tells lines of one function apart. */
  readonly lines?: boolean;
}

export function buildFlameTree(profile: Profile, options: FlameTreeOptions = {}): FlameTree {
  const frames = new FrameTable();
  const stacks = new StackFrames(profile, frames, options);
  const tree = new GrowingTree(frames.id({ ...noCode, name: 'all', type: 'root' }));
  const processFrames = profile.processes.map((process) =>
    options.process === undefined || options.process(process)
      ? frames.id({ ...noCode, name: processText(process), type: 'process' })
      : -1,
  );
  const { samples } = profile;
  let total = 0;
  for (let row = 0; row < samples.length; row++) {
    const process = processFrames[samples.process[row]!]!;
    if (process < 0) continue;
    const count = samples.count[row]!;
    let node = tree.child(0, process);
    if (options.threads) {
      const name = profile.threads[samples.thread[row]!] || '[thread]';
      node = tree.child(node, frames.id({ ...noCode, name, type: 'thread' }));
    }
    for (const frame of stacks.outermostFirst(samples.stack[row]!)) node = tree.child(node, frame);
    tree.addSelf(node, count);
    total += count;
  }
  return {
    title: options.title ?? '',
    unit: 'samples',
    periodNs: profile.period,
    durationNs: profile.duration,
    startTimeMs: Number(profile.startTime / 1_000_000n),
    host: profile.host,
    total,
    frames: frames.list,
    nodes: tree.inLevels(frames.ranks()),
    tally: profile.tally,
  };
}

/**
 * The tree as JSON text that is safe inside a `<script type="application/json">`
 * element: `<` cannot close the element, and U+2028/U+2029 and lone surrogates
 * are escaped.
 */
export function flameTreeJson(tree: FlameTree): string {
  return JSON.stringify(tree).replace(
    /[<\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

const noCode = { module: '', file: '', line: 0 } as const;

class FrameTable {
  readonly list: FlameFrame[] = [];
  readonly #ids = new Map<string, number>();

  id(frame: FlameFrame): number {
    // JSON text keeps the fields apart whatever characters a name holds.
    const { name, type, module, file, line, inlined } = frame;
    const key = JSON.stringify([name, type, module, file, line, inlined]);
    let id = this.#ids.get(key);
    if (id === undefined) {
      id = this.list.length;
      this.list.push(frame);
      this.#ids.set(key, id);
    }
    return id;
  }

  /** Position of each frame in the order of siblings. */
  ranks(): Uint32Array {
    const order = this.list.map((_, id) => id);
    order.sort((a, b) => compareFrames(this.list[a]!, this.list[b]!));
    const ranks = new Uint32Array(order.length);
    order.forEach((id, rank) => {
      ranks[id] = rank;
    });
    return ranks;
  }
}

function compareFrames(a: FlameFrame, b: FlameFrame): number {
  return (
    compareText(a.name, b.name) ||
    compareText(a.type, b.type) ||
    compareText(a.module, b.module) ||
    compareText(a.file, b.file) ||
    a.line - b.line ||
    Number(a.inlined ?? false) - Number(b.inlined ?? false)
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Frame ids of each stack, worked out once per stack. */
class StackFrames {
  readonly #profile: Profile;
  readonly #frames: FrameTable;
  readonly #options: FlameTreeOptions;
  readonly #locations = new Map<number, readonly number[]>();
  readonly #stacks = new Map<number, Uint32Array>();

  constructor(profile: Profile, frames: FrameTable, options: FlameTreeOptions) {
    this.#profile = profile;
    this.#frames = frames;
    this.#options = options;
  }

  outermostFirst(stack: number): Uint32Array {
    let ids = this.#stacks.get(stack);
    if (ids === undefined) {
      const leafFirst: number[] = [];
      for (const location of this.#profile.stacks[stack]!) {
        for (const id of this.#location(location)) leafFirst.push(id);
      }
      ids = Uint32Array.from(leafFirst).reverse();
      this.#stacks.set(stack, ids);
    }
    return ids;
  }

  #location(index: number): readonly number[] {
    let ids = this.#locations.get(index);
    if (ids === undefined) {
      const location = this.#profile.locations[index]!;
      const hidden = this.#options.hideKernel && location.type === 'kernel';
      ids = (hidden ? [] : framesOf(this.#profile, location)).map((frame) =>
        this.#frames.id({
          name: frame.name,
          ...(frame.shortName === frame.name ? {} : { short: frame.shortName }),
          type: frame.type,
          module: frame.module,
          file: frame.file,
          line: this.#options.lines ? frame.line : frame.startLine,
          ...(frame.inlined ? { inlined: true } : {}),
        }),
      );
      this.#locations.set(index, ids);
    }
    return ids;
  }
}

/** A tree in the order in which its nodes were met. */
class GrowingTree {
  readonly #frame: number[];
  readonly #parent: number[] = [-1];
  readonly #self: number[] = [0];
  /** By node, then by frame; leaves have no map. */
  readonly #children: (Map<number, number> | undefined)[] = [undefined];

  constructor(rootFrame: number) {
    this.#frame = [rootFrame];
  }

  child(parent: number, frame: number): number {
    let children = this.#children[parent];
    if (children === undefined) {
      children = new Map();
      this.#children[parent] = children;
    }
    let node = children.get(frame);
    if (node === undefined) {
      node = this.#frame.length;
      this.#frame.push(frame);
      this.#parent.push(parent);
      this.#self.push(0);
      this.#children.push(undefined);
      children.set(frame, node);
    }
    return node;
  }

  addSelf(node: number, count: number): void {
    this.#self[node]! += count;
  }

  inLevels(ranks: Uint32Array): FlameNodes {
    const length = this.#frame.length;
    const totals = Array.from(this.#self);
    for (let node = length - 1; node > 0; node--) totals[this.#parent[node]!]! += totals[node]!;

    const order = [0];
    const parent = [-1];
    for (let at = 0; at < order.length; at++) {
      const children = [...(this.#children[order[at]!] ?? [])];
      children.sort(([a], [b]) => ranks[a]! - ranks[b]!);
      for (const [, node] of children) {
        order.push(node);
        parent.push(at);
      }
    }
    return {
      frame: order.map((node) => this.#frame[node]!),
      parent,
      self: order.map((node) => this.#self[node]!),
      total: order.map((node) => totals[node]!),
    };
  }
}
