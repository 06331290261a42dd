/**
 * Recent profiles in memory, for the live page. Tables (names, locations, stacks)
 * are kept once for all of them; each profile adds only its counts. So an hour
 * of ten-second profiles costs little more than its distinct stacks.
 */
import { buildFlameTree, type FlameTree } from '../profile/flame-tree.ts';
import { processText } from '../profile/frame.ts';
import type { Profile, SampleColumns, Tally } from '../profile/model.ts';
import { type Nanoseconds, nanoseconds, type UnixTime, unixTime } from '../units/units.ts';
import { InternedTables, type ProfileTables } from './interned-tables.ts';
import { emptyTally, sumTallies } from './tally-sum.ts';

export interface StoreOptions {
  /** Estimated bytes of everything kept. */
  readonly maxBytes: number;
  /** Profiles that ended longer ago are dropped. */
  readonly retentionMs: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

export interface StoreQuery {
  /** The last so many seconds before the newest sample; all when absent. */
  readonly seconds?: number;
  /** Shown names of processes; all when absent or empty. */
  readonly processes?: readonly string[];
  /** Default true. False counts time in the kernel for its caller. */
  readonly kernel?: boolean;
  readonly title?: string;
}

export interface ProcessShare {
  readonly name: string;
  readonly samples: number;
}

/** One profile without its tables. */
interface Segment {
  readonly startMs: number;
  readonly endMs: number;
  readonly start: UnixTime;
  readonly duration: Nanoseconds;
  readonly period: Nanoseconds;
  /** Columns of table indices: process, thread, stack, label set; then the count; five per row. */
  readonly rows: Uint32Array;
  readonly tally: Tally;
  readonly host: string;
}

const SEGMENT_BYTES = 1_024;
const ROW = 5;
const COUNT = 4;

export class ProfileStore {
  #options: Required<StoreOptions>;
  #segments: Segment[] = [];
  #tables = new InternedTables();
  #segmentBytes = 0;
  /** Rows dropped since the tables were last rebuilt. */
  #deadRows = 0;
  #version = 0;

  constructor(options: StoreOptions) {
    this.#options = { now: Date.now, ...options };
  }

  /** Other limits from now on. */
  limit(limits: Pick<StoreOptions, 'maxBytes' | 'retentionMs'>): void {
    this.#options = { ...this.#options, ...limits };
    this.#evict();
  }

  /** End of the newest profile, milliseconds since 1970; 0 = none yet. */
  get newestMs(): number {
    return this.#segments.at(-1)?.endMs ?? 0;
  }

  /** Grows with every change; equal versions answer equal trees. */
  get version(): number {
    return this.#version;
  }

  /** Estimated memory of what is kept. */
  get bytes(): number {
    return this.#tables.bytes + this.#segmentBytes;
  }

  get profiles(): number {
    return this.#segments.length;
  }

