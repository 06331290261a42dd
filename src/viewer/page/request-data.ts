/** Traces and requests as the agent tells them (src/viewer/requests.ts), checked. */

export interface Work {
  readonly samples: number;
  readonly cpuNs: number;
  /** Milliseconds since 1970, 0 = not known. */
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface TraceRow extends Work {
  readonly traceId: string;
  readonly spanId: string;
  readonly spans: number;
  readonly services: readonly string[];
}

export interface SpanRow extends Work {
  readonly traceId: string;
  readonly spanId: string;
  readonly service: string;
}

export interface PartRow extends Work {
  readonly name: string;
  /** 0 = a service. */
  readonly pid: number;
}

export interface Traces {
  readonly traces: readonly TraceRow[];
  readonly count: number;
}

export interface RequestView extends Work {
  readonly spans: readonly SpanRow[];
  readonly spanCount: number;
  readonly services: readonly PartRow[];
  readonly processes: readonly PartRow[];
}

type Fields = Readonly<Record<string, unknown>>;

const fields = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
const rows = (value: unknown): Fields[] => (Array.isArray(value) ? value.map(fields) : []);
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const count = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0;

const work = ({ samples, cpuNs, firstMs, lastMs }: Fields): Work => ({
  samples: count(samples),
  cpuNs: count(cpuNs),
  firstMs: count(firstMs),
  lastMs: count(lastMs),
});
const part = (row: Fields): PartRow => ({
  ...work(row),
  name: text(row.name),
  pid: count(row.pid),
});

export function readTraces(value: unknown): Traces {
  const { traces, count: all } = fields(value);
  return {
    count: count(all),
    traces: rows(traces).map((row) => ({
      ...work(row),
      traceId: text(row.traceId),
      spanId: text(row.spanId),
      spans: count(row.spans),
      services: Array.isArray(row.services) ? row.services.map(text) : [],
    })),
  };
}

export function readRequest(value: unknown): RequestView {
  const request = fields(value);
  return {
    ...work(request),
    spanCount: count(request.spanCount),
    spans: rows(request.spans).map((row) => ({
      ...work(row),
      traceId: text(row.traceId),
      spanId: text(row.spanId),
      service: text(row.service),
    })),
    services: rows(request.services).map(part),
    processes: rows(request.processes).map(part),
  };
}
