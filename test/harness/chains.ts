/**
 * Judges recorded stacks against a known call chain. A stack is read from its
 * root; everything the program's source fixes must be there, in order, with
 * nothing in between.
 */

/** A frame of the `json` output (design §2). */
export interface JsonFrame {
  readonly name: string;
  readonly file: string;
  readonly line: number;
  /** Path or base name of the mapped binary, `[kernel]`, `[vdso]`, … */
  readonly module: string;
  readonly type: string;
  readonly inlined: boolean;
}

export interface JsonSample {
  readonly process: string;
  readonly pid: number;
  /** What the process says to be, null = it says nothing; not there where somebody else has sampled. */
  readonly service?: string | null;
  readonly thread: string;
  /** Leaf first. */
  readonly stack: readonly JsonFrame[];
  readonly count: number;
}

/** One place of an expected stack: a function's name, or what frames there may look like. */
export type Step = string | { readonly any: RegExp; readonly min: number; readonly max: number };

/** User frames root first, without frames that exist only in debug information. */
export function userFrames(sample: JsonSample): JsonFrame[] {
  return sample.stack.filter((frame) => frame.type !== 'kernel' && !frame.inlined).reverse();
}

/** The marker that says why a stack is not whole; undefined when it is. */
export function markerOf(sample: JsonSample): string | undefined {
  return sample.stack.find((frame) => frame.type === 'marker')?.name;
}

/** What `Step.any` is matched against: name and module, so unnamed frames can be told by module. */
export const frameText = (frame: JsonFrame): string => `${frame.name} @${frame.module}`;

/** The frames below main. libc's own are static functions: unnamed without its debug file. */
export const MAIN_ROOT: readonly Step[] = [
  '_start',
  { any: /^_start_c /, min: 0, max: 1 },
  { any: /libc_start_(main|call_main)|@.*\blibc[.-]/, min: 1, max: 3 },
];

/** The frames below a pthread's function; `start_thread` is unnamed without libc's debug file. */
export const THREAD_ROOT: readonly Step[] = [
  { any: /^_*clone3? |@.*\blibc[.-]/, min: 1, max: 1 },
  { any: /^start_thread|@.*\blibc[.-]/, min: 1, max: 1 },
];

/** Frames that may follow below the last step: calls into libc, the vDSO and the loader. */
export const LIBRARY_TAIL = /@.*(\blibc[.-]|\[?vdso|\bld-|libm[.-])/;

/** A whole shape of stack: `steps` from the root; from step `least` on it may end early. */
export interface Shape {
  readonly steps: readonly Step[];
  /** How many steps must be there at least. */
  readonly least: number;
  /** Frames allowed after the last matched step. */
  readonly tail?: RegExp;
}

function matchFrom(frames: readonly JsonFrame[], at: number, shape: Shape, step: number): boolean {
  const rest = (): boolean =>
    shape.tail === undefined
      ? at === frames.length
      : frames.slice(at).every((frame) => shape.tail!.test(frameText(frame)));
  if (step >= shape.least && rest()) return true;
  const wanted = shape.steps[step];
  if (wanted === undefined) return false;
  if (typeof wanted === 'string') {
    return frames[at]?.name === wanted && matchFrom(frames, at + 1, shape, step + 1);
  }
  for (let count = 0; count <= wanted.max; count++) {
    if (count >= wanted.min && matchFrom(frames, at + count, shape, step + 1)) return true;
    const frame = frames[at + count];
    if (frame === undefined || !wanted.any.test(frameText(frame))) return false;
  }
  return false;
}

/** Does the stack of `sample` have this shape, and no marker? */
export function hasShape(sample: JsonSample, shape: Shape): boolean {
  return markerOf(sample) === undefined && matchFrom(userFrames(sample), 0, shape, 0);
}

/** Start and end of a process: the loader, libc's exit, or no user frame at all (exec, exit). */
export function isOutsideMain(sample: JsonSample): boolean {
  if (markerOf(sample) !== undefined) return false;
  const frames = userFrames(sample);
  return !frames.some((frame) => frame.name === 'main') && frames.every(isSystemFrame);
}

const isSystemFrame = (frame: JsonFrame): boolean =>
  /^(_start|_init|_fini|_dl_|__libc|exit|_exit)|@.*(\blibc[.-]|\bld-|\[?vdso)/.test(
    frameText(frame),
  );

export interface ShapeCounts {
  readonly total: number;
  /** Of one of the expected shapes. */
  readonly exact: number;
  /** Whole, but before or after main. */
  readonly outside: number;
  /** Neither: unwound or named wrongly, or cut. */
  readonly wrong: number;
  /** How often each expected shape was seen at full length. */
  readonly complete: readonly number[];
  /** Distinct wrong stacks with their counts, root first, for the failure's text. */
  readonly examples: readonly string[];
}

/** Sorts samples into exact, outside of main, and wrong. */
export function countShapes(samples: readonly JsonSample[], shapes: readonly Shape[]): ShapeCounts {
  let [total, exact, outside, wrong] = [0, 0, 0, 0];
  const complete = shapes.map(() => 0);
  const examples = new Map<string, number>();
  for (const sample of samples) {
    total += sample.count;
    const found = shapes.findIndex((shape) => hasShape(sample, shape));
    shapes.forEach((shape, index) => {
      const whole = { ...shape, least: shape.steps.length };
      if (hasShape(sample, whole)) complete[index]! += sample.count;
    });
    if (found >= 0) exact += sample.count;
    else if (isOutsideMain(sample)) outside += sample.count;
    else {
      wrong += sample.count;
      const text = showStack(sample);
      examples.set(text, (examples.get(text) ?? 0) + sample.count);
    }
  }
  const worst = [...examples].sort((a, b) => b[1] - a[1]).slice(0, 5);
  return {
    total,
    exact,
    outside,
    wrong,
    complete,
    examples: worst.map(([text, count]) => `${count} x ${text}`),
  };
}

/** One line, root first; long middles are left out. */
export function showStack(sample: JsonSample): string {
  const names = [...sample.stack]
    .reverse()
    .map((frame) => frame.name || `?${frame.module.split('/').at(-1)}`);
  if (names.length > 24) names.splice(14, names.length - 22, `… ${names.length - 22} more …`);
  return names.join(' > ');
}

/** Frames without a name are shown as `module+0xaddress`; perf leaves them empty. */
export const isNamed = ({ name }: JsonFrame): boolean =>
  name !== '' && !/^((.*\+)?0x[0-9a-f]+|\[unknown\])$/.test(name);

/** Frames weighted by samples: how many have a name. Markers are no frames. */
export function countNamed(samples: readonly JsonSample[]): { named: number; total: number } {
  let [named, total] = [0, 0];
  for (const sample of samples) {
    for (const frame of sample.stack) {
      if (frame.type === 'marker') continue;
      total += sample.count;
      if (isNamed(frame)) named += sample.count;
    }
  }
  return { named, total };
}

/**
 * How far a count of periodic ticks may lie from CPU time x rate. The cpu-clock
 * event ticks at equal distances while a CPU is busy, so a thread that stays on
 * one CPU is counted exactly; every switch cuts a period at a random point and
 * adds a variance of at most 1/4 tick, never more than a coin per tick. Allowed:
 * 1 % (the aim) plus three standard deviations of that, plus one tick per end.
 */
export function countTolerance(expected: number, switches: number): number {
  const variance = Math.min(switches + 1, expected) / 4;
  return 0.01 * expected + 3 * Math.sqrt(variance) + 2;
}
