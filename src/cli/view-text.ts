/** What `view` prints for people: who took part, and the hottest functions. */
import type { RequestSummary, SlowestTraces, Work } from '../viewer/requests.ts';
import { formatCount } from './quantity.ts';
import { printable } from './terminal-text.ts';

/** As `encodeJson` writes it. */
export interface JsonProfile {
  readonly samples: readonly {
    readonly stack: readonly JsonFrame[];
    readonly count: number;
  }[];
  readonly host: string;
  readonly tally: { readonly lost: Readonly<Record<string, number>> };
}

interface JsonFrame {
  readonly name: string;
  readonly file: string;
  readonly line: number;
  readonly module: string;
}

const MOST_FUNCTIONS = 20;
const MOST_ROWS = 20;
const NAME_WIDTH = 90;

export function requestText(
  what: string,
  summary: RequestSummary,
  profile: JsonProfile,
  traces: SlowestTraces | undefined,
): string {
  const host = profile.host === '' ? '' : `, on ${printable(profile.host)}`;
  const samples = `${formatCount(summary.samples)} ${summary.samples === 1 ? 'sample' : 'samples'}`;
  const lines = [
    `${what}: ${cpuText(summary)} of CPU time in ${samples}, ${timesText(summary)}${host}`,
  ];
  const { services, processes, spans, spanCount } = summary;
  const section = (title: string, rows: readonly (readonly string[])[], more = 0) => {
    if (rows.length <= 1) return;
    lines.push('', title, ...table(rows));
    if (more > 0) lines.push(`  … ${formatCount(more)} more`);
  };
  const shown = <Row>(rows: readonly Row[]): readonly Row[] => rows.slice(0, MOST_ROWS);
  if (traces !== undefined) {
    section(
      'Traces with most CPU time',
      [
        ['CPU', 'samples', 'trace', 'spans', 'services', 'seen until'],
        ...traces.traces.map(({ traceId, spanId, spans: count, services: names, ...work }) => [
          cpuText(work),
          formatCount(work.samples),
          traceId === '' ? `span ${spanId}` : traceId,
          formatCount(count),
          names.map(printable).join(', '),
          timeText(work.lastMs),
        ]),
      ],
      traces.count - traces.traces.length,
    );
  } else {
    section(
      'Spans',
      [
        ['CPU', 'samples', 'span', 'service', 'seen'],
        ...shown(spans).map(({ spanId, service, ...work }) => [
          cpuText(work),
          formatCount(work.samples),
          spanId || '(none)',
          printable(service),
          timesText(work),
        ]),
      ],
      spanCount - Math.min(spanCount, MOST_ROWS),
    );
  }
  section(
    'Services',
    [
      ['CPU', 'samples', 'service'],
      ...shown(services).map(({ name, ...work }) => [
        cpuText(work),
        formatCount(work.samples),
        printable(name),
      ]),
    ],
    services.length - shown(services).length,
  );
  section(
    'Processes',
    [
      ['CPU', 'samples', 'pid', 'process', 'service'],
      ...shown(processes).map(({ name, pid, service, ...work }) => [
        cpuText(work),
        formatCount(work.samples),
        String(pid),
        printable(name),
        printable(service),
      ]),
    ],
    processes.length - shown(processes).length,
  );
  const functions = hottest(profile);
  section(
    'Hottest functions',
    [
      ['self', 'total', 'function', 'where'],
      ...functions.rows.map(({ name, where, self, total }) => [
        percent(self, summary.samples),
        percent(total, summary.samples),
        cut(printable(name)),
        printable(where),
      ]),
    ],
    functions.more,
  );
  return `${lines.join('\n')}\n`;
}

/** Functions by the samples that ended in them, each counted once in a stack. */
function hottest({ samples }: JsonProfile) {
  const functions = new Map<string, { name: string; where: string; self: number; total: number }>();
  for (const { stack, count } of samples) {
    const met = new Set<string>();
    stack.forEach((frame, depth) => {
      const where = frame.file === '' ? frame.module : frame.file;
      const key = `${frame.name}\0${where}`;
      let known = functions.get(key);
      if (known === undefined) {
        known = {
          name: frame.name,
          where: where.slice(where.lastIndexOf('/') + 1),
          self: 0,
          total: 0,
        };
        functions.set(key, known);
      }
      if (depth === 0) known.self += count;
      if (!met.has(key)) known.total += count;
      met.add(key);
    });
  }
  const rows = [...functions.values()].sort((a, b) => b.self - a.self || b.total - a.total);
  return { rows: rows.slice(0, MOST_FUNCTIONS), more: Math.max(0, rows.length - MOST_FUNCTIONS) };
}

/** The first row is the head; columns that hold numbers end at the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const right = new Set(['CPU', 'samples', 'spans', 'pid', 'self', 'total']);
  return rows.map((row) =>
    `  ${row
      .map((cell, column) =>
        right.has(rows[0]![column]!)
          ? cell.padStart(widths[column]!)
          : cell.padEnd(widths[column]!),
      )
      .join('  ')}`.trimEnd(),
  );
}

/** Samples of files that do not say what one stands for have no time. */
function cpuText({ cpuNs }: Work): string {
  if (cpuNs <= 0) return '?';
  const ms = cpuNs / 1e6;
  if (ms < 1_000) return `${ms.toFixed(ms < 100 ? 1 : 0)} ms`;
  return ms < 120_000 ? `${(ms / 1_000).toFixed(2)} s` : `${(ms / 60_000).toFixed(1)} min`;
}

const timeText = (milliseconds: number): string =>
  milliseconds === 0
    ? 'unknown time'
    : new Date(milliseconds)
        .toISOString()
        .replace('T', ' ')
        .replace(/\.\d+Z/, 'Z');

function timesText({ firstMs, lastMs }: Work): string {
  if (lastMs === 0 || firstMs === 0) return 'at an unknown time';
  const first = timeText(firstMs);
  const last = timeText(lastMs);
  const isSameDay = first.slice(0, 11) === last.slice(0, 11);
  return `${first.slice(0, -1)} – ${isSameDay ? last.slice(11) : last}`;
}

const percent = (part: number, all: number): string =>
  `${((100 * part) / Math.max(1, all)).toFixed(1)} %`;

const cut = (text: string): string =>
  text.length > NAME_WIDTH ? `${text.slice(0, NAME_WIDTH - 1)}…` : text;
