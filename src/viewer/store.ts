/**
 * Recent profiles in memory, for the live page. Tables (names, locations, stacks)
 * are kept once for all of them; each profile adds only its counts. So an hour
 * of ten-second profiles costs little more than its distinct stacks.
 */
import { buildFlameTree, type FlameTree } from '../profile/flame-tree.ts';
import { processText } from '../profile/frame.ts';
import type { Profile, SampleColumns, Tally } from '../profile/model.ts';
import { WordTable } from '../profile/word-table.ts';
import { nanoseconds, unixTime } from '../units/units.ts';
import { InternedTables, type ProfileTables } from './interned-tables.ts';
import {
  type RequestSummary,
  requestSummary,
  type SlowestTraces,
  slowestTraces,
} from './requests.ts';
import { RowFilter, type RowQuery } from './row-filter.ts';
import { COUNT, LABELS, PROCESS, ROW, type Segment, STACK, THREAD } from './segment.ts';
import { sumTallies } from './tally-sum.ts';

export interface StoreOptions {
  /** Estimated bytes of everything kept. */
  readonly maxBytes: number;
  /** Profiles that came longer ago are dropped. */
  readonly retentionMs: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Milliseconds that never jump: setting the calendar's clock makes no profile old. */
  readonly monotonic?: () => number;
}

export interface StoreQuery extends RowQuery {
  /** The last so many seconds before the newest sample; all when absent. */
  readonly seconds?: number;
  /** Profiles with a part in this time, milliseconds since 1970. */
  readonly fromMs?: number;
  readonly untilMs?: number;
  /** Default true. False counts time in the kernel for its caller. */
  readonly kernel?: boolean;
  readonly title?: string;
}

export interface ProcessShare {
  readonly name: string;
  readonly samples: number;
}

const SEGMENT_BYTES = 1_024;

export class ProfileStore {
  #options: Required<StoreOptions>;
  #segments: Segment[] = [];
  #tables = new InternedTables();
  #segmentBytes = 0;
  /** Rows dropped since the tables were last rebuilt. */
  #deadRows = 0;
  #version = 0;

