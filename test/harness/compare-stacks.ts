/**
 * Compares stacks unwound in the kernel, frame by frame, with what elfutils'
 * libdw makes of the same registers and stack bytes (test/reference/unwind.c).
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { REPOSITORY } from './programs.ts';
import type { Frame, RecordedStack } from './recorded-stacks.ts';

/** FT_MAX_USER_FRAMES of bpf/record.h. */
const DEPTH_LIMIT = 1024;
const CACHE = join(REPOSITORY, 'build', 'test-programs');

/** An executable mapping of the process at the time of the samples. */
export interface ExecutableMapping {
  readonly start: bigint;
  readonly end: bigint;
  readonly offset: bigint;
  /** '' for anonymous memory. */
  readonly path: string;
}

/** Executable mappings from the text of /proc/PID/maps. */
export function parseMaps(text: string): ExecutableMapping[] {
  const maps: ExecutableMapping[] = [];
  for (const line of text.split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) ..x. ([0-9a-f]+) \S+ \d+ *(.*)$/.exec(line);
    if (match === null) continue;
    const [, start, end, offset, path] = match;
    maps.push({
      start: BigInt(`0x${start}`),
      end: BigInt(`0x${end}`),
      offset: BigInt(`0x${offset}`),
      path: path ?? '',
    });
  }
  return maps;
}

/** The reference's opinion. */
export interface ReferenceStack {
  readonly frames: readonly Frame[];
  /** `end`, `short`, `no_rules`, `limit` or `error:TEXT`; only `end` means that it saw the root. */
  readonly reason: string;
}

/**
 * What a comparison found:
 * - `equal`: same frames, and both reached the root;
 * - `agrees`: same frames as far as both could see: the reference's copy of the
 *   stack or its rules ended first, or ours has as many frames as it may;
 * - `short`: ours stops before the reference does;
 * - `differs`: a frame differs, or ours goes on where the reference saw the root;
 * - `excluded`: libdw cannot judge: JIT code (`jit`), Go (`go`, no CFI in its
 *   binaries), a mapped file that is gone (`file_gone`).
 */
export type Verdict =
  | { readonly kind: 'equal' | 'agrees' }
  | { readonly kind: 'short' | 'differs'; readonly at: number }
  | { readonly kind: 'excluded'; readonly why: 'jit' | 'go' | 'file_gone' };

export interface Judge {
  /** Is this path a Go binary? */
  readonly isGo: (path: string) => boolean;
  readonly exists: (path: string) => boolean;
}

/** Judges the stack of one sample. Pure; `maps` need not be sorted. */
export function compareStack(
  ours: readonly Frame[],
  reference: ReferenceStack,
  maps: readonly ExecutableMapping[],
  judge: Judge,
): Verdict {
  for (const { address, exact } of [...reference.frames, ...ours]) {
    const inside = exact ? address : address - 1n;
    const map = maps.find((one) => inside >= one.start && inside < one.end);
    if (map === undefined) continue;
    if (map.path === '' || map.path.startsWith('[anon') || map.path.startsWith('//')) {
      return { kind: 'excluded', why: 'jit' };
    }
    if (map.path.startsWith('[')) continue;
    if (!judge.exists(map.path)) return { kind: 'excluded', why: 'file_gone' };
    if (judge.isGo(map.path)) return { kind: 'excluded', why: 'go' };
  }
  const common = Math.min(ours.length, reference.frames.length);
  for (let i = 0; i < common; i++) {
    const [a, b] = [ours[i]!, reference.frames[i]!];
    if (a.address !== b.address || a.exact !== b.exact) return { kind: 'differs', at: i };
  }
  if (ours.length === DEPTH_LIMIT) return { kind: 'agrees' };
  if (ours.length < reference.frames.length) return { kind: 'short', at: ours.length };
  if (reference.reason !== 'end') return { kind: 'agrees' };
  if (ours.length > reference.frames.length) return { kind: 'differs', at: common };
  return { kind: 'equal' };
}

export interface Comparison {
  readonly total: number;
  readonly counts: Readonly<Record<string, number>>;
  /** Share of `equal` and `agrees` among all that were judged; 1 when none was. */
  readonly agreement: number;
  /** The first disagreements, readable. */
  readonly examples: readonly string[];
}

/** Sums verdicts up. `describe(i)` is asked for the text of the first few disagreements only. */
export function summarize(
  verdicts: readonly Verdict[],
  describe: (index: number) => string,
): Comparison {
  const counts: Record<string, number> = {};
  const examples: string[] = [];
  let judged = 0;
  let agreed = 0;
  verdicts.forEach((verdict, index) => {
    const key = verdict.kind === 'excluded' ? `excluded_${verdict.why}` : verdict.kind;
    counts[key] = (counts[key] ?? 0) + 1;
    if (verdict.kind === 'excluded') return;
    judged++;
    if (verdict.kind === 'equal' || verdict.kind === 'agrees') agreed++;
    else if (examples.length < 10) examples.push(describe(index));
  });
  return {
    total: verdicts.length,
    counts,
    agreement: judged === 0 ? 1 : agreed / judged,
    examples,
  };
}

