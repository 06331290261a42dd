/** The example file: every key with its default, what it means and what is allowed. */
import { EXPORTER_KINDS, exporterSchemas } from './exporter-schema.ts';
import { schema } from './schema.ts';
import { allowedOf, type Key, type Section, variableOf } from './setting.ts';
import { listText, scalarText } from './yaml-text.ts';

const WIDTH = 98;

function comment(text: string, indent: string): string[] {
  const lines: string[] = [];
  let line = `${indent}#`;
  for (const word of text.split(' ')) {
    if (line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = `${indent}#`;
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}

function defaultText(key: Key): string {
  if (key.is === 'single') return scalarText(key.kind.write(key.example ?? key.fallback));
  if (key.is === 'list') return listText(key.fallback.map((item) => key.kind.write(item)));
  return '{}';
}

function* lines(section: Section, path: readonly string[], indent: string): Generator<string> {
  for (const [name, child] of Object.entries(section.children)) {
    const at = [...path, name];
    if (child.is === 'section') {
      if (path.length === 0) yield '';
      yield* comment(child.doc, indent);
      yield `${indent}${name}:`;
      yield* lines(child, at, `${indent}  `);
    } else {
      const isNeeded = child.is === 'single' && child.example !== undefined;
      const allowed = `${isNeeded ? 'needed; ' : ''}${allowedOf(child)}`;
      yield* comment(`${child.doc} (${allowed})`, indent);
      yield `${indent}${name}: ${defaultText(child)}`;
    }
  }
}

/** Each exporter with its keys, as a list. */
export function exportersExample(): string {
  const items = EXPORTER_KINDS.flatMap((kind) => {
    const { doc } = exporterSchemas[kind];
    const keys = lines(exporterSchemas[kind], ['exporters', kind], '      ');
    return [...comment(doc, '  '), `  - ${kind}:`, ...keys];
  });
  return ['exporters:', ...items].map((line) => `${line}\n`).join('');
}

export function exampleFile(): string {
  const head = [
    ...comment('Configuration of the agent: flametap agent --config flametap.yaml', ''),
    ...comment(
      `Every key is here with its default; leave out what you do not change. The same key is set by a variable (capture.hz: ${variableOf(['capture', 'hz'])}) and on the command line (--set capture.hz=49). Check it with: flametap config check --config flametap.yaml`,
      '',
    ),
  ];
  const exporters = exportersExample().trimEnd().split('\n').slice(1);
  return [
    ...head,
    ...lines(schema, [], ''),
    '',
    ...comment('Where profiles are sent to: none, or a list of these with their defaults.', ''),
    'exporters: []',
    ...exporters.map((line) => `# ${line}`),
  ]
    .map((line) => `${line}\n`)
    .join('');
}
