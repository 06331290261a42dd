import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type OtlpEnvironment, type Protocol, parseOtlpEnvironment } from './otlp-environment.ts';

const prefix = 'OTEL_EXPORTER_OTLP_';

function parse(values: Record<string, string>, fallback: Protocol = 'http/protobuf') {
  const entries = Object.entries(values).map(([name, value]) => [prefix + name, value]);
  return parseOtlpEnvironment(Object.fromEntries(entries), fallback);
}

function settings(values: Record<string, string>, fallback?: Protocol): OtlpEnvironment {
  const parsed = parse(values, fallback);
  assert.deepEqual(parsed.problems, []);
  return parsed.settings;
}

test('nothing set, or set to nothing, is nothing', () => {
  assert.deepEqual(settings({}), {});
  assert.deepEqual(settings({ ENDPOINT: '', TIMEOUT: ' ', HEADERS: '' }), {});
});

test('endpoints: a path is added to the common one of HTTP only', () => {
  const cases: readonly (readonly [Record<string, string>, string])[] = [
    [{ ENDPOINT: 'http://host:4318' }, 'http://host:4318/v1development/profiles'],
    [{ ENDPOINT: 'http://host:4318/' }, 'http://host:4318/v1development/profiles'],
    [{ ENDPOINT: 'https://host/otlp/' }, 'https://host/otlp/v1development/profiles'],
    [{ PROFILES_ENDPOINT: 'http://host:4040' }, 'http://host:4040/'],
    [{ PROFILES_ENDPOINT: 'http://host/a/b?c=d', ENDPOINT: 'http://no' }, 'http://host/a/b?c=d'],
    [{ PROTOCOL: 'grpc', ENDPOINT: 'http://host:4317/path' }, 'http://host:4317'],
    [{ PROTOCOL: 'grpc', ENDPOINT: 'host:4317' }, 'https://host:4317'],
    [{ PROTOCOL: 'grpc', ENDPOINT: 'host:4317', INSECURE: 'true' }, 'http://host:4317'],
    [{ PROTOCOL: 'grpc', ENDPOINT: 'host:4317', INSECURE: '1' }, 'https://host:4317'],
    [{ PROTOCOL: 'grpc', ENDPOINT: 'https://host:4317', INSECURE: 'true' }, 'https://host:4317'],
  ];
  for (const [values, endpoint] of cases) {
    assert.equal(settings(values).endpoint, endpoint, JSON.stringify(values));
  }
  assert.equal(settings({ ENDPOINT: 'host:4317' }, 'grpc').endpoint, 'https://host:4317');
});

test('headers are percent-decoded; names are lower case', () => {
  assert.deepEqual(
    settings({ HEADERS: 'X-Scope-OrgID=team%20a, authorization=Basic%20a%3Db==,' }),
    {
      headers: { 'x-scope-orgid': 'team a', authorization: 'Basic a=b==' },
    },
  );
});

test('of profiles before common', () => {
  const values = {
    PROTOCOL: 'grpc',
    PROFILES_PROTOCOL: 'http/json',
    COMPRESSION: 'gzip',
    PROFILES_COMPRESSION: 'none',
    TIMEOUT: '1',
    PROFILES_TIMEOUT: '0',
    CERTIFICATE: '/no',
    PROFILES_CERTIFICATE: '/ca.pem',
    CLIENT_KEY: '/key.pem',
    CLIENT_CERTIFICATE: '/cert.pem',
  };
  assert.deepEqual(settings(values), {
    protocol: 'http/json',
    compression: 'none',
    timeoutMs: 0,
    caFile: '/ca.pem',
    certFile: '/cert.pem',
    keyFile: '/key.pem',
  });
});

test('what is wrong is left out and told, without secrets', () => {
  const { settings: left, problems } = parse({
    PROTOCOL: 'http',
    ENDPOINT: 'ftp://host',
    COMPRESSION: 'zip',
    PROFILES_TIMEOUT: '10s',
    HEADERS: 'good=1,secret-without-key,bad key=secret,b=%zz,c=a%0Asecret',
  });
  assert.deepEqual(left, { headers: { good: '1' } });
  assert.deepEqual(
    problems.map((problem) => problem.split(':')[0]),
    [
      'OTEL_EXPORTER_OTLP_PROTOCOL',
      'OTEL_EXPORTER_OTLP_ENDPOINT',
      'OTEL_EXPORTER_OTLP_HEADERS',
      'OTEL_EXPORTER_OTLP_HEADERS',
      'OTEL_EXPORTER_OTLP_HEADERS',
      'OTEL_EXPORTER_OTLP_HEADERS',
      'OTEL_EXPORTER_OTLP_COMPRESSION',
      'OTEL_EXPORTER_OTLP_PROFILES_TIMEOUT',
    ],
  );
  assert.doesNotMatch(problems.join(), /secret/);
  assert.match(problems[0]!, /'http' is not grpc, http\/protobuf or http\/json/);
});
