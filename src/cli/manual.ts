/** The text that `--help` prints: a command's manual. */
import type { OptionTable } from './options.ts';

export interface Manual {
  /** `flametap record [options]` and other forms, one per line. */
  readonly usage: readonly string[];
  /** Paragraphs. */
  readonly description: readonly string[];
  readonly options: OptionTable;
  readonly examples: readonly { readonly does: string; readonly line: string }[];
  /** Sections after the options, such as exit codes. */
  readonly sections: readonly { readonly title: string; readonly lines: readonly string[] }[];
}

const WIDTH = 92;
const INDENT = '  ';

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** @returns two columns; the right one wrapped */
export function columns(rows: readonly (readonly [string, string])[]): string[] {
  const left = Math.max(...rows.map(([term]) => term.length)) + 2;
  return rows.flatMap(([term, text]) =>
    wrap(text, WIDTH - left - INDENT.length).map(
      (line, i) => `${INDENT}${(i === 0 ? term : '').padEnd(left)}${line}`,
    ),
  );
}

function optionRows(options: OptionTable): [string, string][] {
  const rows = Object.entries(options).map(([name, one]): [string, string] => {
    if (one.kind === 'flag') return [`--${name}`, one.help];
    const term = `--${name} ${one.value}${one.kind === 'repeated' ? '…' : ''}`;
    const fallback = one.kind === 'single' ? one.fallback : undefined;
    return [term, fallback === undefined ? one.help : `${one.help} (default ${fallback})`];
  });
  return [...rows, ['--help', 'this manual']];
}

export function manualText(manual: Manual): string {
  const parts = [
    ...manual.usage.map((line, i) => `${i === 0 ? 'Usage: ' : '       '}${line}`),
    ...manual.description.flatMap((paragraph) => ['', ...wrap(paragraph, WIDTH)]),
    '',
    'Options:',
    ...columns(optionRows(manual.options)),
    ...manual.sections.flatMap(({ title, lines }) => [
      '',
      `${title}:`,
      ...lines.map((line) => `${INDENT}${line}`),
    ]),
    '',
    'Examples:',
    ...manual.examples.flatMap(({ does, line }) => [`${INDENT}# ${does}`, `${INDENT}${line}`]),
  ];
  return `${parts.join('\n')}\n`;
}

export const EXIT_CODES = {
  title: 'Exit codes',
  lines: [
    '0  done',
    '1  failed',
    '2  wrong usage or configuration: the message names the option or key and what is allowed',
    '3  this machine or these privileges cannot do it: see `flametap doctor`',
  ],
} as const;
