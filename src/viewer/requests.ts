/**
 * What is kept, by request: the traces that took most CPU time, and who took part in
 * one. Worked out from the rows when asked, so that nothing is kept for it: reading
 * all rows of a full store takes some tens of milliseconds.
 */
import { processText, serviceText } from '../profile/frame.ts';
import { WordTable } from '../profile/word-table.ts';
import type { InternedTables } from './interned-tables.ts';
import { hexOf, LABEL_WORDS, SPAN_WORDS, TRACE_WORDS } from './label-table.ts';
import type { RowFilter } from './row-filter.ts';
import { COUNT, LABELS, PROCESS, ROW, type Segment } from './segment.ts';

/** Sampled work. Times are those of the profiles it was in, milliseconds since 1970. */
export interface Work {
  readonly samples: number;
  readonly cpuNs: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

/** A trace; or a span alone, where the program told no trace: then `traceId` is ''. */
export interface TraceShare extends Work {
  readonly traceId: string;
  readonly spanId: string;
  /** Spans that were seen on a CPU. */
  readonly spans: number;
  /** Most CPU time first. */
  readonly services: readonly string[];
}

export interface SlowestTraces {
  /** Most CPU time first. */
  readonly traces: readonly TraceShare[];
  /** All there are. */
  readonly count: number;
}

export interface SpanShare extends Work {
  readonly traceId: string;
  /** '' = work of the trace outside of any span. */
  readonly spanId: string;
  readonly service: string;
}

export interface ServiceShare extends Work {
  readonly name: string;
}

export interface InstanceShare extends Work {
  readonly name: string;
  readonly pid: number;
  readonly service: string;
}

export interface RequestSummary extends Work {
  /** Those with most CPU time, which comes first. */
  readonly spans: readonly SpanShare[];
  /** All there are. */
  readonly spanCount: number;
  readonly services: readonly ServiceShare[];
  readonly processes: readonly InstanceShare[];
}

const MOST_SPANS = 1_000;
const MOST_PROCESSES = 200;
const ID_WORDS = TRACE_WORDS + SPAN_WORDS;

class Sum implements Work {
  samples = 0;
  cpuNs = 0;
  firstMs = Number.POSITIVE_INFINITY;
  lastMs = 0;

  add(count: number, { period, startMs, endMs }: Segment): void {
    this.samples += count;
    this.cpuNs += count * period;
    this.firstMs = Math.min(this.firstMs, startMs);
    this.lastMs = Math.max(this.lastMs, endMs);
  }

  get work(): Work {
    const { samples, cpuNs, firstMs, lastMs } = this;
    return { samples, cpuNs, firstMs, lastMs };
  }
}

/** Sums by any key, in the order of most CPU time. */
class Sums<Key> {
  readonly #sums = new Map<Key, Sum>();

  get size(): number {
    return this.#sums.size;
  }

  add(key: Key, count: number, segment: Segment): void {
    let sum = this.#sums.get(key);
    if (sum === undefined) {
      sum = new Sum();
      this.#sums.set(key, sum);
    }
    sum.add(count, segment);
  }