  constructor(options: StoreOptions) {
    this.#options = { now: Date.now, monotonic: () => performance.now(), ...options };
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

  /** Start of the oldest, 0 = none. */
  get oldestMs(): number {
    return this.#segments[0]?.startMs ?? 0;
  }

  get retentionMs(): number {
    return this.#options.retentionMs;
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
      addedMs: this.#options.monotonic(),
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

  /** The tree of what was asked for; a root alone when nothing is there. */
  flame(query: StoreQuery = {}): FlameTree {
    return buildFlameTree(this.#merged(query, false), {
      hideKernel: query.kernel === false,
      title: query.title ?? '',
    });
  }

  /** Processes of a window, most samples first; equal names are one. */
  processes(seconds?: number): ProcessShare[] {
    const samples = new Map<string, number>();
    for (const segment of this.#window(seconds === undefined ? {} : { seconds })) {
      for (let at = 0; at < segment.rows.length; at += ROW) {
        const name = processText(this.#tables.processes[segment.rows[at]!]!);
        samples.set(name, (samples.get(name) ?? 0) + segment.rows[at + COUNT]!);
      }
    }
    return [...samples]
      .map(([name, count]) => ({ name, samples: count }))
      .sort((a, b) => b.samples - a.samples || (a.name < b.name ? -1 : 1));
  }

  /** The traces with most CPU time. */
  slowestTraces(query: StoreQuery, limit: number): SlowestTraces {
    const filter = new RowFilter(query, this.#tables);
    return slowestTraces(this.#window(query), this.#tables, filter, limit);
  }

  /** Who took part in a trace or a span, or in whatever else is asked for. */
  request(query: StoreQuery): RequestSummary {
    return requestSummary(this.#window(query), this.#tables, new RowFilter(query, this.#tables));
  }

  /** Tally of a window. */
  tally(query: StoreQuery = {}): Tally {
    return sumTallies(this.#window(query).map((segment) => segment.tally));
  }

  /** What was asked for as one profile, equal rows added up, without unused table entries. */
  profile(query: StoreQuery = {}): Profile {
    return this.#merged(query, true);
  }

  /** @param labels whether they are told apart: for a tree nearly all rows of one stack are equal */
  #merged(query: StoreQuery, labels: boolean): Profile {
    const window = this.#window(query);
    const filter = new RowFilter(query, this.#tables);
    const unique = new WordTable();
    const key = new Uint32Array(COUNT);
    const counts: number[] = [];
    const found = window.map(({ rows }) => {
      let samples = 0;
      for (let at = 0; at < rows.length; at += ROW) {
        if (!filter.has(rows, at)) continue;
        for (let column = 0; column < COUNT; column++) key[column] = rows[at + column]!;
        if (!labels) key[LABELS] = 0;
        const row = unique.intern(key, 0, COUNT, 0);
        counts[row] = (counts[row] ?? 0) + rows[at + COUNT]!;
        samples += rows[at + COUNT]!;
      }
      return samples;
    });
    // A request is over in a moment: the time it was not there says nothing about it.
    const isRequest = query.traceId !== undefined || query.spanId !== undefined;
    const segments = window.filter((_, at) => !isRequest || found[at]! > 0);
    const { tables, columns } = pruned(this.#tables, unique.words, counts);
    return {
      ...tables,
      ...columns,
      startTime: segments[0]?.start ?? unixTime(BigInt(this.#options.now()) * 1_000_000n),
      duration: nanoseconds(segments.reduce((all, segment) => all + segment.duration, 0)),
      // The rate may have changed in between: what one sample stood for on average.
      period: nanoseconds(averagePeriod(window, found)),
      tally: sumTallies(segments.map((segment) => segment.tally)),
      host: window.at(-1)?.host ?? '',
    };
  }

  /** Segments of the asked time; of `seconds` those that lie, at least half, in the last before the newest end. */
  #window({
    seconds,
    fromMs = 0,
    untilMs = Number.POSITIVE_INFINITY,
  }: StoreQuery): readonly Segment[] {
    const newest = this.#segments.at(-1);
    // Later ones than the newest are of before the clock was set back.
    const isLast = ({ startMs, endMs }: Segment): boolean => {
      if (seconds === undefined || !newest) return true;
      const middle = (startMs + endMs) / 2;
      return middle >= newest.endMs - seconds * 1_000 && middle <= newest.endMs;
    };
    return this.#segments.filter(
      (segment) =>
        segment.endMs > fromMs &&
        segment.startMs < untilMs &&
        (segment === newest || isLast(segment)),
    );
  }

  #evict(): void {
    const oldest = this.#options.monotonic() - this.#options.retentionMs;
    let drop = 0;
    while (drop < this.#segments.length && this.#segments[drop]!.addedMs < oldest) drop++;
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
    const ids = tables.translatorOf(before);
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

function averagePeriod(segments: readonly Segment[], found: readonly number[]): number {
  let samples = 0;
  let time = 0;
  segments.forEach(({ period }, at) => {
    samples += found[at]!;
    time += found[at]! * period;
  });
  return samples > 0 ? time / samples : (segments.at(-1)?.period ?? 0);
}

/** Tables with only what the rows use, and the rows as columns of indices into them. @param keys four words per row */
function pruned(
  from: InternedTables,
  keys: Uint32Array,
  counts: readonly number[],
): { tables: ProfileTables; columns: { samples: SampleColumns } } {
  const into = new InternedTables();
  const ids = into.translatorOf(from);
  const { length } = counts;
  const samples = {
    length,
    process: new Uint32Array(length),
    thread: new Uint32Array(length),
    stack: new Uint32Array(length),
    labels: new Uint32Array(length),
    count: Uint32Array.from(counts),
  };
  for (let row = 0; row < length; row++) {
    samples.process[row] = ids.process(keys[row * COUNT + PROCESS]!);
    samples.thread[row] = ids.thread(keys[row * COUNT + THREAD]!);
    samples.stack[row] = ids.stack(keys[row * COUNT + STACK]!);
    samples.labels[row] = ids.labels(keys[row * COUNT + LABELS]!);
  }
  return { tables: into.tables, columns: { samples } };
}
