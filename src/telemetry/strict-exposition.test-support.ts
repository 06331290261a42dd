/** A parser of Prometheus text that forgives nothing, for tests. */

export interface ParsedFamily {
  readonly help: string;
  readonly type: string;
  /** By labels as they are written, such as `{reason="x"}`; '' = none. */
  readonly samples: Map<string, number>;
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const HELP = new RegExp(`^# HELP (${NAME}) ((?:[^\\\\\\n]|\\\\\\\\|\\\\n)+)$`);
const TYPE = new RegExp(`^# TYPE (${NAME}) (counter|gauge)$`);
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
const SAMPLE = new RegExp(
  `^(${NAME})(\\{${LABEL}(?:,${LABEL})*\\})? (\\d+(?:\\.\\d+)?(?:e[+-]?\\d+)?)$`,
);

/**
 * HELP, TYPE and at least one sample per family, in this order and in one piece;
 * no sample twice, counters end in _total, names of labels sorted as written are unique.
 * @throws Error with the line
 */
export function parseExposition(text: string): Map<string, ParsedFamily> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const families = new Map<string, ParsedFamily>();
  let current: string | undefined;
  const lines = text.slice(0, -1).split('\n');
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!;
    const fail = (why: string): never => {
      throw new Error(`line ${at + 1}: ${why}: ${line}`);
    };
    const help = HELP.exec(line);
    if (help) {
      const [, name = '', words = ''] = help;
      const [, typed, type = ''] = TYPE.exec(lines[++at] ?? '') ?? fail('no TYPE after HELP');
      if (typed !== name) fail('TYPE of another name');
      if (families.has(name)) fail('the family is there twice');
      if ((type === 'counter') !== name.endsWith('_total')) fail('counters end in _total');
      if (current !== undefined && families.get(current)!.samples.size === 0) fail('empty family');
      families.set(name, { help: words, type, samples: new Map() });
      current = name;
      continue;
    }
    const [, name, labels = '', value] = SAMPLE.exec(line) ?? fail('not a sample');
    if (name !== current) fail('a sample outside of its family');
    const keys = [...labels.matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="(?:[^"\\]|\\.)*"/g)].map(
      (m) => m[1],
    );
    if (new Set(keys).size < keys.length) fail('a label twice');
    const { samples } = families.get(name!)!;
    if (samples.has(labels)) fail('a sample twice');
    samples.set(labels, Number(value));
  }
  return families;
}

/** Of one sample. @throws Error when it is not there */
export function sampleValue(
  families: Map<string, ParsedFamily>,
  name: string,
  labels = '',
): number {
  const value = families.get(name)?.samples.get(labels);
  if (value === undefined) throw new Error(`no ${name}${labels}`);
  return value;
}
