import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { OtlpExporter } from './exporter-schema.ts';
import { loadConfig } from './load.ts';
import { originText } from './problem.ts';

const folder = mkdtempSync(join(tmpdir(), 'flametap-otel-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function load(environment: Record<string, string>, yaml?: string) {
  const file = yaml === undefined ? undefined : join(folder, 'flametap.yaml');
  if (file !== undefined) writeFileSync(file, yaml!);
  return loadConfig({ file, environment, sets: [] });
}

function otlpOf(environment: Record<string, string>, yaml?: string): OtlpExporter {
  const [first] = load(environment, yaml).config.exporters;
  assert.ok(first?.kind === 'otlp');
  return first;
}

const E = 'OTEL_EXPORTER_OTLP_';
const ENDPOINT = { [`${E}ENDPOINT`]: 'http://a:4318/base' };

test('an endpoint makes an exporter with the default protocol of the specification', () => {
  const { config, origins } = load(ENDPOINT);
  const [made] = config.exporters;
  assert.ok(made?.kind === 'otlp');
  assert.deepEqual([made.endpoint, made.protocol], ['http://a:4318/base', 'http/protobuf']);
  assert.equal(originText(origins.get('exporters.0.otlp.endpoint')!), `${E}ENDPOINT`);
});

test('without an endpoint or an exporter the variables mean nothing', () => {
  assert.deepEqual(load({ [`${E}TIMEOUT`]: '5' }).config.exporters, []);
});

test('the variables for profiles beat those for all signals', () => {
  const made = otlpOf({
    ...ENDPOINT,
    [`${E}PROFILES_ENDPOINT`]: 'https://b/x',
    [`${E}PROTOCOL`]: 'grpc',
    [`${E}PROFILES_PROTOCOL`]: 'http/json',
    [`${E}TIMEOUT`]: '1000',
    [`${E}PROFILES_TIMEOUT`]: '2000',
    [`${E}COMPRESSION`]: 'none',
    [`${E}CERTIFICATE`]: '/ca.pem',
    [`${E}CLIENT_KEY`]: '/key.pem',
    [`${E}CLIENT_CERTIFICATE`]: '/cert.pem',
    [`${E}INSECURE`]: 'TRUE',
    [`${E}HEADERS`]: 'a=1,b=2',
    [`${E}PROFILES_HEADERS`]: 'Authorization=Basic%20eA%3D%3D, b = 3',
  });
  assert.deepEqual(
    [made.endpoint, made.profilesEndpoint, made.protocol, made.timeout, made.compression],
    ['http://a:4318/base', 'https://b/x', 'http/json', 2000, 'none'],
  );
  assert.deepEqual(made.tls, {
    caFile: '/ca.pem',
    certFile: '/cert.pem',
    keyFile: '/key.pem',
    insecure: true,
  });
  assert.deepEqual(made.headers, { Authorization: 'Basic eA==', b: '3' });
});

test('they beat the file, of the first otlp exporter only; FLAMETAP_ beats them', () => {
  const yaml = [
    'exporters:',
    '  - files: { directory: /x }',
    '  - otlp: { endpoint: "f:1", profiles_endpoint: "f:2", headers: { A: f, c: f }, timeout: 1s }',
    '  - otlp: { endpoint: "g:1" }',
  ].join('\n');
  const environment = {
    ...ENDPOINT,
    [`${E}HEADERS`]: 'a=e',
    [`${E}TIMEOUT`]: '7',
    FLAMETAP_EXPORTERS_1_OTLP_TIMEOUT: '3s',
  };
  const [, first, second] = load(environment, yaml).config.exporters;
  assert.ok(first?.kind === 'otlp' && second?.kind === 'otlp');
  assert.deepEqual(
    [first.endpoint, first.profilesEndpoint, first.protocol, first.timeout, first.headers],
    ['http://a:4318/base', '', 'grpc', 3000, { a: 'e', c: 'f' }],
  );
  assert.deepEqual([second.endpoint, second.timeout], ['g:1', 10_000]);
});

test('what does not fit is ignored with a warning, what is empty counts as not set', () => {
  const environment = {
    ...ENDPOINT,
    [`${E}TIMEOUT`]: 'soon',
    [`${E}PROTOCOL`]: 'udp',
    [`${E}COMPRESSION`]: '',
    [`${E}HEADERS`]: 'a=s3cret,b',
    OTEL_RESOURCE_ATTRIBUTES: 'a=%zz',
  };
  const { config, warnings } = load(environment);
  const [made] = config.exporters;
  assert.ok(made?.kind === 'otlp');
  assert.deepEqual(
    [made.timeout, made.protocol, made.compression],
    [10_000, 'http/protobuf', 'gzip'],
  );
  assert.deepEqual([made.headers, config.resource.attributes], [{}, {}]);
  assert.equal(warnings.length, 4);
  assert.ok(
    warnings.every((warning) => /^OTEL_\w+: .*: ignored$/.test(warning)),
    warnings.join(),
  );
  assert.doesNotMatch(warnings.join(), /s3cret/);
});

test('resource attributes are decoded, and OTEL_SERVICE_NAME beats service.name among them', () => {
  const { config } = load({
    OTEL_RESOURCE_ATTRIBUTES: 'service.name=x,deployment.environment.name=k%C3%B6ln%2C1',
    OTEL_SERVICE_NAME: 'node agent',
  });
  assert.deepEqual(config.resource.attributes, {
    'service.name': 'node agent',
    'deployment.environment.name': 'köln,1',
  });
});

test('DEBUGINFOD_URLS gives the servers, words that are none are ignored', () => {
  const environment = { DEBUGINFOD_URLS: 'ima:enforcing http://a/ https://b/' };
  const { config, origins } = load(environment, 'symbols: { debuginfod_urls: [http://c/] }');
  assert.deepEqual(config.symbols.debuginfodUrls, ['http://a/', 'https://b/']);
  assert.equal(originText(origins.get('symbols.debuginfod_urls')!), 'DEBUGINFOD_URLS');
});
