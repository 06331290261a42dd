/**
 * The call tree of `src/profile/flame-tree.ts` as the page receives it, checked
 * before anything trusts it: the JSON may come from a saved file, so its indices
 * and numbers are not believed.
 */

export interface Frame {
  readonly name: string;
  /** For boxes: `name` where nothing can be left out. */
  readonly short: string;
  /** A `FrameType` of the profile model, 'root', 'process' or 'thread'. */
  readonly type: string;
  /** Binary or package the code lives in, '' = not known. */
  readonly module: string;
  readonly file: string;
  /** 1-based, 0 = not known. */
  readonly line: number;
  /** A call that exists only in debug information. */
  readonly inlined: boolean;
}

/** Counts of samples; see `Tally` of the profile model. */
export interface TallyView {
  readonly taken: number;
  readonly exported: number;
  readonly lost: Readonly<Record<string, number>>;
  readonly truncated: Readonly<Record<string, number>>;
  readonly deferred: Readonly<Record<string, number>>;
  readonly framesNamed: number;
  readonly framesUnnamed: number;
  readonly eventsLost: Readonly<Record<string, number>>;
  readonly problems: Readonly<Record<string, number>>;
  readonly timingMs: Readonly<Record<string, number>>;
}

/** The checked tree. `total` of every node is recomputed from `self`. */
export interface Tree {
  readonly unit: string;
  readonly periodNs: number;
  /** 0 = not known. */
  readonly durationNs: number;
  /** Milliseconds since 1970, 0 = not known. */
  readonly startTimeMs: number;
  readonly host: string;
  readonly title: string;
  readonly tally: TallyView;
  readonly frames: readonly Frame[];
  readonly length: number;
  readonly frame: Uint32Array;
  /** Index of the parent; the root's is 0. */
  readonly parent: Uint32Array;
  readonly self: Float64Array;
  readonly total: Float64Array;
}

export class TreeError extends Error {
  override readonly name = 'TreeError';
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

const count = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0;

function counts(value: unknown): Record<string, number> {
  const result: Record<string, number> = Object.create(null);
  if (isRecord(value)) {
    for (const [reason, samples] of Object.entries(value)) result[reason] = count(samples);
  }
  return result;
}

function readFrame(value: unknown): Frame {
  const frame = isRecord(value) ? value : {};
  return {
    name: text(frame.name),
    short: text(frame.short) || text(frame.name),
    type: text(frame.type),
    module: text(frame.module),
    file: text(frame.file),
    line: count(frame.line),
    inlined: frame.inlined === true,
  };
}

export function readTally(value: unknown): TallyView {
  const tally = isRecord(value) ? value : {};
  return {
    taken: count(tally.taken),
    exported: count(tally.exported),
    lost: counts(tally.lost),
    truncated: counts(tally.truncated),
    deferred: counts(tally.deferred),
    framesNamed: count(tally.framesNamed),
    framesUnnamed: count(tally.framesUnnamed),
    eventsLost: counts(tally.eventsLost),
    problems: counts(tally.problems),
    timingMs: counts(tally.timingMs),
  };
}

/** Throws TreeError when the shape cannot be drawn. */
export function readTree(value: unknown): Tree {
  if (!isRecord(value)) throw new TreeError('the profile is not an object');
  const nodes = value.nodes;
  const rawFrames = value.frames;
  if (!isRecord(nodes) || !Array.isArray(rawFrames)) {
    throw new TreeError('the profile has no nodes or no frames');
  }
  const { frame, parent, self } = nodes;
  if (!Array.isArray(frame) || !Array.isArray(parent) || !Array.isArray(self)) {
    throw new TreeError('the columns of the profile are not lists');
  }
  const length = frame.length;
  if (length === 0 || parent.length !== length || self.length !== length) {
    throw new TreeError('the columns of the profile differ in length');
  }
  const frames = rawFrames.map(readFrame);
  const tree = {
    unit: text(value.unit) || 'samples',
    periodNs: count(value.periodNs),
    durationNs: count(value.durationNs),
    startTimeMs: count(value.startTimeMs),
    host: text(value.host),
    title: text(value.title),
    tally: readTally(value.tally),
    frames,
    length,
    frame: new Uint32Array(length),
    parent: new Uint32Array(length),
    self: new Float64Array(length),
    total: new Float64Array(length),
  };
  for (let node = 0; node < length; node++) {
    const frameIndex: unknown = frame[node];
    const parentIndex: unknown = parent[node];
    if (!Number.isInteger(frameIndex) || !frames[frameIndex as number]) {
      throw new TreeError(`node ${node} has no frame`);
    }
    // A parent that does not come first would make every walk over the tree endless.
    const before = Number.isInteger(parentIndex) && (parentIndex as number) < node;
    if (node > 0 && !(before && (parentIndex as number) >= 0)) {
      throw new TreeError(`node ${node} comes before its parent`);
    }
    tree.frame[node] = frameIndex as number;
    tree.parent[node] = node === 0 ? 0 : (parentIndex as number);
    tree.self[node] = count(self[node]);
  }
  addUp(tree.parent, tree.self, tree.total);
  return tree;
}

/** Fills `total` from `self`, given parents before children. */
export function addUp(
  parent: ArrayLike<number>,
  self: ArrayLike<number>,
  total: Float64Array,
): void {
  for (let node = self.length - 1; node >= 0; node--) {
    total[node]! += self[node]!;
    if (node > 0) total[parent[node]!]! += total[node]!;
  }
}
