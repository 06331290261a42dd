/**
 * Turns aggregated rows and the resolver's answers into a `Profile`. Rows that
 * become equal once addresses are resolved are merged; nothing is dropped.
 */
import type { Nanoseconds, UnixTime } from '../units/units.ts';
import { type AddressCollection, KERNEL_INSTANCE } from './address-collection.ts';
import type { Aggregated, Instance } from './aggregator.ts';
import { endReason, markerName, markerOf, TOO_MANY_ADDRESSES } from './end-reason.ts';
import { isNamed } from './frame.ts';
import { UNKNOWN_PROCESS } from './goroutine-labels.ts';
import type { Label, Process, Profile, Tally } from './model.ts';
import {
  cleanText,
  type LabelLimits,
  ProfileTables,
  type ResolvedLocation,
  USUAL_LABEL_LIMITS,
} from './profile-tables.ts';
import { ROW_WORDS, sampleColumns, stackLists } from './sample-rows.ts';
import { addCounts, checkTally, sumOf } from './tally.ts';
import { WordTable } from './word-table.ts';

export interface BuilderOptions {
  /** Tells threads apart; otherwise they are merged. */
  readonly threads: boolean;
  /** Samples of further labels have none, and are counted. */
  readonly labelLimits?: LabelLimits;
  /** Keeps addresses that tell where memory lies: see address-layout.ts. Absent: they are 0. */
  readonly addresses?: boolean;
}

/** What is known of a process beyond its samples. */
export interface ProcessInformation {
  /** '' = use the comm of the samples. */
  readonly name: string;
  readonly executable: string;
  /** Resource attributes that the process states of itself. */
  readonly resource?: readonly Label[];
  /** Names of the attributes of its thread records, by number (OTEP 4947); undefined = it says none. */
  readonly attributeKeys?: readonly string[];
}

export interface Answers {
  /** Parallel to the collection's queries; undefined = nothing is known of that address. */
  readonly locations: readonly (ResolvedLocation | undefined)[];
  /** Parallel to `Aggregated.instances`. */
  readonly processes?: readonly (ProcessInformation | undefined)[];
  /** By the label ids given to the aggregator; [0] = no labels. */
  readonly labelSets?: readonly (readonly Label[])[];
  /** Parallel to `labelSets`: the reasons why a set is not whole. */
  readonly labelsMissing?: readonly (readonly string[])[];
}

export interface ProfileFacts {
  readonly startTime: UnixTime;
  readonly duration: Nanoseconds;
  readonly period: Nanoseconds;
  readonly host: string;
  /** What the kernel side counted; without it, exported + lost. */
  readonly taken?: number;
  /** Losses outside of the aggregates, by reason. */
  readonly lost?: Readonly<Record<string, number>>;
  readonly eventsLost?: Readonly<Record<string, number>>;
  readonly problems?: Readonly<Record<string, number>>;
  readonly timingMs?: Readonly<Record<string, number>>;
}

const maxCount = 0xffff_ffff;
const emptyStackName = '[no stack]';
const LABELS_OVERFLOW = 'labels_overflow';

export class ProfileBuilder {
  readonly #threadsApart: boolean;
  readonly #tables: ProfileTables;
  readonly #processes: Process[] = [];
  readonly #processIds = new Map<string, number>();
  readonly #stacks = new WordTable();
  readonly #rows = new WordTable();
  readonly #counts: number[] = [];
  readonly #lost: Record<string, number> = {};
  readonly #truncated: Record<string, number> = {};
  readonly #deferred: Record<string, number> = {};
  readonly #labelsLost: Record<string, number> = {};

