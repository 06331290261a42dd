/**
 * The configuration while its sources are laid over one another: values with
 * their origins, by path. What is wrong is gathered, so that all is told at once.
 */

import { readYaml, type Tree } from './document.ts';
import { EXPORTER_KINDS, type ExporterKind, exporterSchemas } from './exporter-schema.ts';
import type { Kind } from './kind.ts';
import { type ConfigProblem, type Origin, Unfit } from './problem.ts';
import { PLANNED, PLANNED_VALUES, schema } from './schema.ts';
import {
  allowedOf,
  type Key,
  type List,
  readSecretly,
  type Section,
  type Single,
  type Table,
} from './setting.ts';
import { suggestion } from './suggestion.ts';

export interface Setting<Value = unknown> {
  readonly value: Value;
  readonly origin: Origin;
}

/** Values below a section; the path is relative to it, joined by dots. */
export interface Values {
  readonly keys: Map<string, Setting>;
  /** Entries of tables, by the path of the table. */
  readonly tables: Map<string, Map<string, Setting<string>>>;
}

export interface ExporterDraft {
  readonly kind: ExporterKind;
  readonly origin: Origin;
  readonly values: Values;
}

/** Where values go: a section, its values, and its path from the top. */
interface Place {
  readonly section: Section;
  readonly values: Values;
  /** Of the outermost section that `values` belongs to: '' or `exporters.0.otlp.`. */
  readonly base: string;
  /** Below it. */
  readonly path: readonly string[];
}

const EXPORTERS = 'exporters';
const MAX_EXPORTERS = 16;

/** As many as the origin has lines for: each value of a file has its own. */
export type OriginOf = (line: number) => Origin;

const emptyValues = (): Values => ({ keys: new Map(), tables: new Map() });

export class Draft {
  readonly root: Values = emptyValues();
  exporters: ExporterDraft[] = [];
  readonly problems: ConfigProblem[] = [];
  /** What was ignored, as the OpenTelemetry specification wants it. */
  readonly warnings: ConfigProblem[] = [];

  problem(origin: Origin, key: string, message: string): void {
    this.problems.push({ origin, key, message });
  }

  /** Takes in a whole document. */
  addTree(tree: Tree, originOf: OriginOf): void {
    this.#section(tree, this.#top(), originOf);
  }

  /**
   * Takes in one value as text, from the environment or the command line.
   * @param path of a key, a section, an entry of a table, or `exporters...`
   */
  addText(path: string, text: string, origin: Origin): void {
    if (path === EXPORTERS) {
      this.#yaml(path, text, origin, (tree) => this.#exporterList(tree, () => origin));
      return;
    }
    const found = this.#find(path, origin);
    if (!found) return;
    const { place, key, entry } = found;
    if (!key) this.#yaml(path, text, origin, (tree) => this.#section(tree, place, () => origin));
    else if (key.is === 'single') this.#single(place, key, text, origin);
    else if (key.is === 'table' && entry !== undefined)
      this.#entry(place, key, entry, text, origin);
    else if (/^\s*[[{]/.test(text))
      this.#yaml(path, text, origin, (tree) => this.#key(tree, place, key, () => origin, origin));
    else if (key.is === 'table') this.#textTable(place, key, text, origin);
    else this.#textList(place, key, text, origin);
  }

  /** The exporter that variables of the OpenTelemetry specification are about; made when there is none. */
  firstOtlp(origin: Origin): ExporterDraft {
    const first = this.exporters.find(({ kind }) => kind === 'otlp');
    if (first) return first;
    const made: ExporterDraft = { kind: 'otlp', origin, values: emptyValues() };
    this.exporters.push(made);
    return made;
  }

  #top(): Place {
    return { section: schema, values: this.root, base: '', path: [] };
  }

  #exporterPlace(index: number): Place {
    const { kind, values } = this.exporters[index]!;
    const base = `${EXPORTERS}.${index}.${kind}.`;
    return { section: exporterSchemas[kind], values, base, path: [] };
  }

