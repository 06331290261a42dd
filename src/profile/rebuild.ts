/** A profile made of what a file says, which may be anything. */
import { bootTime, nanoseconds, unixTime } from '../units/units.ts';
import type { FrameType, Label, Mapping, Process, Profile, Tally } from './model.ts';
import { cleanText, ProfileTables, type ResolvedLocation } from './profile-tables.ts';
import { ROW_WORDS, sampleColumns, stackLists } from './sample-rows.ts';
import { WordTable } from './word-table.ts';

/** The file is none of ours, or is damaged: the message says what is wrong. */
export class ProfileFileError extends Error {
  override readonly name = 'ProfileFileError';
}

export interface FileFacts {
  readonly startNs: bigint;
  readonly durationNs: number;
  readonly periodNs: number;
  readonly host: string;
  /** `flametap.tally.KEY` without the beginning, and count. */
  readonly tally: Iterable<readonly [key: string, count: number]>;
}

const maxCount = 0xffff_ffff;

export class ProfileRebuilder {
  readonly #tables = new ProfileTables(
    { sets: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY },
    true,
  );
  readonly #stacks = new WordTable();
  readonly #rows = new WordTable();
  readonly #counts: number[] = [];
  readonly #processes: Process[] = [];
  readonly #processIds = new Map<string, number>();

  location(location: ResolvedLocation): number {
    return this.#tables.location(location);
  }

  /** @param service what the process states to be, '' = nothing */
  process(pid: number, name: string, executable: string, service: string): number {
    const process: Process = {
      pid: Number.isSafeInteger(pid) && pid > 0 ? pid : 0,
      name: cleanText(name),
      executable: cleanText(executable),
      startNs: bootTime(0n),
      execId: 0,
      ...(service === '' ? {} : { resource: [{ key: 'service.name', value: cleanText(service) }] }),
    };
    const key = JSON.stringify([process.pid, process.name, process.executable, service]);
    let id = this.#processIds.get(key);
    if (id === undefined) {
      id = this.#processes.push(process) - 1;
      this.#processIds.set(key, id);
    }
    return id;
  }

  /** @param stack of `location`, leaf first */
  add(
    process: number,
    thread: string,
    stack: readonly number[],
    labels: readonly Label[],
    count: number,
  ): void {
    if (!Number.isSafeInteger(count) || count <= 0) return;
    const words = Uint32Array.from(stack);
    const key = Uint32Array.of(
      process,
      this.#tables.thread(thread),
      this.#stacks.intern(words, 0, words.length, 0),
      this.#tables.labelSet(labels),
    );
    const row = this.#rows.intern(key, 0, ROW_WORDS, 0);
    this.#counts[row] = Math.min((this.#counts[row] ?? 0) + count, maxCount);
  }

  finish({ startNs, durationNs, periodNs, host, tally }: FileFacts): Profile {
    const exported = this.#counts.reduce((sum, count) => sum + count, 0);
    const { mappings, functions, locations, threads, labelSets } = this.#tables;
    return {
      startTime: unixTime(startNs),
      duration: nanoseconds(Math.max(0, durationNs) || 0),
      period: nanoseconds(Math.max(0, periodNs) || 0),
      mappings,
      functions,
      locations,
      stacks: stackLists(this.#stacks),
      processes: this.#processes,
      threads,
      labelSets,
      samples: sampleColumns(this.#rows, this.#counts),
      tally: tallyOf(tally, exported),
      host: cleanText(host),
    };
  }
}

const PARTS: Readonly<Record<string, keyof Tally>> = {
  lost: 'lost',
  truncated: 'truncated',
  deferred: 'deferred',
  labels_lost: 'labelsLost',
  events_lost: 'eventsLost',
  problems: 'problems',
  timing_ms: 'timingMs',
};

/** What the file tells; a part of a profile still has the tally of the whole. */
function tallyOf(entries: Iterable<readonly [string, number]>, exported: number): Tally {
  const tally = {
    taken: 0,
    exported: 0,
    framesNamed: 0,
    framesUnnamed: 0,
    lost: {},
    truncated: {},
    deferred: {},
    labelsLost: {},
    eventsLost: {},
    problems: {},
    timingMs: {},
  };
  for (const [key, count] of entries) {
    if (!Number.isSafeInteger(count) || count < 0) continue;
    const [part = '', reason] = /^(\w+)\.([\w-]{1,64})$/.exec(key)?.slice(1) ?? [];
    if (reason !== undefined && PARTS[part] !== undefined && reason !== '__proto__') {
      (tally[PARTS[part]] as Record<string, number>)[reason] = count;
    } else if (key === 'taken' || key === 'exported') tally[key] = count;
    else if (key === 'frames_named') tally.framesNamed = count;
    else if (key === 'frames_unnamed') tally.framesUnnamed = count;
  }
  if (tally.taken === 0) {
    tally.taken = exported;
    tally.exported = exported;
  }
  return tally;
}

const TYPES: ReadonlySet<string> = new Set<FrameType>([
  'native',
  'kernel',
  'go',
  'rust',
  'v8js',
  'jvm',
  'cpython',
  'jit',
  'marker',
]);

export const frameTypeOf = (text: unknown): FrameType =>
  typeof text === 'string' && TYPES.has(text) ? (text as FrameType) : 'native';

/** As `framesOf` writes what has no name. */
const PLACE = /(^|\+)0x[0-9a-f]+$|^\[(kernel|jit code|unknown)\]$/;

export const isPlace = (name: string): boolean => PLACE.test(name);

export const mappingOf = (file: string, ids: Partial<Mapping> = {}): Mapping | undefined =>
  file === ''
    ? undefined
    : { start: 0, end: 0, fileOffset: 0, file, buildId: '', goBuildId: '', ...ids };
