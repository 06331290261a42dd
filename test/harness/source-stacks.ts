/** Stacks as a reader of source code sees them: function, file and line, inlined calls included. */
import type { JsonSample } from './chains.ts';

export interface SourceFrame {
  /** Without scopes, types and parameters, which tools print differently. */
  readonly name: string;
  /** `file:line`, without folders. */
  readonly place: string;
  /** It exists only in debug information. */
  readonly inlined: boolean;
}

/** User frames of one sample, leaf first. */
export interface SourceStack {
  readonly frames: readonly SourceFrame[];
  readonly count: number;
}

/** Arguments of `perf script` whose output `parsePerfSource` reads. */
export const PERF_SOURCE_FIELDS = ['--inline', '-F', 'comm,pid,tid,ip,sym,dso,srcline'];

/** `shop::Cart<int>::total(int) const` → `total`. */
export function plainName(name: string): string {
  let text = name
    .replaceAll(/\[(?:clone|abi:)[^\]]*\]/g, '')
    .replaceAll('(anonymous namespace)', '')
    .replace(/::h[0-9a-f]{16}$/, '')
    .replace(/^__GI_+/, '')
    .replaceAll(/\{lambda\(.*?\)#\d+\}/g, 'lambda')
    .replaceAll(/\{\{?closure(?:#\d+)?\}?\}/g, 'closure')
    .replaceAll('operator()', 'operator_call')
    .replaceAll(/operator(?:<=>|<<|>>|->|<=|>=|<|>)/g, 'operator_sign');
  for (let before = ''; before !== text; ) {
    before = text;
    text = text.replaceAll(/<[^<>]*>/g, '').replaceAll(/\([^()]*\)/g, '');
  }
  // glibc's names for its own use have more or fewer underscores.
  return /[^:\s]*$/.exec(text.trim().replace(/ const$/, ''))![0].replace(/^_+/, '');
}

function sourceFrame(name: string, file: string, line: number, inlined: boolean): SourceFrame {
  const known = file === '??' || line === 0 ? '' : file.slice(file.lastIndexOf('/') + 1);
  return { name: plainName(name), place: `${known}:${line}`, inlined };
}

const NO_PLACE = ':0';

/** From a profile in our JSON. */
export function sourceStacks(samples: readonly JsonSample[]): SourceStack[] {
  return samples.map(({ stack, count }) => ({
    frames: stack
      .filter(({ type }) => type !== 'kernel' && type !== 'marker')
      .map(({ name, file, line, inlined }) => sourceFrame(name, file, line, inlined)),
    count,
  }));
}

/**
 * From `perf script` with PERF_SOURCE_FIELDS: below each frame stands its source
 * line. perf 6.1 asks addr2line, which names the leaf like the enclosing function
 * where an inlined call begins (llvm-symbolizer does not): such a leaf has name ''.
 */
export function parsePerfSource(text: string): SourceStack[] {
  return text.split('\n\n').flatMap((block): SourceStack[] => {
    const frames: SourceFrame[] = [];
    const addresses: string[] = [];
    const lines = block.split('\n');
    for (let i = 1; i < lines.length; i++) {
      const match = /^\s+([0-9a-f]+) (.+)$/.exec(lines[i]!);
      if (!match || match[1]!.startsWith('ffffffff')) continue;
      const below = /^ {2}(\S+):(\d+)( \(inlined\))?$/.exec(lines[i + 1] ?? '');
      const name = match[2]!.replace(/ \([^()]*\)$/, '');
      const inlined = below?.[3] !== undefined;
      addresses.push(match[1]!);
      frames.push(sourceFrame(name, below?.[1] ?? '', Number(below?.[2] ?? 0), inlined));
    }
    const [leaf] = frames;
    if (leaf && !leaf.inlined && addresses[0] === addresses[1]) {
      frames[0] = { ...leaf, name: '', inlined: true };
    }
    return frames.length === 0 ? [] : [{ frames, count: 1 }];
  });
}

/** The part from the leaf to the first `root`; stacks that do not reach it are left out. */
export function upTo(stacks: readonly SourceStack[], root: string): SourceStack[] {
  return stacks.flatMap(({ frames, count }) => {
    const end = frames.findIndex(({ name }) => name === root);
    return end < 0 ? [] : [{ frames: frames.slice(0, end + 1), count }];
  });
}

/** Counts by what `key` makes of a stack. */
export function countBy(
  stacks: readonly SourceStack[],
  key: (frames: readonly SourceFrame[]) => string,
): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { frames, count } of stacks) {
    const text = key(frames);
    counts.set(text, (counts.get(text) ?? 0) + count);
  }
  return counts;
}

/** The function whose code runs, which inlined calls are part of. */
const ownerOf = (frames: readonly SourceFrame[]): SourceFrame | undefined =>
  frames.find(({ inlined }) => !inlined);

/** Names and lines of all frames; of the leaf only its line. */
const stackText = (frames: readonly SourceFrame[]): string =>
  frames.map(({ name, place }, i) => (i === 0 ? place : `${name} ${place}`)).join(' < ');

export interface Disagreement {
  readonly what: string;
  readonly ours: number;
  readonly theirs: number;
}

export interface SourceComparison {
  readonly ours: number;
  readonly theirs: number;
  /** Different stacks that are heavy in either, and so must be in both. */
  readonly heavy: number;
  /** Heavy ones with an inlined call. */
  readonly heavyInlined: number;
  readonly disagreements: readonly Disagreement[];
}

/** A stack that should have this many samples has none once in 10^11 comparisons. */
const SURELY_SEEN = 25;
/** Two shares differ by chance this much once in 10^9 comparisons. */
const SIGMAS = 6;

/**
 * Two profiles of one program at the same time: each heavy stack must be in
 * both, frame by frame, and self time per line and per function must differ by
 * chance only.
 */
export function compareSources(
  ours: readonly SourceStack[],
  theirs: readonly SourceStack[],
): SourceComparison {
  const totals = [totalOf(ours), totalOf(theirs)] as const;
  const disagreements: Disagreement[] = [];
  const stacks = pair(countBy(ours, stackText), countBy(theirs, stackText));
  const inlined = new Set(
    [...ours, ...theirs].filter(({ frames }) => frames[0]?.inlined).map((s) => stackText(s.frames)),
  );
  let [heavy, heavyInlined] = [0, 0];
  for (const [what, [a, b]] of stacks) {
    const isHeavy =
      (a * totals[1]) / totals[0] >= SURELY_SEEN || (b * totals[0]) / totals[1] >= SURELY_SEEN;
    if (!isHeavy) continue;
    heavy++;
    if (inlined.has(what)) heavyInlined++;
    if (a === 0 || b === 0) disagreements.push({ what, ours: a, theirs: b });
  }
  const line = (frames: readonly SourceFrame[]) => `line ${frames[0]!.place}`;
  const owner = (frames: readonly SourceFrame[]) => `function ${ownerOf(frames)?.name}`;
  for (const key of [line, owner]) {
    for (const [what, [a, b]] of pair(countBy(ours, key), countBy(theirs, key))) {
      const share = (a + b) / (totals[0] + totals[1]);
      const deviation = Math.sqrt(share * (1 - share) * (1 / totals[0] + 1 / totals[1]));
      if (Math.abs(a / totals[0] - b / totals[1]) > SIGMAS * deviation) {
        disagreements.push({ what, ours: a, theirs: b });
      }
    }
  }
  disagreements.push(...leafNames(ours, theirs));
  return { ours: totals[0], theirs: totals[1], heavy, heavyInlined, disagreements };
}

/** Leaves that both have, under names of which none is the same. */
function leafNames(ours: readonly SourceStack[], theirs: readonly SourceStack[]): Disagreement[] {
  const known = new Map<string, Set<string>>();
  for (const { frames } of theirs) {
    // Without a line it says nothing of where in the code the leaf is.
    if (frames[0]!.name === '' || frames[0]!.place === NO_PLACE) continue;
    const names = known.get(stackText(frames)) ?? new Set();
    known.set(stackText(frames), names.add(frames[0]!.name));
  }
  return ours.flatMap(({ frames, count }) => {
    const names = known.get(stackText(frames));
    const { name } = frames[0]!;
    if (!names || names.has(name)) return [];
    return [{ what: `${name} is ${[...names]}: ${stackText(frames)}`, ours: count, theirs: 0 }];
  });
}

const totalOf = (stacks: readonly SourceStack[]): number =>
  stacks.reduce((sum, { count }) => sum + count, 0);

function pair(
  ours: ReadonlyMap<string, number>,
  theirs: ReadonlyMap<string, number>,
): Map<string, readonly [ours: number, theirs: number]> {
  const pairs = new Map<string, readonly [number, number]>();
  for (const key of new Set([...ours.keys(), ...theirs.keys()])) {
    pairs.set(key, [ours.get(key) ?? 0, theirs.get(key) ?? 0]);
  }
  return pairs;
}
