/**
 * Prometheus text, version 0.0.4:
 * https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
 */

export const EXPOSITION_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Everything of one name. */
export interface Family {
  readonly name: string;
  /** One line for people. */
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  /** Without two of equal labels; a family without samples is left out. */
  readonly samples: readonly Sample[];
}

export function renderFamilies(families: Iterable<Family>): string {
  let text = '';
  for (const { name, help, type, samples } of families) {
    if (samples.length === 0) continue;
    text += `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n`;
    for (const { labels, value } of samples) text += `${name}${labelText(labels)} ${value}\n`;
  }
  return text;
}

/** One sample for each entry of `counts`, by name of the label. */
export const byLabel = (label: string, counts: Readonly<Record<string, number>>): Sample[] =>
  Object.entries(counts).map(([name, value]) => ({ labels: { [label]: name }, value }));

function labelText(labels: Sample['labels']): string {
  const pairs = Object.entries(labels ?? {}).map(
    ([key, value]) => `${key}="${escapeValue(value)}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

const escapeHelp = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');

const escapeValue = (text: string): string => escapeHelp(text).replaceAll('"', '\\"');
