/** Labels as Pyroscope takes them: what breaks a rule makes it refuse the whole series. */
import { processText, serviceText } from '../profile/frame.ts';
import { type Label, type Process, SPAN_ID, TRACE_ID } from '../profile/model.ts';
import { isLabelSent, type RowOptions } from '../profile/otlp-rows.ts';
import { isRequestLabel } from '../profile/request-id.ts';

export interface SeriesOptions extends RowOptions {
  /** Makes a series of each process; without, those of one program are added up. */
  readonly pid: boolean;
  /** On every series. */
  readonly labels: Readonly<Record<string, string>>;
}

/** Defaults of Pyroscope's `-validation.max-label-…`. */
const MAX_NAMES = 30;
const MAX_NAME_BYTES = 1024;
const MAX_VALUE_BYTES = 2048;

/** What a process states of itself that becomes labels. */
const STATED: ReadonlySet<string> = new Set([
  'service.namespace',
  'service.version',
  'deployment.environment.name',
]);

/** Labels of a process's series, by name. */
export function seriesLabels(
  process: Process,
  host: string,
  options: SeriesOptions,
): ReadonlyMap<string, string> {
  const labels = new Map<string, string>();
  const add = (name: string, value: string): void => {
    // What its owner has said goes before what was found out.
    if (value !== '' && labels.size < MAX_NAMES && !labels.has(name))
      labels.set(name, fitting(value, MAX_VALUE_BYTES));
  };
  // Its name for CPU time; without one the series is refused.
  add('__name__', 'process_cpu');
  if (!Object.keys(options.labels).some((name) => labelName(name) === 'service_name'))
    add('service_name', serviceText(process));
  for (const [name, value] of Object.entries(options.labels)) add(labelName(name), value);
  for (const { key, value } of process.resource ?? []) {
    // Others are of one instance, or of nobody's interest: each would make a series.
    if (STATED.has(key)) add(labelName(key), value);
  }
  add('host', host);
  add('process', processText(process));
  if (options.pid) add('pid', String(process.pid));
  return new Map([...labels].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * What is sent of a sample's labels. `trace_id` and `span_id` are columns of
 * their own in Pyroscope; every other label makes a series.
 */
export function sampleLabels(
  labels: readonly Label[],
  series: ReadonlyMap<string, string>,
  options: SeriesOptions,
): readonly Label[] {
  const sent = new Map<string, string>();
  let names = series.size;
  for (const { key, value } of labels) {
    if (key === TRACE_ID || key === SPAN_ID) {
      if (isRequestLabel({ key, value })) sent.set(key, value);
      continue;
    }
    if (value === '' || !isLabelSent(key, options)) continue;
    const name = labelName(key);
    // The series' own label would win, and hide this one.
    if (series.has(name)) continue;
    if (!sent.has(name) && ++names > MAX_NAMES) continue;
    sent.set(name, fitting(value, MAX_VALUE_BYTES));
  }
  return [...sent].map(([key, value]) => ({ key, value }));
}

/**
 * Of letters, digits and `_`, as OpenTelemetry's names are commonly turned into
 * Prometheus's: Pyroscope 2 takes other names too but does not list them, and
 * older ones refuse them. Names with two underscores are its own.
 */
function labelName(key: string): string {
  const name = key.replace(/[^a-zA-Z0-9_]/g, '_').replace(/^_{2,}/, '_');
  return fitting(/^[0-9]/.test(name) || name === '' ? `_${name}` : name, MAX_NAME_BYTES);
}

/** As much of a text as `maxBytes` hold, and valid UTF-8. */
function fitting(text: string, maxBytes: number): string {
  const formed = text.toWellFormed();
  if (formed.length * 3 <= maxBytes || Buffer.byteLength(formed) <= maxBytes) return formed;
  const { read } = new TextEncoder().encodeInto(formed, new Uint8Array(maxBytes));
  return formed.slice(0, read);
}