  /** Equal ones in the order in which they were met. */
  largest(limit = Number.POSITIVE_INFINITY): (readonly [Key, Work])[] {
    return [...this.#sums]
      .sort(([, a], [, b]) => b.cpuNs - a.cpuNs)
      .slice(0, limit)
      .map(([key, sum]) => [key, sum.work]);
  }
}

export function slowestTraces(
  segments: readonly Segment[],
  tables: InternedTables,
  filter: RowFilter,
  limit: number,
): SlowestTraces {
  const { ids, ofLabels } = requestIds(tables);
  const cpuNs = new Float64Array(ids.length);
  for (const { rows, period } of segments) {
    for (let at = 0; at < rows.length; at += ROW) {
      const request = ofLabels[rows[at + LABELS]!]!;
      if (request >= 0 && filter.has(rows, at)) cpuNs[request]! += rows[at + COUNT]! * period;
    }
  }
  // Everything else is worked out for those that are shown.
  const shown = new Set(largestOf(cpuNs, limit));
  const parts = new Map([...shown].map((request) => [request, new TraceParts()]));
  for (const segment of segments) {
    const { rows } = segment;
    for (let at = 0; at < rows.length; at += ROW) {
      const labels = rows[at + LABELS]!;
      const part = parts.get(ofLabels[labels]!);
      if (part === undefined || !filter.has(rows, at)) continue;
      const count = rows[at + COUNT]!;
      part.sum.add(count, segment);
      part.services.add(serviceText(tables.processes[rows[at + PROCESS]!]!), count, segment);
      part.spans.add(spanOf(tables, labels));
    }
  }
  const traces = [...parts].map(([request, { sum, services, spans }]): TraceShare => {
    const at = request * ID_WORDS;
    return {
      traceId: hexOf(ids.words, at, TRACE_WORDS),
      spanId: hexOf(ids.words, at + TRACE_WORDS, SPAN_WORDS),
      ...sum.work,
      spans: spans.size - Number(spans.has('')),
      services: services.largest().map(([name]) => name),
    };
  });
  return { traces, count: cpuNs.reduce((all, ns) => all + Number(ns > 0), 0) };
}

export function requestSummary(
  segments: readonly Segment[],
  tables: InternedTables,
  filter: RowFilter,
): RequestSummary {
  const all = new Sum();
  const spans = new Sums<string>();
  const services = new Sums<string>();
  const processes = new Sums<number>();
  for (const segment of segments) {
    const { rows } = segment;
    for (let at = 0; at < rows.length; at += ROW) {
      if (!filter.has(rows, at)) continue;
      const count = rows[at + COUNT]!;
      const process = rows[at + PROCESS]!;
      const labels = rows[at + LABELS]!;
      const service = serviceText(tables.processes[process]!);
      all.add(count, segment);
      spans.add(
        JSON.stringify([traceOf(tables, labels), spanOf(tables, labels), service]),
        count,
        segment,
      );
      services.add(service, count, segment);
      processes.add(process, count, segment);
    }
  }
  return {
    ...all.work,
    firstMs: all.samples === 0 ? 0 : all.firstMs,
    spans: spans.largest(MOST_SPANS).map(([key, work]) => {
      const [traceId, spanId, service] = JSON.parse(key) as [string, string, string];
      return { traceId, spanId, service, ...work };
    }),
    spanCount: spans.size,
    services: services.largest().map(([name, work]) => ({ name, ...work })),
    processes: processes.largest(MOST_PROCESSES).map(([index, work]) => {
      const process = tables.processes[index]!;
      const { pid } = process;
      return { name: processText(process), pid, service: serviceText(process), ...work };
    }),
  };
}

class TraceParts {
  readonly sum = new Sum();
  readonly services = new Sums<string>();
  readonly spans = new Set<string>();
}

/** The requests of all label sets; -1 for sets without one. A span without a trace is one of its own. */
function requestIds({ labelSets }: InternedTables): { ids: WordTable; ofLabels: Int32Array } {
  const { words, length } = labelSets;
  const ids = new WordTable();
  const ofLabels = new Int32Array(length).fill(-1);
  const key = new Uint32Array(ID_WORDS);
  for (let set = 0; set < length; set++) {
    const at = set * LABEL_WORDS;
    let trace = 0;
    let span = 0;
    for (let word = 0; word < TRACE_WORDS; word++) trace |= key[word] = words[at + word]!;
    for (let word = TRACE_WORDS; word < ID_WORDS; word++) {
      span |= words[at + word]!;
      key[word] = trace === 0 ? words[at + word]! : 0;
    }
    if ((trace | span) !== 0) ofLabels[set] = ids.intern(key, 0, ID_WORDS, 0);
  }
  return { ids, ofLabels };
}

/** Indices of the largest values above zero, largest first. */
function largestOf(values: Float64Array, limit: number): number[] {
  // Sorting plain numbers is many times faster than sorting indices by them.
  const least = values.slice().sort().at(-limit) ?? 0;
  const indices: number[] = [];
  for (let index = 0; index < values.length; index++) {
    if (values[index]! > 0 && values[index]! >= least) indices.push(index);
  }
  return indices.sort((a, b) => values[b]! - values[a]! || b - a).slice(0, limit);
}

const traceOf = ({ labelSets }: InternedTables, set: number): string =>
  hexOf(labelSets.words, set * LABEL_WORDS, TRACE_WORDS);

const spanOf = ({ labelSets }: InternedTables, set: number): string =>
  hexOf(labelSets.words, set * LABEL_WORDS + TRACE_WORDS, SPAN_WORDS);
