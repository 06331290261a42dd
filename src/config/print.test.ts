import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { arbitraryConfig } from './arbitrary-config.test-support.ts';
import { exampleFile, exportersExample } from './example.ts';
import { exporterSchemas } from './exporter-schema.ts';
import { loadConfig } from './load.ts';
import { printConfig } from './print.ts';
import { schema } from './schema.ts';
import { keysOf } from './setting.ts';

const folder = mkdtempSync(join(tmpdir(), 'flametap-print-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function loadText(yaml: string) {
  const file = join(folder, 'flametap.yaml');
  writeFileSync(file, yaml);
  return loadConfig({ file, environment: {}, sets: [] });
}

const DEFAULTS = loadConfig({ file: undefined, environment: {}, sets: [] });

test('each value is shown with where it came from', () => {
  const file = join(folder, 'flametap.yaml');
  writeFileSync(file, 'capture:\n  hz: 49\nexporters:\n  - otlp:\n      endpoint: http://a:1\n');
  const environment = { FLAMETAP_LOG_LEVEL: 'debug', OTEL_RESOURCE_ATTRIBUTES: 'a.b=c' };
  const printed = printConfig(loadConfig({ file, environment, sets: ['profile.interval=90s'] }));
  const lines = printed.split('\n').map((line) => line.replace(/ +# /, ' # '));
  for (const line of [
    `  hz: 49 # ${file}:2`,
    '  kernel_stacks: true # default',
    '  level: debug # FLAMETAP_LOG_LEVEL',
    '  interval: 1m30s # --set profile.interval',
    '    a.b: c # OTEL_RESOURCE_ATTRIBUTES',
    `  - otlp: # ${file}:4`,
    `      endpoint: http://a:1 # ${file}:5`,
    '        max_bytes: 512MiB # default',
  ])
    assert.ok(lines.includes(line), `${line}\n${printed}`);
});

test('secrets are not shown', () => {
  const yaml = [
    'symbols: { debuginfod_urls: ["http://me:s3cret@a/"] }',
    'exporters:',
    '  - otlp: { endpoint: "http://me:s3cret@b:1", headers: { authorization: s3cret } }',
    '  - pyroscope: { url: "http://c", basic_auth: { username: me, password: s3cret } }',
    '  - pyroscope: { url: "http://c", bearer_token: s3cret }',
  ].join('\n');
  const printed = printConfig(loadText(yaml));
  assert.doesNotMatch(printed, /s3cret/);
  for (const part of [
    /authorization: "\[redacted\]"/,
    /password: "\[redacted\]"/,
    /bearer_token: "\[redacted\]"/,
    /http:\/\/\[redacted\]@b:1/,
  ])
    assert.match(printed, part);
});

test('what is printed loads as the same configuration', () => {
  fc.assert(
    fc.property(arbitraryConfig, (config) => {
      const printed = printConfig({ config, origins: new Map() });
      assert.deepEqual(loadText(printed).config, config);
    }),
    { seed: 5, numRuns: 300 },
  );
});

test('deploy/flametap.yaml is the schema: every key, with its default', () => {
  const file = join(import.meta.dirname, '../../deploy/flametap.yaml');
  assert.equal(readFileSync(file, 'utf8'), exampleFile());
  const { config, origins } = loadConfig({ file, environment: {}, sets: [] });
  assert.deepEqual(config, DEFAULTS.config);
  const keys = [...keysOf(schema)].filter(([, key]) => key.is !== 'table');
  assert.deepEqual(
    keys.filter(([path]) => !origins.has(path.join('.'))),
    [],
  );
});

test('the exporters of the example have every key with its default', () => {
  const { config, origins } = loadText(exportersExample());
  const [otlp, pyroscope, files] = config.exporters;
  const sets = [
    'exporters.0.otlp.endpoint=http://127.0.0.1:4317',
    'exporters.1.pyroscope.url=http://127.0.0.1:4040',
    'exporters.2.files.directory=/var/lib/flametap/profiles',
  ];
  const least = loadConfig({ file: undefined, environment: {}, sets }).config.exporters;
  assert.deepEqual([otlp, pyroscope, files], least);
  for (const [i, [kind, section]] of Object.entries(exporterSchemas).entries())
    for (const [path, key] of keysOf(section, ['exporters', String(i), kind]))
      assert.ok(key.is === 'table' || origins.has(path.join('.')), path.join('.'));
});
