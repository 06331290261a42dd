/** The configuration from all its sources: defaults < file < environment < --set < options. */
import { readFileSync, statSync } from 'node:fs';
import { isLoopback } from '../units/loopback.ts';
import { build } from './build.ts';
import { MAX_BYTES, readYaml } from './document.ts';
import { Draft } from './draft.ts';
import { EXPORTER_KINDS, exporterSchemas } from './exporter-schema.ts';
import { addOtelEnvironment } from './otel-environment.ts';
import { ConfigError, type ConfigProblem, DEFAULT, type Origin, problemText } from './problem.ts';
import { type Config, schema } from './schema.ts';
import { secretWarnings } from './secret-warnings.ts';
import { keysOf, variableOf } from './setting.ts';
import { suggestion } from './suggestion.ts';

export interface Sources {
  /** Path of the YAML file. */
  readonly file: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** `path=value`, as after --set; the last one wins. */
  readonly sets: readonly string[];
  /** What command line options say, as text. */
  readonly options?: readonly OptionValue[];
}

export interface OptionValue {
  /** As typed: `--hz`. */
  readonly option: string;
  readonly path: string;
  readonly text: string;
}

export interface Loaded {
  readonly config: Config;
  /** Of every key that has another than its default, by path; entries of maps have their own. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** What was ignored, one line each. */
  readonly warnings: readonly string[];
}

/** Variables with this beginning that are no keys. */
const OTHER_VARIABLES: readonly string[] = ['FLAMETAP_TOKEN'];

/** @throws ConfigError with all that is wrong */
export function loadConfig(sources: Sources): Loaded {
  const draft = new Draft();
  if (sources.file !== undefined) addFile(draft, sources.file);
  addEnvironment(draft, sources.environment);
  for (const set of sources.sets) addSet(draft, set);
  for (const { option, path, text } of sources.options ?? [])
    draft.addText(path, text, { from: 'option', option });
  const built = build(draft);
  checkPage(draft, built, sources.environment);
  if (draft.problems.length > 0) throw new ConfigError(draft.problems);
  return {
    ...built,
    warnings: [...draft.warnings, ...secretWarnings(built, sources)].map(problemText),
  };
}

/** The agent would not start. */
function checkPage(
  draft: Draft,
  { config, origins }: Pick<Loaded, 'config' | 'origins'>,
  environment: Sources['environment'],
): void {
  const { listen, tokenFile } = config.viewer;
  const host = listen.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  const hasToken = Boolean(environment.FLAMETAP_TOKEN) || tokenFile !== '';
  if (isLoopback(host) || hasToken) return;
  draft.problem(
    origins.get('viewer.listen') ?? DEFAULT,
    'viewer.listen',
    `others can reach ${listen}: give the page a token of at least 16 characters in the variable FLAMETAP_TOKEN or the file viewer.token_file, or listen on 127.0.0.1`,
  );
}

/** @returns the text, or what is wrong with the file */
function readText(file: string): string | ConfigProblem {
  const problem = (message: string): ConfigProblem => ({
    origin: DEFAULT,
    key: file,
    message,
  });
  try {
    // A pipe would wait for a writer, a device never end.
    if (!statSync(file).isFile()) return problem('is not a file');
    const bytes = readFileSync(file);
    if (bytes.length > MAX_BYTES) return problem(`is larger than ${MAX_BYTES >> 10} KiB`);
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return problem('is not UTF-8');
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return problem(code === 'ENOENT' ? 'there is no such file' : `cannot be read: ${code}`);
  }
}

function addFile(draft: Draft, file: string): void {
  const text = readText(file);
  if (typeof text !== 'string') {
    draft.problems.push(text);
    return;
  }
  const originOf = (line: number): Origin => ({ from: 'file', file, line });
  const tree = readYaml(text);
  if ('problem' in tree) draft.problem(originOf(tree.problem.line), '', tree.problem.message);
  else draft.addTree(tree, originOf);
}

function addEnvironment(draft: Draft, environment: Sources['environment']): void {
  addOtelEnvironment(draft, environment);
  const servers = environment.DEBUGINFOD_URLS?.split(/\s+/).filter((word) =>
    /^https?:\/\/./.test(word),
  );
  if (servers && servers.length > 0) {
    const origin: Origin = { from: 'environment', variable: 'DEBUGINFOD_URLS' };
    draft.addText('symbols.debuginfod_urls', servers.join(','), origin);
  }
  const known = new Map(
    [...keysOf(schema)].map(([path]) => [variableOf(path), path.join('.')] as const),
  );
  known.set('FLAMETAP_EXPORTERS', 'exporters');
  const add = (variable: string, path: string): void => {
    const text = environment[variable];
    if (text) draft.addText(path, text, { from: 'environment', variable });
  };
  for (const [variable, path] of known) add(variable, path);
  const names = Object.keys(environment).filter((name) => name.startsWith('FLAMETAP_'));
  const others = names.filter((name) => !known.has(name) && !OTHER_VARIABLES.includes(name));
  for (const variable of others.sort()) {
    const path = exporterPath(variable);
    if (path !== undefined) add(variable, path);
    // Kubernetes sets many of its own for a service that is called flametap.
    else warnOfMisspelling(draft, variable, [...known.keys(), ...OTHER_VARIABLES]);
  }
}

function warnOfMisspelling(draft: Draft, variable: string, known: readonly string[]): void {
  const guess = suggestion(variable, known);
  if (guess === '') return;
  const origin: Origin = { from: 'environment', variable };
  draft.warnings.push({ origin, key: '', message: `is not known${guess}` });
}

/** @returns exporters.0.otlp.tls.ca_file for FLAMETAP_EXPORTERS_0_OTLP_TLS_CA_FILE */
function exporterPath(variable: string): string | undefined {
  const match = /^FLAMETAP_EXPORTERS_(\d{1,2})_([A-Z]+)_[A-Z_]+$/.exec(variable);
  const [, index, name = ''] = match ?? [];
  const kind = EXPORTER_KINDS.find((one) => one.toUpperCase() === name);
  if (kind === undefined) return undefined;
  const above = ['exporters', String(index), kind];
  for (const [path] of keysOf(exporterSchemas[kind], above))
    if (variableOf(path) === variable) return path.join('.');
  return undefined;
}

function addSet(draft: Draft, set: string): void {
  const at = set.indexOf('=');
  if (at > 0) {
    const path = set.slice(0, at).trim();
    draft.addText(path, set.slice(at + 1), { from: 'set', path });
  } else
    draft.problem(
      DEFAULT,
      '--set',
      `'${set.slice(0, 60)}' is not PATH=VALUE, such as capture.hz=49`,
    );
}