/** Builds the reference unwinder (needs libdw-dev) and returns its path. */
export function buildReference(): string {
  const source = join(import.meta.dirname, '..', 'reference', 'unwind.c');
  const hash = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 16);
  const path = join(CACHE, `reference-${hash}`);
  if (!existsSync(path)) {
    mkdirSync(CACHE, { recursive: true });
    const draft = `${path}.${process.pid}`;
    execFileSync('gcc', ['-O2', '-Wall', '-o', draft, source, '-ldw', '-lelf']);
    renameSync(draft, path);
  }
  return path;
}

/** Path of a file with the image of this kernel's vDSO, the same in every 64-bit process. */
export function vdsoImage(): string {
  const path = join(CACHE, 'vdso.so');
  const map = parseMaps(readFileSync('/proc/self/maps', 'utf8')).find((m) => m.path === '[vdso]');
  if (map === undefined) throw new Error('this process has no vDSO');
  const image = Buffer.alloc(Number(map.end - map.start));
  const memory = openSync('/proc/self/mem', 'r');
  try {
    readSync(memory, image, 0, image.length, map.start);
  } finally {
    closeSync(memory);
  }
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(path, image);
  return path;
}

const hex = (value: bigint): string => value.toString(16);

/** The lines that place a process, for the reference's input. */
export function processLines(pid: number, maps: readonly ExecutableMapping[]): string {
  const vdso = vdsoImage();
  const lines = maps.map(({ start, end, offset, path }) => {
    const file = path === '[vdso]' ? vdso : path === '' ? '[anon]' : path;
    return `map ${hex(start)} ${hex(end)} ${hex(offset)} ${file}`;
  });
  return `process ${pid}\n${lines.join('\n')}\n`;
}

/** The lines of one sample, for the reference's input. */
export function sampleLines(id: number, stack: RecordedStack): string {
  const registers = stack.registers.map(hex).join(' ');
  const bytes = Buffer.from(stack.bytes).toString('hex');
  return `sample ${id}\nregisters ${registers}\nstack ${hex(stack.base)} ${bytes}\n`;
}

/** Parses one line of the reference's output. */
export function parseReferenceLine(line: string): { id: number; stack: ReferenceStack } {
  const words = line.split(' ');
  const frames = words.slice(1, -1).map((word) => ({
    address: BigInt(`0x${word.replace('!', '')}`),
    exact: word.endsWith('!'),
  }));
  return { id: Number(words[0]), stack: { frames, reason: words.at(-1)! } };
}

/** Runs the reference over its input, given in pieces. Result: by sample id. */
export async function runReference(input: Iterable<string>): Promise<Map<number, ReferenceStack>> {
  const child = spawn(buildReference(), { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  const stacks = new Map<number, ReferenceStack>();
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    const { id, stack } = parseReferenceLine(line);
    stacks.set(id, stack);
  });
  for (const piece of input) {
    if (!child.stdin.write(piece)) {
      await new Promise((resolve) => child.stdin.once('drain', resolve));
    }
  }
  child.stdin.end();
  const code = await ended;
  if (code !== 0) throw new Error(`the reference unwinder ended with ${code}`);
  return stacks;
}

function hasGoSection(path: string): boolean {
  const bytes = readFileSync(path);
  return bytes.includes('.gopclntab') || bytes.includes('Go buildinf:');
}

/**
 * Unwinds every recorded stack with the reference and compares.
 * @param maps executable mappings by pid, at the time of the samples; stacks of other pids are left out
 */
export async function compareRecorded(
  stacks: readonly RecordedStack[],
  maps: ReadonlyMap<number, readonly ExecutableMapping[]>,
): Promise<Comparison> {
  const known = stacks.filter((stack) => maps.has(stack.pid)).sort((a, b) => a.pid - b.pid);
  function* input(): Generator<string> {
    let pid = -1;
    for (const [id, stack] of known.entries()) {
      if (stack.pid !== pid) yield processLines(stack.pid, maps.get(stack.pid)!);
      pid = stack.pid;
      yield sampleLines(id, stack);
    }
  }
  const reference = await runReference(input());
  const goBinaries = new Map<string, boolean>();
  const judge: Judge = {
    exists: existsSync,
    isGo: (path) => {
      const isGo = goBinaries.get(path) ?? hasGoSection(path);
      goBinaries.set(path, isGo);
      return isGo;
    },
  };
  const verdicts = known.map((stack, id) =>
    compareStack(stack.frames, reference.get(id)!, maps.get(stack.pid)!, judge),
  );
  return summarize(verdicts, (index) => {
    const verdict = verdicts[index]!;
    const { comm, pid, frames, end } = known[index]!;
    const other = reference.get(index)!;
    const from = Math.max(0, 'at' in verdict ? verdict.at - 3 : 0);
    return (
      `${comm} (${pid}) ${JSON.stringify(verdict)}, frames from ${from}:\n` +
      `  ours:  ${showFrames(frames, from)} (end ${end})\n` +
      `  libdw: ${showFrames(other.frames, from)} (${other.reason})`
    );
  });
}

/** Eight frames from `from` on; `!` marks exact pcs. */
const showFrames = (frames: readonly Frame[], from: number): string =>
  frames
    .slice(from, from + 8)
    .map(({ address, exact }) => `${hex(address)}${exact ? '!' : ''}`)
    .join(' ');
