/**
 * The options of a command as a typed table: one place gives the parser its
 * rules and the manual its words.
 */
import { parseArgs } from 'node:util';
import { suggestion } from '../config/suggestion.ts';
import { UsageError } from './errors.ts';

/** Present or absent. */
export interface Flag {
  readonly kind: 'flag';
  readonly help: string;
}

/** `--name VALUE`, once; `fallback` when it is not given. */
export interface Single<Value> {
  readonly kind: 'single';
  readonly value: string;
  readonly parse: (text: string) => Value;
  readonly help: string;
  /** As the user would write it; shown in the manual. */
  readonly fallback: string | undefined;
}

/** `--name VALUE`, any number of times. */
export interface Repeated<Value> {
  readonly kind: 'repeated';
  readonly value: string;
  readonly parse: (text: string) => Value;
  readonly help: string;
}

export type Option = Flag | Single<unknown> | Repeated<unknown>;
export type OptionTable = Readonly<Record<string, Option>>;

type ValueOf<One> = One extends Flag
  ? boolean
  : One extends Repeated<infer Value>
    ? readonly Value[]
    : One extends Single<infer Value>
      ? One extends { readonly fallback: string }
        ? Value
        : Value | undefined
      : never;

/** What was typed, by option; options with a fallback are never undefined. */
export type OptionValues<Table extends OptionTable> = {
  readonly [Name in keyof Table]: ValueOf<Table[Name]>;
};

export interface ParsedLine<Table extends OptionTable> {
  readonly values: OptionValues<Table>;
  /** Names of the options that were typed. */
  readonly given: ReadonlySet<string>;
  /** Words before `--`. */
  readonly words: readonly string[];
  /** Words after `--`; undefined when there is no `--`. */
  readonly command: readonly string[] | undefined;
}

const verbatim = (text: string): string => text;

export function flag(help: string): Flag {
  return { kind: 'flag', help };
}

export function single<Value>(
  value: string,
  parse: (text: string) => Value,
  help: string,
): Single<Value> & { readonly fallback: undefined } {
  return { kind: 'single', value, parse, help, fallback: undefined };
}

export function defaulted<Value>(
  value: string,
  parse: (text: string) => Value,
  fallback: string,
  help: string,
): Single<Value> & { readonly fallback: string } {
  return { kind: 'single', value, parse, help, fallback };
}

export function repeated<Value>(
  value: string,
  parse: (text: string) => Value,
  help: string,
): Repeated<Value> {
  return { kind: 'repeated', value, parse, help };
}

/** An option that takes any text but the empty one. */
export function text(value: string, help: string): ReturnType<typeof single<string>> {
  return single(value, verbatim, help);
}

/**
 * @throws UsageError naming the option and what it allows
 */
export function parseLine<Table extends OptionTable>(
  table: Table,
  args: readonly string[],
): ParsedLine<Table> {
  // Not strict: parseArgs' own messages neither suggest nor say what is allowed.
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(
      Object.entries(table).map(([name, one]) => [
        name,
        { type: one.kind === 'flag' ? ('boolean' as const) : ('string' as const) },
      ]),
    ),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const end = tokens.find((token) => token.kind === 'option-terminator')?.index ?? args.length;
  const texts = new Map<string, string[]>();
  const words: string[] = [];
  for (const token of tokens) {
    if (token.index >= end) break;
    if (token.kind === 'positional') words.push(token.value);
    if (token.kind !== 'option') continue;
    const one = Object.hasOwn(table, token.name) ? table[token.name] : undefined;
    if (one === undefined)
      throw new UsageError(
        `unknown option '${token.rawName}'${suggestion(
          token.rawName,
          Object.keys(table).map((name) => `--${name}`),
        )}`,
      );
    texts.set(token.name, [...(texts.get(token.name) ?? []), checkedText(token, one)]);
  }
  const values = Object.entries(table).map(([name, one]) => [name, convert(name, one, texts)]);
  return {
    values: Object.fromEntries(values) as OptionValues<Table>,
    given: new Set(texts.keys()),
    words,
    command: end < args.length ? args.slice(end + 1) : undefined,
  };
}

function checkedText(
  token: { rawName: string; value: string | undefined; inlineValue: boolean | undefined },
  one: Option,
): string {
  if (one.kind === 'flag') {
    if (token.value !== undefined) throw new UsageError(`${token.rawName} takes no value`);
    return '';
  }
  const looksLikeOption = !token.inlineValue && /^-./.test(token.value ?? '');
  if (token.value === undefined || token.value === '' || looksLikeOption)
    throw new UsageError(`${token.rawName} needs a value: ${token.rawName} ${one.value}`);
  return token.value;
}

function convert(name: string, one: Option, given: ReadonlyMap<string, string[]>): unknown {
  const texts = given.get(name) ?? [];
  if (one.kind === 'flag') return texts.length > 0;
  const parse = (value: string): unknown => {
    try {
      return one.parse(value);
    } catch (error) {
      if (error instanceof UsageError) throw new UsageError(`--${name}: ${error.message}`);
      throw error;
    }
  };
  if (one.kind === 'repeated') return texts.map(parse);
  if (texts.length > 1) throw new UsageError(`--${name} is given more than once`);
  const typed = texts[0] ?? one.fallback;
  return typed === undefined ? undefined : parse(typed);
}