  constructor(options: BuilderOptions) {
    this.#threadsApart = options.threads;
    this.#tables = new ProfileTables(
      options.labelLimits ?? USUAL_LABEL_LIMITS,
      options.addresses ?? false,
    );
  }

  /** May be called for several aggregates of one period. */
  add(aggregated: Aggregated, collection: AddressCollection, answers: Answers): void {
    const locations = this.#locate(collection, answers);
    const processes = aggregated.instances.map((instance, index) =>
      this.#process(instance, aggregated.comms[instance.comm] ?? '', answers.processes?.[index]),
    );
    const threads = memo((comm) =>
      this.#threadsApart ? this.#tables.thread(aggregated.comms[comm] ?? '') : 0,
    );
    const labelSets = memo((labels) => this.#tables.labelSet(answers.labelSets?.[labels] ?? []));
    const isGo = memo((stack) => Number(this.#hasGo(stack)));
    const stackIds = new WordTable();
    const key = new Uint32Array(ROW_WORDS);
    const resolved: number[] = [];
    for (let row = 0; row < aggregated.rows; row++) {
      const count = aggregated.count[row]!;
      if (count === 0) continue;
      const end = aggregated.end[row]!;
      const context = collection.rowStack[row]!;
      key[0] = context;
      key[1] = end;
      const known = stackIds.intern(key, 0, 2, 0);
      if (known === resolved.length)
        resolved.push(this.#stack(collection, context, locations, end));
      key[0] = processes[aggregated.instance[row]!]!;
      key[1] = threads(aggregated.thread[row]!);
      key[2] = resolved[known]!;
      const labels = aggregated.labels[row]!;
      const set = labelSets(labels);
      key[3] = Math.max(set, 0);
      const counted = this.#count(this.#rows.intern(key, 0, ROW_WORDS, 0), count);
      const missing = set < 0 ? [LABELS_OVERFLOW] : (answers.labelsMissing?.[labels] ?? []);
      for (const reason of missing) {
        // All processes are unknown at first; only those of Go would have had labels.
        if (reason === UNKNOWN_PROCESS && isGo(resolved[known]!) === 0) continue;
        addCounts(this.#labelsLost, { [reason]: counted });
      }
      if (collection.cut[context] === 1) {
        addCounts(this.#truncated, { [TOO_MANY_ADDRESSES.code]: counted });
      } else if (markerName(end) !== undefined) {
        addCounts(this.#truncated, { [endReason(end).code]: counted });
      }
    }
    addCounts(this.#lost, aggregated.lost);
    for (const [end, count] of aggregated.deferred) {
      addCounts(this.#deferred, { [endReason(end).code]: count });
    }
  }

  /** @throws TallyError when `taken` is not what was exported and lost. */
  finish(facts: ProfileFacts): Profile {
    const lost = { ...this.#lost };
    addCounts(lost, facts.lost ?? {});
    const stacks = stackLists(this.#stacks);
    const samples = sampleColumns(this.#rows, this.#counts);
    let exported = 0;
    for (const count of samples.count) exported += count;
    const tally: Tally = {
      taken: facts.taken ?? exported + sumOf(lost),
      exported,
      lost,
      truncated: { ...this.#truncated },
      deferred: { ...this.#deferred },
      labelsLost: { ...this.#labelsLost },
      ...this.#countFrames(stacks, samples),
      eventsLost: { ...facts.eventsLost },
      problems: { ...facts.problems },
      timingMs: { ...facts.timingMs },
    };
    checkTally(tally);
    return {
      startTime: facts.startTime,
      duration: facts.duration,
      period: facts.period,
      mappings: this.#tables.mappings,
      functions: this.#tables.functions,
      locations: this.#tables.locations,
      stacks,
      processes: this.#processes,
      threads: this.#tables.threads,
      labelSets: this.#tables.labelSets,
      samples,
      tally,
      host: cleanText(facts.host),
    };
  }

  #locate({ queries }: AddressCollection, answers: Answers): (query: number) => number {
    return memo((query) =>
      this.#tables.location(
        answers.locations[query] ??
          unresolved(
            queries.instance[query] === KERNEL_INSTANCE,
            queries.low[query]!,
            queries.high[query]!,
          ),
      ),
    );
  }

  #stack(
    collection: AddressCollection,
    context: number,
    locations: (query: number) => number,
    end: number,
  ): number {
    const first = collection.start[context]!;
    const length = collection.start[context + 1]! - first;
    const cut = collection.cut[context] === 1 ? markerOf(TOO_MANY_ADDRESSES) : markerName(end);
    const marker = cut ?? (length === 0 ? emptyStackName : undefined);
    const ids = new Uint32Array(length + (marker === undefined ? 0 : 1));
    for (let i = 0; i < length; i++) ids[i] = locations(collection.frames[first + i]!);
    if (marker !== undefined) ids[length] = this.#tables.location(markerLocation(marker));
    return this.#stacks.intern(ids, 0, ids.length, 0);
  }

  #hasGo(stack: number): boolean {
    const { starts, words } = this.#stacks;
    const { locations } = this.#tables;
    for (let at = starts[stack]!; at < starts[stack + 1]!; at++) {
      if (locations[words[at]!]!.type === 'go') return true;
    }
    return false;
  }

  /** Rows of the model hold 32 bits; what exceeds them is lost, but not silently. */
  #count(row: number, count: number): number {
    const before = this.#counts[row] ?? 0;
    const counted = Math.min(count, maxCount - before);
    this.#counts[row] = before + counted;
    addCounts(this.#lost, { count_overflow: count - counted });
    return counted;
  }

  #process(instance: Instance, comm: string, known: ProcessInformation | undefined): number {
    const key = `${instance.pid} ${instance.startNs} ${instance.execId}`;
    let id = this.#processIds.get(key);
    if (id === undefined) {
      id = this.#processes.length;
      this.#processIds.set(key, id);
    }
    const resource = known?.resource ?? this.#processes[id]?.resource ?? [];
    this.#processes[id] = {
      pid: instance.pid,
      name: cleanText(known?.name || comm),
      executable: cleanText(known?.executable || this.#processes[id]?.executable || ''),
      startNs: instance.startNs,
      execId: instance.execId,
      ...(resource.length > 0 ? { resource: resource.map(cleanLabel) } : {}),
    };
    return id;
  }

  #countFrames(
    stacks: readonly Uint32Array[],
    samples: Profile['samples'],
  ): { framesNamed: number; framesUnnamed: number } {
    const { locations } = this.#tables;
    const named = locations.map((location) => isNamed(this.#tables, location));
    let framesNamed = 0;
    let framesUnnamed = 0;
    for (let row = 0; row < samples.length; row++) {
      for (const location of stacks[samples.stack[row]!]!) {
        if (locations[location]!.type === 'marker') continue;
        if (named[location]) framesNamed += samples.count[row]!;
        else framesUnnamed += samples.count[row]!;
      }
    }
    return { framesNamed, framesUnnamed };
  }
}

const cleanLabel = ({ key, value }: Label): Label => ({
  key: cleanText(key),
  value: cleanText(value),
});

/** Works each index out once and only when asked, so that tables hold nothing unused. */
function memo(compute: (index: number) => number): (index: number) => number {
  const known = new Map<number, number>();
  return (index) => {
    let value = known.get(index);
    if (value === undefined) {
      value = compute(index);
      known.set(index, value);
    }
    return value;
  };
}

/** An address that the resolver knows nothing of, cut to what a number holds exactly. */
function unresolved(isKernel: boolean, low: number, high: number): ResolvedLocation {
  const upper = isKernel ? high & 0x000f_ffff : high & 0x001f_ffff;
  return {
    mapping: undefined,
    address: upper * 2 ** 32 + low,
    type: isKernel ? 'kernel' : 'native',
    lines: [],
  };
}

function markerLocation(name: string): ResolvedLocation {
  const line = { name, systemName: name, file: '', line: 0, column: 0, startLine: 0 };
  return { mapping: undefined, address: 0, type: 'marker', lines: [line] };
}