  #section(tree: Tree, place: Place, originOf: OriginOf): void {
    const origin = originOf(tree.line);
    if (tree.is === 'scalar' && tree.value === null) return;
    if (tree.is !== 'map') {
      this.problem(
        origin,
        fullPath(place),
        `must be a map of ${Object.keys(place.section.children).join(', ')}`,
      );
      return;
    }
    for (const { key: name, line, value } of tree.entries) {
      const at = originOf(line);
      const inside = step(place, name);
      if (place.section === schema && name === EXPORTERS) this.#exporterList(value, originOf);
      else if (!inside) this.#unknown(place, name, at);
      else if ('section' in inside) this.#section(value, inside, originOf);
      else this.#key(value, inside.place, inside.key, originOf, at);
    }
  }

  #unknown(place: Place, name: string, origin: Origin): void {
    const path = fullPath(place, name);
    if (PLANNED.has(path)) {
      this.problem(origin, path, 'is not supported yet');
      return;
    }
    const known = Object.keys(place.section.children);
    if (place.section === schema) known.push(EXPORTERS);
    const guess = suggestion(name, known);
    this.problem(origin, path, `unknown key${guess || `; known here: ${known.join(', ')}`}`);
  }

  #key(tree: Tree, place: Place, key: Key, originOf: OriginOf, at: Origin): void {
    const path = fullPath(place);
    if (tree.is === 'scalar' && tree.value === null) {
      this.problem(at, path, `has no value; allowed: ${allowedOf(key)}`);
    } else if (key.is === 'table') {
      if (tree.is !== 'map') this.problem(at, path, `must be ${allowedOf(key)}`);
      else for (const each of tree.entries) this.#treeEntry(each, place, key, originOf);
    } else if (key.is === 'list') {
      if (tree.is !== 'list') this.problem(at, path, `must be ${allowedOf(key)}`);
      else
        this.#set(
          place,
          at,
          tree.items.flatMap((item) => this.#treeItem(item, place, key, originOf)),
        );
    } else {
      this.#fromScalar(tree, key.kind, place, at, (text) => this.#single(place, key, text, at));
    }
  }

  #treeItem(tree: Tree, place: Place, key: List<unknown>, originOf: OriginOf): unknown[] {
    const origin = originOf(tree.line);
    const pair = key.pairs ? pairText(tree) : undefined;
    if (pair !== undefined) return this.#item(place, key, pair, origin);
    const take = (text: string) => this.#item(place, key, text, origin);
    return this.#fromScalar(tree, key.kind, place, origin, take) ?? [];
  }

  #treeEntry(
    { key: name, line, value }: { key: string; line: number; value: Tree },
    place: Place,
    key: Table,
    originOf: OriginOf,
  ): void {
    const origin = originOf(line);
    this.#fromScalar(value, key.value, { ...place, path: [...place.path, name] }, origin, (text) =>
      this.#entry(place, key, name, text, origin),
    );
  }

  /** Hands on the text of a scalar of a fitting type. */
  #fromScalar<Result>(
    tree: Tree,
    kind: Kind<unknown>,
    place: Place,
    origin: Origin,
    take: (text: string) => Result,
  ): Result | undefined {
    const path = fullPath(place);
    if (tree.is !== 'scalar' || tree.value === null) {
      this.problem(origin, path, `must be ${kind.allowed}`);
      return undefined;
    }
    const type = typeof tree.value as 'string' | 'number' | 'boolean';
    if (!kind.accepts.includes(type)) {
      const isText = kind.accepts.includes('string') && type !== 'string';
      const hint = isText && fits(kind, String(tree.value)) ? '; write it in quotes' : '';
      this.problem(origin, path, `is a ${type}, not ${kind.allowed}${hint}`);
      return undefined;
    }
    return take(String(tree.value));
  }

  #single(place: Place, key: Single<unknown>, text: string, origin: Origin): void {
    this.#read(fullPath(place), origin, () =>
      this.#set(place, origin, readSecretly(key.kind, key.secret, text)),
    );
  }

  #item(place: Place, key: List<unknown>, text: string, origin: Origin): unknown[] {
    const path = fullPath(place);
    if (PLANNED_VALUES[path]?.test(text)) {
      this.problem(origin, path, `'${text}' is not supported yet; allowed: ${key.kind.allowed}`);
      return [];
    }
    const read: unknown[] = [];
    this.#read(path, origin, () => read.push(key.kind.read(text)));
    return read;
  }

  #entry(place: Place, key: Table, name: string, text: string, origin: Origin): void {
    const path = fullPath(place, name);
    this.#read(path, origin, () => {
      key.name.read(name);
      const value = readSecretly(key.value, key.secret, text);
      const at = place.path.join('.');
      const entries = place.values.tables.get(at) ?? new Map<string, Setting<string>>();
      place.values.tables.set(at, entries.set(name, { value, origin }));
    });
  }

  #textList(place: Place, key: List<unknown>, text: string, origin: Origin): void {
    const parts = text.split(',').map((part) => part.trim());
    const items = parts
      .filter((part) => part !== '')
      .flatMap((part) => this.#item(place, key, part, origin));
    this.#set(place, origin, items);
  }

  #textTable(place: Place, key: Table, text: string, origin: Origin): void {
    for (const part of text.split(',').filter((one) => one.trim() !== '')) {
      const at = part.indexOf('=');
      if (at > 0)
        this.#entry(place, key, part.slice(0, at).trim(), part.slice(at + 1).trim(), origin);
      else this.problem(origin, fullPath(place), 'write name=value,name=value, or YAML in braces');
    }
  }

  #read(path: string, origin: Origin, read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      this.problem(origin, path, error.message);
    }
  }

  #set(place: Place, origin: Origin, value: unknown): void {
    place.values.keys.set(place.path.join('.'), { value, origin });
  }

  #exporterList(tree: Tree, originOf: OriginOf): void {
    const origin = originOf(tree.line);
    const kinds = EXPORTER_KINDS.join(', ');
    if (tree.is === 'scalar' && tree.value === null) return;
    if (tree.is !== 'list') {
      this.problem(origin, EXPORTERS, `must be a list; each a map with one of ${kinds}`);
      return;
    }
    this.exporters = [];
    for (const [i, item] of tree.items.entries()) {
      const at = originOf(item.line);
      const path = `${EXPORTERS}.${i}`;
      const [first, second] = item.is === 'map' ? item.entries : [];
      if (i >= MAX_EXPORTERS) {
        this.problem(at, path, `there can be ${MAX_EXPORTERS} exporters at most`);
        return;
      }
      if (!first || second) {
        const hint = second ? `; start '${second.key}' with a dash of its own, or indent it` : '';
        this.problem(at, path, `must be a map with one of ${kinds}${hint}`);
        // Later ones keep their numbers.
        this.exporters.push({ kind: 'files', origin: at, values: emptyValues() });
        continue;
      }
      const kind = EXPORTER_KINDS.find((one) => one === first.key);
      if (!kind) {
        const guess = suggestion(first.key, EXPORTER_KINDS);
        this.problem(
          originOf(first.line),
          `${path}.${first.key}`,
          `unknown exporter${guess || `; known: ${kinds}`}`,
        );
      }
      this.exporters.push({
        kind: kind ?? 'files',
        origin: originOf(first.line),
        values: emptyValues(),
      });
      if (kind) this.#section(first.value, this.#exporterPlace(i), originOf);
    }
  }

  #yaml(path: string, text: string, origin: Origin, take: (tree: Tree) => void): void {
    const tree = readYaml(text);
    if ('problem' in tree) this.problem(origin, path, tree.problem.message);
    else take(tree);
  }

  /** @returns undefined when there is no such path; that is a problem then */
  #find(path: string, origin: Origin): Found | undefined {
    const names = path.split('.');
    let place = this.#top();
    let at = 0;
    if (names[0] === EXPORTERS) {
      const [, index = '', kindName = ''] = names;
      const number = /^\d{1,2}$/.test(index) ? Number(index) : Number.NaN;
      const kind = EXPORTER_KINDS.find((one) => one === kindName);
      const known = this.exporters[number]?.kind;
      if (
        !kind ||
        !(number <= this.exporters.length) ||
        number >= MAX_EXPORTERS ||
        (known && known !== kind)
      ) {
        const message = known
          ? `exporters.${number} is ${known}: write exporters.${number}.${known}.KEY`
          : `write exporters.NUMBER.TYPE.KEY; there are ${this.exporters.length}, the first is 0, the next would be ${this.exporters.length}; types: ${EXPORTER_KINDS.join(', ')}`;
        this.problem(origin, path, message);
        return undefined;
      }
      if (!known) this.exporters.push({ kind, origin, values: emptyValues() });
      place = this.#exporterPlace(number);
      at = 3;
    }
    for (; at < names.length; at++) {
      const inside = step(place, names[at]!);
      if (!inside) {
        this.#unknown(place, names[at]!, origin);
        return undefined;
      }
      if ('section' in inside) {
        place = inside;
        continue;
      }
      const rest = names.slice(at + 1).join('.');
      if (rest === '') return inside;
      if (inside.key.is === 'table') return { ...inside, entry: rest };
      this.problem(origin, path, `${fullPath(inside.place)} has no keys of its own`);
      return undefined;
    }
    return { place };
  }
}

interface Found {
  readonly place: Place;
  readonly key?: Key;
  /** Of a table. */
  readonly entry?: string;
}

function step(place: Place, name: string): Place | { place: Place; key: Key } | undefined {
  const child = Object.hasOwn(place.section.children, name)
    ? place.section.children[name]
    : undefined;
  if (!child) return undefined;
  const inside = { ...place, path: [...place.path, name] };
  if (child.is === 'section') return { ...inside, section: child };
  return { place: inside, key: child };
}

const fullPath = ({ base, path }: Place, name?: string): string =>
  base + [...path, ...(name === undefined ? [] : [name])].join('.');

function fits(kind: Kind<unknown>, text: string): boolean {
  try {
    kind.read(text);
    return true;
  } catch (error) {
    if (error instanceof Unfit) return false;
    throw error;
  }
}

/** `{ comm: nginx }` as comm=nginx; undefined when it is no map of one scalar. */
function pairText(tree: Tree): string | undefined {
  if (tree.is !== 'map' || tree.entries.length !== 1) return undefined;
  const [{ key, value }] = tree.entries as [(typeof tree.entries)[number]];
  return value.is === 'scalar' && value.value !== null ? `${key}=${value.value}` : undefined;
}