  add(profile: Profile): void {
    const { samples } = profile;
    const ids = this.#tables.translator(profile);
    const rows = new Uint32Array(samples.length * ROW);
    for (let row = 0; row < samples.length; row++) {
      rows[row * ROW] = ids.process(samples.process[row]!);
      rows[row * ROW + 1] = ids.thread(samples.thread[row]!);
      rows[row * ROW + 2] = ids.stack(samples.stack[row]!);
      rows[row * ROW + 3] = ids.labels(samples.labels[row]!);
      rows[row * ROW + COUNT] = samples.count[row]!;
    }
    const startMs = Number(profile.startTime / 1_000_000n);
    this.#segments.push({
      startMs,
      endMs: startMs + profile.duration / 1e6,
      start: profile.startTime,
      duration: profile.duration,
      period: profile.period,
      rows,
      tally: profile.tally,
      host: profile.host,
    });
    this.#segmentBytes += rows.byteLength + SEGMENT_BYTES;
    this.#version++;
    this.#evict();
  }

  /** Drops what is too old now; the owner calls it when no profiles arrive. */
  expire(): void {
    this.#evict();
  }

  /** The tree of a window; a root alone when nothing is there. */
  flame(query: StoreQuery = {}): FlameTree {
    const wanted = new Set(query.processes ?? []);
    return buildFlameTree(this.profile(query), {
      hideKernel: query.kernel === false,
      title: query.title ?? '',
      ...(wanted.size > 0 ? { process: (process) => wanted.has(processText(process)) } : {}),
    });
  }

  /** Processes of a window, most samples first; equal names are one. */
  processes(seconds?: number): ProcessShare[] {
    const samples = new Map<string, number>();
    for (const segment of this.#window(seconds)) {
      for (let at = 0; at < segment.rows.length; at += ROW) {
        const name = processText(this.#tables.process(segment.rows[at]!));
        samples.set(name, (samples.get(name) ?? 0) + segment.rows[at + COUNT]!);
      }
    }
    return [...samples]
      .map(([name, count]) => ({ name, samples: count }))
      .sort((a, b) => b.samples - a.samples || (a.name < b.name ? -1 : 1));
  }

  /** Tally of a window. */
  tally(seconds?: number): Tally {
    return sumTallies(this.#window(seconds).map((segment) => segment.tally));
  }

  /** The profiles of a window as one, equal rows added up, without unused table entries. */
  profile(query: StoreQuery = {}): Profile {
    const segments = this.#window(query.seconds);
    const wanted = new Set(query.processes ?? []);
    const merged = new Map<string, number>();
    const rows: number[] = [];
    for (const { rows: from } of segments) {
      for (let at = 0; at < from.length; at += ROW) {
        const process = from[at]!;
        if (wanted.size > 0 && !wanted.has(processText(this.#tables.process(process)))) continue;
        const key = from.subarray(at, at + COUNT).join();
        const known = merged.get(key);
        if (known === undefined) {
          merged.set(key, rows.length);
          rows.push(...from.subarray(at, at + ROW));
        } else rows[known + COUNT]! += from[at + COUNT]!;
      }
    }
    const { tables, columns } = pruned(this.#tables, rows);
    const last = segments.at(-1);
    return {
      ...tables,
      ...columns,
      startTime: segments[0]?.start ?? unixTime(BigInt(this.#options.now()) * 1_000_000n),
      duration: nanoseconds(segments.reduce((all, segment) => all + segment.duration, 0)),
      // The rate may have changed in between: what one sample stood for on average.
      period: nanoseconds(averagePeriod(segments)),
      tally: segments.length === 0 ? emptyTally() : this.tally(query.seconds),
      host: last?.host ?? '',
    };
  }

  /** Segments that lie, at least half, in the last `seconds` before the newest end. */
  #window(seconds?: number): readonly Segment[] {
    const newest = this.#segments.at(-1);
    if (!newest || seconds === undefined) return this.#segments;
    const from = newest.endMs - seconds * 1_000;
    return this.#segments.filter(
      (segment) => segment === newest || (segment.startMs + segment.endMs) / 2 >= from,
    );
  }

  #evict(): void {
    const oldest = this.#options.now() - this.#options.retentionMs;
    let drop = 0;
    while (drop < this.#segments.length && this.#segments[drop]!.endMs < oldest) drop++;
    this.#drop(drop);
    // Tables shrink only when rebuilt, which costs: first try with what is dead already.
    while (this.bytes > this.#options.maxBytes && this.#segments.length > 0) {
      if (this.#deadRows > 0) {
        this.#rebuild();
        if (this.bytes <= this.#options.maxBytes) break;
      }
      // A quarter at a time, so that a full store does not rebuild at every profile.
      this.#drop(Math.max(1, Math.floor(this.#segments.length / 4)));
    }
    const live = this.#segments.reduce((all, segment) => all + segment.rows.length / ROW, 0);
    if (this.#deadRows > Math.max(live, 1_000)) this.#rebuild();
  }

  #drop(count: number): void {
    if (count === 0) return;
    for (const segment of this.#segments.splice(0, count)) {
      this.#segmentBytes -= segment.rows.byteLength + SEGMENT_BYTES;
      this.#deadRows += Math.max(1, segment.rows.length / ROW);
    }
    this.#version++;
  }

  /** Interns what the remaining segments use into new tables. */
  #rebuild(): void {
    const before = this.#tables;
    const tables = new InternedTables();
    const ids = tables.translator(before.tables);
    this.#segments = this.#segments.map((segment) => {
      const rows = segment.rows.slice();
      for (let at = 0; at < rows.length; at += ROW) {
        rows[at] = ids.process(rows[at]!);
        rows[at + 1] = ids.thread(rows[at + 1]!);
        rows[at + 2] = ids.stack(rows[at + 2]!);
        rows[at + 3] = ids.labels(rows[at + 3]!);
      }
      return { ...segment, rows };
    });
    this.#tables = tables;
    this.#deadRows = 0;
  }
}

function averagePeriod(segments: readonly Segment[]): number {
  let samples = 0;
  let time = 0;
  for (const { tally, period } of segments) {
    samples += tally.exported;
    time += tally.exported * period;
  }
  return samples > 0 ? time / samples : (segments.at(-1)?.period ?? 0);
}

/** Tables with only what `rows` use, and the rows as columns of indices into them. */
function pruned(
  from: InternedTables,
  rows: readonly number[],
): { tables: ProfileTables; columns: { samples: SampleColumns } } {
  const into = new InternedTables();
  const ids = into.translator(from.tables);
  const length = rows.length / ROW;
  const samples = {
    length,
    process: new Uint32Array(length),
    thread: new Uint32Array(length),
    stack: new Uint32Array(length),
    labels: new Uint32Array(length),
    count: new Uint32Array(length),
  };
  for (let row = 0; row < length; row++) {
    samples.process[row] = ids.process(rows[row * ROW]!);
    samples.thread[row] = ids.thread(rows[row * ROW + 1]!);
    samples.stack[row] = ids.stack(rows[row * ROW + 2]!);
    samples.labels[row] = ids.labels(rows[row * ROW + 3]!);
    samples.count[row] = rows[row * ROW + COUNT]!;
  }
  return { tables: into.tables, columns: { samples } };
}
