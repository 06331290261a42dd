/**
 * What the schema is made of: one value says of each key its type, default,
 * unit and meaning; the types of the configuration follow from it.
 */
import type { Kind } from './kind.ts';
import { Unfit } from './problem.ts';

interface Described {
  /** For people, one sentence. */
  readonly doc: string;
}

/** One value. */
export interface Single<Value> extends Described {
  readonly is: 'single';
  readonly kind: Kind<Value>;
  readonly fallback: Value;
  /** Never shown: the value is a secret. */
  readonly secret: boolean;
  /** Shown instead of the default in the example; for keys that cannot do without a value. */
  readonly example: Value | undefined;
}

/** Values in an order. As text: separated by commas, or YAML in brackets. */
export interface List<Value> extends Described {
  readonly is: 'list';
  readonly kind: Kind<Value>;
  readonly fallback: readonly Value[];
  /** `{ a: b }` in the file stands for the text `a=b`. */
  readonly pairs: boolean;
}

/** Texts by name; a later source adds to an earlier one. As text: `a=b,c=d`, or YAML in braces. */
export interface Table extends Described {
  readonly is: 'table';
  readonly name: Kind<string>;
  readonly value: Kind<string>;
  readonly secret: boolean;
}

export type Children = Readonly<Record<string, Setting>>;

export interface Section<Inside extends Children = Children> extends Described {
  readonly is: 'section';
  readonly children: Inside;
}

export type Key = Single<unknown> | List<unknown> | Table;
export type Setting = Key | Section;

type Camel<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : Name;

/** The values of a setting: sections become objects with names in camelCase. */
export type ValueOf<One> =
  One extends Section<infer Inside>
    ? { readonly [Name in keyof Inside & string as Camel<Name>]: ValueOf<Inside[Name]> }
    : One extends Table
      ? Readonly<Record<string, string>>
      : One extends List<infer Value>
        ? readonly Value[]
        : One extends Single<infer Value>
          ? Value
          : never;

export function single<Value>(
  kind: Kind<Value>,
  fallback: Value,
  doc: string,
  { secret = false, example }: { secret?: boolean; example?: Value } = {},
): Single<Value> {
  return { is: 'single', kind, fallback, doc, secret, example };
}

export function list<Value>(
  kind: Kind<Value>,
  fallback: readonly Value[],
  doc: string,
  { pairs = false } = {},
): List<Value> {
  return { is: 'list', kind, fallback, doc, pairs };
}

export function table(
  name: Kind<string>,
  value: Kind<string>,
  doc: string,
  { secret = false } = {},
): Table {
  return { is: 'table', name, value, doc, secret };
}

export function section<const Inside extends Children>(
  doc: string,
  children: Inside,
): Section<Inside> {
  return { is: 'section', doc, children };
}

/** @returns ringBytesPerCpu for ring_bytes_per_cpu */
export const camelCase = (name: string): string =>
  name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

/** All keys below a section, in the order of the schema, with their paths. */
export function* keysOf(
  { children }: Section,
  above: readonly string[] = [],
): Generator<[path: readonly string[], key: Key]> {
  for (const [name, child] of Object.entries(children)) {
    const path = [...above, name];
    if (child.is === 'section') yield* keysOf(child, path);
    else yield [path, child];
  }
}

/** @returns FLAMETAP_CAPTURE_HZ for capture.hz */
export const variableOf = (path: readonly string[]): string =>
  `FLAMETAP_${path.join('_').toUpperCase()}`;

/** What a key allows, for people. */
export function allowedOf(key: Key): string {
  if (key.is === 'single') return key.kind.allowed;
  if (key.is === 'list') return `a list; each ${key.kind.allowed}`;
  return `a map of ${key.name.allowed} to ${key.value.allowed}`;
}

/** @throws Unfit that does not repeat a secret */
export function readSecretly<Value>(kind: Kind<Value>, secret: boolean, text: string): Value {
  if (!secret) return kind.read(text);
  try {
    return kind.read(text);
  } catch (error) {
    if (error instanceof Unfit) throw new Unfit(`its value (not shown) is not ${kind.allowed}`);
    throw error;
  }
}
