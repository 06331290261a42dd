/** From the draft to the configuration: defaults put in, values checked against one another. */
import type { Draft, ExporterDraft, Values } from './draft.ts';
import {
  type ExporterConfig,
  type ExporterKind,
  exporterSchemas,
  type FilesExporter,
  type OtlpExporter,
  type PyroscopeExporter,
} from './exporter-schema.ts';
import type { Origin } from './problem.ts';
import { type Config, schema } from './schema.ts';
import { camelCase, type Section } from './setting.ts';

/** As bpf/maps.h has it. */
const MAX_EXCLUDED_CGROUPS = 8;

/** @param found takes the origins; keys relative to `base` */
function buildSection(
  section: Section,
  values: Values,
  base: string,
  found: Map<string, Origin>,
  above: readonly string[] = [],
): Record<string, unknown> {
  const entries = Object.entries(section.children).map(([name, child]): [string, unknown] => {
    const path = [...above, name];
    const key = path.join('.');
    if (child.is === 'section')
      return [camelCase(name), buildSection(child, values, base, found, path)];
    if (child.is === 'table') {
      const table = [...(values.tables.get(key) ?? [])];
      for (const [entry, { origin }] of table) found.set(`${base}${key}.${entry}`, origin);
      return [
        camelCase(name),
        Object.fromEntries(table.map(([entry, { value }]) => [entry, value])),
      ];
    }
    const setting = values.keys.get(key);
    if (setting) found.set(base + key, setting.origin);
    return [camelCase(name), setting ? setting.value : child.fallback];
  });
  return Object.fromEntries(entries);
}

/** Notes problems with the draft where values contradict one another. */
export function build(draft: Draft): { config: Config; origins: Map<string, Origin> } {
  const origins = new Map<string, Origin>();
  const root = buildSection(schema, draft.root, '', origins);
  const exporters = draft.exporters.map((exporter, i): ExporterConfig => {
    const base = `exporters.${i}`;
    origins.set(base, exporter.origin);
    const { kind, values } = exporter;
    const built = buildSection(exporterSchemas[kind], values, `${base}.${kind}.`, origins);
    // The schema gives both the values and their type.
    const config = { ...built, kind, name: nameOf(draft.exporters, i, built.name) };
    return config as unknown as ExporterConfig;
  });
  const config = { ...root, exporters } as unknown as Config;
  checkScope(draft, config, origins);
  checkExporters(draft, exporters);
  return { config, origins };
}

/** otlp, then otlp-2. */
function nameOf(exporters: readonly ExporterDraft[], index: number, given: unknown): string {
  if (typeof given === 'string' && given !== '') return given;
  const { kind } = exporters[index]!;
  const before = exporters.slice(0, index).filter((one) => one.kind === kind).length;
  return before === 0 ? kind : `${kind}-${before + 1}`;
}

function checkScope(draft: Draft, { capture }: Config, origins: Map<string, Origin>): void {
  const count = (list: keyof Config['capture']['scope'], kind: string): number =>
    capture.scope[list].filter((one) => one.startsWith(`${kind}=`)).length;
  const complain = (list: string, message: string): void => {
    const path = `capture.scope.${list}`;
    draft.problem(origins.get(path)!, path, message);
  };
  for (const kind of ['comm', 'cgroup'])
    if (count('include', kind) > 1) complain('include', `there can be one ${kind} only`);
  if (count('exclude', 'cgroup') > MAX_EXCLUDED_CGROUPS)
    complain('exclude', `there can be ${MAX_EXCLUDED_CGROUPS} cgroups only`);
}

type Complain = (path: string, message: string) => void;

function checkExporters(draft: Draft, exporters: readonly ExporterConfig[]): void {
  const names = new Map<string, number>();
  const before = [...draft.problems];
  for (const [i, exporter] of exporters.entries()) {
    const path = `exporters.${i}`;
    const { kind, origin, values } = draft.exporters[i]!;
    if (before.some(({ key }) => key === path || key.startsWith(`${path}.`))) continue;
    const complain: Complain = (key, message) =>
      draft.problem(values.keys.get(key)?.origin ?? origin, `${path}.${kind}.${key}`, message);
    const same = names.get(exporter.name);
    if (same !== undefined) complain('name', `'${exporter.name}' is the name of exporters.${same}`);
    names.set(exporter.name, i);
    check[kind](exporter as never, complain);
  }
}

const check: Readonly<Record<ExporterKind, (exporter: never, complain: Complain) => void>> = {
  otlp: (exporter: OtlpExporter, complain) => {
    const { endpoint, profilesEndpoint, protocol } = exporter;
    if (endpoint === '' && profilesEndpoint === '')
      complain('endpoint', `is needed: ${exporterSchemas.otlp.children.endpoint.kind.allowed}`);
    if (protocol !== 'grpc') {
      for (const [key, value] of Object.entries({ endpoint, profiles_endpoint: profilesEndpoint }))
        if (value !== '' && !/^https?:\/\//i.test(value))
          complain(key, `'${value}' must start with http:// or https:// for ${protocol}`);
    }
    checkSending(exporter, complain);
  },
  pyroscope: (exporter: PyroscopeExporter, complain) => {
    if (exporter.url === '') complain('url', 'is needed: an http:// or https:// URL');
    const { basicAuth, bearerToken, bearerTokenFile } = exporter;
    if (basicAuth.password !== '' && basicAuth.passwordFile !== '')
      complain('basic_auth.password', 'excludes password_file');
    if (basicAuth.username === '' && (basicAuth.password !== '' || basicAuth.passwordFile !== ''))
      complain('basic_auth.username', 'is needed with a password');
    if (bearerToken !== '' && bearerTokenFile !== '')
      complain('bearer_token', 'excludes bearer_token_file');
    if (basicAuth.username !== '' && (bearerToken !== '' || bearerTokenFile !== ''))
      complain('basic_auth.username', 'excludes a bearer token');
    checkSending(exporter, complain);
  },
  files: ({ directory }: FilesExporter, complain) => {
    if (directory === '') complain('directory', 'is needed: an absolute path');
  },
};

function checkSending(
  { tls, retry }: Pick<OtlpExporter | PyroscopeExporter, 'tls' | 'retry'>,
  complain: Complain,
): void {
  if (tls.certFile !== '' && tls.keyFile === '')
    complain('tls.key_file', 'is needed with cert_file');
  if (tls.keyFile !== '' && tls.certFile === '')
    complain('tls.cert_file', 'is needed with key_file');
  if (retry.initial > retry.max) complain('retry.initial', 'is longer than retry.max');
}
