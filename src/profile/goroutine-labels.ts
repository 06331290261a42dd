/**
 * Goroutines as labels of samples:
 *
 * - `goroutine`: its id in decimal, as the runtime prints it.
 * - `goroutine_created_by`: the function with the `go` statement, as in the last
 *   lines of a traceback; not for the first goroutine.
 * - `goroutine_kind`: `user`; `system` (the runtime's own, such as workers of the
 *   collector, by its first function, as runtime/pprof decides); `scheduler` (the
 *   runtime between goroutines: no id); `signal` (the runtime's signal handler, with
 *   the id of the goroutine it interrupted). Missing when it is not known.
 *
 * Work that the runtime does for a goroutine on the thread's own stack is the
 * goroutine's, and so is C code that it calls. C code of a thread that C has made
 * and that is not in Go has no labels.
 */
import { GO_STATES, type GoState } from '../capture/record.ts';
import { type AddressCollection, NO_QUERY } from './address-collection.ts';
import { type Aggregated, GOROUTINE_OVERFLOW, GOROUTINE_WORDS } from './aggregator.ts';
import type { Label } from './model.ts';
import type { ResolvedLocation } from './profile-tables.ts';

export const GOROUTINE_KEY = 'goroutine';
const CREATOR_KEY = 'goroutine_created_by';
const KIND_KEY = 'goroutine_kind';

/** Whether a label is about the goroutine. */
export const isGoroutineLabel = (key: string): boolean =>
  key === GOROUTINE_KEY || key === CREATOR_KEY || key === KIND_KEY;

/** The kernel side did not know yet that the process is Go, or not the process. */
export const UNKNOWN_PROCESS: GoState = 'unknown_process';

/** Labels by id of a goroutine in the aggregate. */
export interface GoroutineLabels {
  readonly sets: readonly (readonly Label[])[];
  /** Why there are none; undefined when all is said. UNKNOWN_PROCESS matters only for stacks with Go's frames. */
  readonly missing: readonly (string | undefined)[];
  /**
   * Those that are the runtime's own. Up to Go 1.19 they inherit the labels of whoever
   * happened to start them, as if they worked for one request ever after.
   */
  readonly isSystem: readonly boolean[];
}

/** First functions that are the runtime's but run the program's own: see isSystemGoroutine in runtime/traceback.go. */
const RUNS_PROGRAM: ReadonlySet<string> = new Set([
  'runtime.main',
  'runtime.corostart',
  'runtime.handleAsyncEvent',
  'runtime.runfinq',
  'runtime.runFinalizers',
  'runtime.runCleanups',
]);

export function goroutineLabels(
  { goroutines }: Aggregated,
  collection: AddressCollection,
  locations: readonly (ResolvedLocation | undefined)[],
): GoroutineLabels {
  const sets: Label[][] = [];
  const missing: (string | undefined)[] = [];
  const isSystem: boolean[] = [];
  for (let i = 0; i < goroutines.length; i++) {
    const at = i * GOROUTINE_WORDS;
    const state = GO_STATES[goroutines.words[at + 2]!];
    const id = goroutines.words[at + 4]! * 2 ** 32 + goroutines.words[at + 3]!;
    const nameOf = (query: number): string =>
      query === NO_QUERY ? '' : functionName(locations[query]);
    const labels: Label[] = [];
    if (id > 0) {
      labels.push({ key: GOROUTINE_KEY, value: String(id) });
      const creator = id === 1 ? '' : nameOf(collection.goroutines[2 * i]!);
      if (creator !== '') labels.push({ key: CREATOR_KEY, value: creator });
    }
    const start = collection.goroutines[2 * i + 1]!;
    const whose = id > 0 ? kindOf(start, nameOf(start)) : '';
    const kind = state === 'goroutine' ? whose : state;
    if (kind === 'user' || kind === 'system' || kind === 'scheduler' || kind === 'signal') {
      labels.push({ key: KIND_KEY, value: kind });
    }
    sets.push(labels);
    missing.push(reasonOf(goroutines.words[at + 2]!));
    isSystem.push(whose === 'system');
  }
  return { sets, missing, isSystem };
}

/** @returns only those that are wanted; where none is, none is missing */
export function selectedLabels(
  { sets, missing, isSystem }: GoroutineLabels,
  wanted: ReadonlySet<string>,
): GoroutineLabels {
  const isAny = [GOROUTINE_KEY, CREATOR_KEY, KIND_KEY].some((key) => wanted.has(key));
  return {
    sets: sets.map((labels) => labels.filter(({ key }) => wanted.has(key))),
    missing: isAny ? missing : missing.map(() => undefined),
    isSystem,
  };
}

function reasonOf(code: number): string | undefined {
  if (code === GOROUTINE_OVERFLOW) return 'labels_overflow';
  const state = GO_STATES[code] ?? 'go_state_unknown';
  switch (state) {
    case 'goroutine':
    case 'scheduler':
    case 'signal':
    case 'foreign':
      return undefined;
    case 'none':
      // It may have turned out to be Go meanwhile.
      return UNKNOWN_PROCESS;
    default:
      return state;
  }
}

/** Goroutines that stand for threads of C have no first function. */
function kindOf(query: number, start: string): string {
  if (query === NO_QUERY) return 'user';
  if (start === '') return '';
  return start.startsWith('runtime.') && !RUNS_PROGRAM.has(start) ? 'system' : 'user';
}

/** The function itself, not what is inlined into it. */
function functionName(location: ResolvedLocation | undefined): string {
  return location?.type === 'go' ? (location.lines.at(-1)?.name ?? '') : '';
}
