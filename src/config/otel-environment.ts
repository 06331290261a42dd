/**
 * Variables of the OpenTelemetry specification ("Environment Variable Specification",
 * "OTLP Exporter Configuration"). A value that does not fit is ignored with a
 * warning, as it asks; an empty one counts as not set. The variables for profiles
 * are by analogy with those for the other signals, which they beat.
 */
import { resolve } from 'node:path';
import type { Draft, ExporterDraft } from './draft.ts';
import { exporterSchemas } from './exporter-schema.ts';
import { type Origin, Unfit } from './problem.ts';
import { schema } from './schema.ts';
import type { Single, Table } from './setting.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const { otlp } = exporterSchemas;
const PREFIX = 'OTEL_EXPORTER_OTLP_';

const { children } = otlp;
const SINGLES: readonly (readonly [suffix: string, path: string, key: Single<unknown>])[] = [
  ['PROTOCOL', 'protocol', children.protocol],
  ['INSECURE', 'tls.insecure', children.tls.children.insecure],
  ['CERTIFICATE', 'tls.ca_file', children.tls.children.ca_file],
  ['CLIENT_KEY', 'tls.key_file', children.tls.children.key_file],
  ['CLIENT_CERTIFICATE', 'tls.cert_file', children.tls.children.cert_file],
  ['COMPRESSION', 'compression', children.compression],
  ['TIMEOUT', 'timeout', children.timeout],
];

/** As the specification spells a value, to as the schema does. */
function spelled(suffix: string, text: string): string {
  if (suffix === 'INSECURE') return text.toLowerCase();
  // Milliseconds.
  if (suffix === 'TIMEOUT' && /^\d+$/.test(text)) return text === '0' ? text : `${text}ms`;
  const isFile = suffix.startsWith('C') && suffix !== 'COMPRESSION';
  return isFile && !text.startsWith('/') ? resolve(text) : text;
}

/** Lays the variables over what the file says: of the first otlp exporter, which is made if an endpoint is given. */
export function addOtelEnvironment(draft: Draft, environment: Environment): void {
  addResource(draft, environment);
  const origin = (variable: string): Origin => ({ from: 'environment', variable });
  const endpoints = ['ENDPOINT', 'PROFILES_ENDPOINT'].map((suffix) => PREFIX + suffix);
  const names = Object.keys(environment).filter((name) => name.startsWith(PREFIX));
  const given = endpoints.find((name) => environment[name]);
  const isMade = !draft.exporters.some(({ kind }) => kind === 'otlp');
  if (names.length === 0 || (isMade && given === undefined)) return;
  const exporter = draft.firstOtlp(origin(given ?? PREFIX));
  if (isMade) {
    const setting = { value: 'http/protobuf', origin: origin(`default of ${PREFIX}PROTOCOL`) };
    exporter.values.keys.set('protocol', setting);
  }
  const read = (variable: string, path: string, key: Single<unknown>, text: string): void => {
    try {
      exporter.values.keys.set(path, { value: key.kind.read(text), origin: origin(variable) });
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      warn(draft, variable, error.message);
    }
  };
  const general = environment[`${PREFIX}ENDPOINT`];
  const special = environment[`${PREFIX}PROFILES_ENDPOINT`];
  if (general) {
    // What the file says of profiles in particular would hide it.
    exporter.values.keys.delete('profiles_endpoint');
    read(`${PREFIX}ENDPOINT`, 'endpoint', otlp.children.endpoint, general);
  }
  if (special) {
    const { profiles_endpoint: key } = otlp.children;
    read(`${PREFIX}PROFILES_ENDPOINT`, 'profiles_endpoint', key, special);
  }
  for (const [suffix, path, key] of SINGLES) {
    for (const variable of [PREFIX + suffix, `${PREFIX}PROFILES_${suffix}`]) {
      const text = environment[variable];
      if (text) read(variable, path, key, spelled(suffix, text));
    }
  }
  addHeaders(draft, exporter, environment);
}

function addHeaders(draft: Draft, exporter: ExporterDraft, environment: Environment): void {
  const names = [`${PREFIX}PROFILES_HEADERS`, `${PREFIX}HEADERS`];
  const variable = names.find((name) => environment[name]);
  if (variable === undefined) return;
  addPairs(draft, variable, environment[variable]!, otlp.children.headers, (name, setting) => {
    const entries = exporter.values.tables.get('headers') ?? new Map();
    // Names of headers are the same in every case.
    for (const known of entries.keys())
      if (known.toLowerCase() === name.toLowerCase()) entries.delete(known);
    exporter.values.tables.set('headers', entries.set(name, setting));
  });
}

function addResource(draft: Draft, environment: Environment): void {
  const key = schema.children.resource.children.attributes;
  const path = 'resource.attributes';
  const put = (name: string, setting: { value: string; origin: Origin }): void => {
    const entries = draft.root.tables.get(path) ?? new Map();
    draft.root.tables.set(path, entries.set(name, setting));
  };
  const { OTEL_RESOURCE_ATTRIBUTES: attributes, OTEL_SERVICE_NAME: service } = environment;
  if (attributes) addPairs(draft, 'OTEL_RESOURCE_ATTRIBUTES', attributes, key, put);
  if (service)
    addPairs(draft, 'OTEL_SERVICE_NAME', `service.name=${encodeURIComponent(service)}`, key, put);
}

/** `name=value,name=value` as in W3C Baggage, percent-encoded. One that is wrong spoils all. */
function addPairs(
  draft: Draft,
  variable: string,
  text: string,
  key: Table,
  put: (name: string, setting: { value: string; origin: Origin }) => void,
): void {
  const origin: Origin = { from: 'environment', variable };
  const pairs: [string, string][] = [];
  for (const part of text.split(',').filter((one) => one.trim() !== '')) {
    const at = part.indexOf('=');
    const [name, value] = [part.slice(0, Math.max(at, 0)), part.slice(at + 1)].map((one) =>
      decoded(one.trim()),
    );
    if (!name || value === undefined || !fits(key, name, value)) {
      warn(draft, variable, 'is not name=value,name=value with values in percent-encoding');
      return;
    }
    pairs.push([name, value]);
  }
  for (const [name, value] of pairs) put(name, { value, origin });
}

function fits({ name, value }: Table, nameText: string, valueText: string): boolean {
  try {
    name.read(nameText);
    value.read(valueText);
    return true;
  } catch (error) {
    if (error instanceof Unfit) return false;
    throw error;
  }
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function warn(draft: Draft, variable: string, message: string): void {
  const origin: Origin = { from: 'environment', variable };
  draft.warnings.push({ origin, key: '', message: `${message}: ignored` });
}
