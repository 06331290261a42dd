/** The effective configuration as YAML, each value with where it came from; secrets are not shown. */
import { type ExporterConfig, exporterSchemas } from './exporter-schema.ts';
import { REDACTED, withoutCredentials } from './kind.ts';
import type { Loaded } from './load.ts';
import { originText } from './problem.ts';
import { schema } from './schema.ts';
import { camelCase, type Key, type Section } from './setting.ts';
import { listText, scalarText } from './yaml-text.ts';

interface Line {
  readonly text: string;
  readonly comment: string;
}

/** The comments stand in one column, at most here. */
const MAX_COLUMN = 60;

type Origins = Loaded['origins'];

const commentOf = (origins: Origins, path: string): string => {
  const origin = origins.get(path);
  return origin ? originText(origin) : 'default';
};

const shown = (value: string | number | boolean): string | number | boolean =>
  typeof value === 'string' ? withoutCredentials(value) : value;

function* keyLines(
  key: Key,
  name: string,
  value: unknown,
  path: string,
  indent: string,
  origins: Origins,
): Generator<Line> {
  const comment = commentOf(origins, path);
  if (key.is === 'single') {
    const hidden = key.secret && value !== '';
    const text = scalarText(hidden ? REDACTED : shown(key.kind.write(value)));
    yield { text: `${indent}${name}: ${text}`, comment };
  } else if (key.is === 'list') {
    const items = (value as readonly unknown[]).map((item) => shown(key.kind.write(item)));
    yield { text: `${indent}${name}: ${listText(items)}`, comment };
  } else {
    const entries = Object.entries(value as Readonly<Record<string, string>>);
    if (entries.length === 0) yield { text: `${indent}${name}: {}`, comment };
    else yield { text: `${indent}${name}:`, comment: '' };
    for (const [entry, text] of entries) {
      const written = scalarText(key.secret ? REDACTED : shown(text));
      yield {
        text: `${indent}  ${scalarText(entry)}: ${written}`,
        comment: commentOf(origins, `${path}.${entry}`),
      };
    }
  }
}

function* sectionLines(
  section: Section,
  values: Readonly<Record<string, unknown>>,
  base: string,
  indent: string,
  origins: Origins,
): Generator<Line> {
  for (const [name, child] of Object.entries(section.children)) {
    const value = values[camelCase(name)];
    const path = base + name;
    if (child.is === 'section') {
      yield { text: `${indent}${name}:`, comment: '' };
      yield* sectionLines(
        child,
        value as Readonly<Record<string, unknown>>,
        `${path}.`,
        `${indent}  `,
        origins,
      );
    } else yield* keyLines(child, name, value, path, indent, origins);
  }
}

function* exporterLines(exporters: readonly ExporterConfig[], origins: Origins): Generator<Line> {
  if (exporters.length === 0) yield { text: 'exporters: []', comment: 'default' };
  else yield { text: 'exporters:', comment: '' };
  for (const [i, exporter] of exporters.entries()) {
    const { kind } = exporter;
    yield { text: `  - ${kind}:`, comment: commentOf(origins, `exporters.${i}`) };
    const values = { ...exporter } as Readonly<Record<string, unknown>>;
    const base = `exporters.${i}.${kind}.`;
    yield* sectionLines(exporterSchemas[kind], values, base, '      ', origins);
  }
}

/** @returns YAML that loads as the same configuration, but for secrets */
export function printConfig({ config, origins }: Pick<Loaded, 'config' | 'origins'>): string {
  const lines = [
    ...sectionLines(schema, config, '', '', origins),
    ...exporterLines(config.exporters, origins),
  ];
  const commented = lines.filter(({ comment }) => comment !== '');
  const column = Math.min(MAX_COLUMN, Math.max(...commented.map(({ text }) => text.length)) + 2);
  return lines
    .map(({ text, comment }) => (comment === '' ? text : `${text.padEnd(column - 1)} # ${comment}`))
    .map((line) => `${line}\n`)
    .join('');
}
