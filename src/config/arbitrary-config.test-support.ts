/** Any configuration that could have been loaded, without secrets. */
import fc from 'fast-check';
import { EXPORTER_KINDS, type ExporterKind, exporterSchemas } from './exporter-schema.ts';
import type { Kind } from './kind.ts';
import { Unfit } from './problem.ts';
import { type Config, schema } from './schema.ts';
import { camelCase, type Key, type Section } from './setting.ts';

/** Texts of which some fit each kind. */
const texts: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({ maxLength: 20 }),
  fc.stringMatching(/^[a-z0-9_-]{1,12}$/),
  fc.nat(2000).map(String),
  fc.integer({ min: 1, max: 1e8 }).map((size) => String(size)),
  fc.integer({ min: 1, max: 1e8 }).map((ms) => `${ms}ms`),
  fc.integer({ min: 17, max: 23 }).map((bits) => String(2 ** bits)),
  fc.constantFrom(
    'true',
    'false',
    'null',
    '~',
    '0',
    '1.5',
    '0x10',
    '-1',
    '.inf',
    'yes',
    '[a',
    '# x',
  ),
  fc.constantFrom('info', 'warn', 'thread', 'goroutine', 'grpc', 'http/json', 'gzip', 'pprof'),
  fc.constantFrom(
    'pid=12',
    'comm=a: b',
    'comm=#',
    'cgroup=/sys/fs/cgroup',
    '127.0.0.1:1',
    '[::1]:0',
  ),
  fc.webUrl({ withQueryParameters: true }),
  fc.string({ maxLength: 10 }).map((path) => `/${path}`),
);

function fitting<Value>(kind: Kind<Value>, fallback: Value): fc.Arbitrary<Value> {
  return texts.map((text) => {
    try {
      return kind.read(text);
    } catch (error) {
      if (error instanceof Unfit) return fallback;
      throw error;
    }
  });
}

function anyOf(key: Key): fc.Arbitrary<unknown> {
  if (key.is === 'single')
    return key.secret
      ? fc.constant(key.fallback)
      : fc.oneof(
          fc.constant(key.example ?? key.fallback),
          fitting(key.kind, key.example ?? key.fallback),
        );
  if (key.is === 'table') {
    if (key.secret) return fc.constant({});
    return fc
      .array(fc.tuple(fitting(key.name, 'a'), fitting(key.value, 'b')), { maxLength: 4 })
      .map((entries) => Object.fromEntries(entries));
  }
  const known = fitting<unknown>(key.kind, undefined);
  return fc.array(known, { maxLength: 4 }).map((all) => all.filter((one) => one !== undefined));
}

function sectionValues({ children }: Section): fc.Arbitrary<Record<string, unknown>> {
  const entries = Object.entries(children).map(
    ([name, child]) =>
      [camelCase(name), child.is === 'section' ? sectionValues(child) : anyOf(child)] as const,
  );
  return fc.record(Object.fromEntries(entries), { noNullPrototype: true });
}

const exporterOf = (kind: ExporterKind): fc.Arbitrary<Record<string, unknown>> =>
  sectionValues(exporterSchemas[kind]).map((values) => ({ ...values, kind }));

/** As it is after the checks of values against one another. */
function consistent(config: Config): Config {
  const include = config.capture.scope.include.filter(
    (one, i, all) =>
      one.startsWith('pid=') ||
      all.findIndex((other) => other.slice(0, 4) === one.slice(0, 4)) === i,
  );
  const exclude = config.capture.scope.exclude.filter(
    (one, i) => i < 8 || !one.startsWith('cgroup='),
  );
  const exporters = config.exporters.map((exporter, i) => {
    const named = { ...exporter, name: `${exporter.name}`.slice(0, 60) + String(i) };
    if (named.kind === 'files') return { ...named, directory: named.directory || '/x' };
    const retry = { ...named.retry, initial: Math.min(named.retry.initial, named.retry.max) };
    const pair = named.tls.certFile === '' ? '' : named.tls.keyFile || '/key';
    const certFile = pair === '' ? '' : named.tls.certFile;
    if (named.kind === 'otlp') {
      const tls = { ...named.tls, certFile, keyFile: pair };
      const endpoint = named.endpoint.startsWith('http') ? named.endpoint : 'http://a';
      return { ...named, retry, tls, endpoint, profilesEndpoint: '' };
    }
    const tls = { ...named.tls, certFile, keyFile: pair };
    const basicAuth = { username: '', password: '', passwordFile: '' };
    return { ...named, retry, tls, basicAuth, url: named.url || 'http://a' };
  });
  return { ...config, capture: { ...config.capture, scope: { include, exclude } }, exporters };
}

export const arbitraryConfig: fc.Arbitrary<Config> = fc
  .tuple(
    sectionValues(schema),
    fc.array(fc.constantFrom(...EXPORTER_KINDS).chain(exporterOf), { maxLength: 3 }),
  )
  .map(([values, exporters]) => consistent({ ...values, exporters } as unknown as Config));
