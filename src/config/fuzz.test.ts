import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { readYaml } from './document.ts';
import { exampleFile, exportersExample } from './example.ts';
import { loadConfig } from './load.ts';
import { ConfigError } from './problem.ts';
import { durationText, readDuration, readSize, sizeText } from './quantity.ts';

const folder = mkdtempSync(join(tmpdir(), 'flametap-fuzz-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const FILE = join(folder, 'flametap.yaml');

/** Loads or throws ConfigError with problems of one line each; nothing else. */
function survives(
  yaml: string | Uint8Array,
  sets: readonly string[] = [],
  environment: Record<string, string> = {},
): void {
  writeFileSync(FILE, yaml);
  try {
    loadConfig({ file: FILE, environment, sets });
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    assert.ok(error.problems.length > 0);
    assert.equal(error.message.split('\n').length, error.problems.length, error.message);
  }
}

const words = [
  ...new Set(exampleFile().match(/[a-z_]{2,}/g)),
  'otlp',
  'files',
  'pyroscope',
  '__proto__',
  'constructor',
];
const word = fc.constantFrom(...words);
const example = exampleFile() + exportersExample();

suite('whatever the sources hold, the answer is a configuration or a ConfigError', () => {
  test('any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => survives(bytes)),
      {
        seed: 1,
        numRuns: 500,
      },
    );
  });

  test('any values under known and unknown keys', () => {
    const { tree } = fc.letrec<{ tree: unknown; node: unknown }>((tie) => ({
      node: fc.oneof(
        { depthSize: 'small' },
        fc.oneof(word, fc.string(), fc.integer(), fc.double(), fc.boolean(), fc.constant(null)),
        fc.array(tie('node'), { maxLength: 4 }),
        tie('tree'),
      ),
      tree: fc.dictionary(word, tie('node'), { maxKeys: 6 }),
    }));
    fc.assert(
      fc.property(tree, (value) => survives(stringify(value))),
      { seed: 2, numRuns: 1000 },
    );
  });

  test('the example with pieces cut, doubled and put elsewhere', () => {
    const at = fc.nat(example.length);
    fc.assert(
      fc.property(at, at, at, fc.string({ maxLength: 5 }), (a, b, c, added) =>
        survives(example.slice(0, a) + added + example.slice(Math.min(b, c), Math.max(b, c))),
      ),
      { seed: 3, numRuns: 300 },
    );
  });

  test('any --set and any variable', () => {
    const path = fc.array(fc.oneof(word, fc.string({ maxLength: 4 }), fc.nat(20).map(String)), {
      maxLength: 5,
    });
    const set = fc.tuple(path, fc.string()).map(([names, value]) => `${names.join('.')}=${value}`);
    const variable = fc.constantFrom(
      'FLAMETAP_CAPTURE_HZ',
      'FLAMETAP_CAPTURE_SCOPE_INCLUDE',
      'FLAMETAP_RESOURCE_ATTRIBUTES',
      'FLAMETAP_EXPORTERS',
      'FLAMETAP_EXPORTERS_0_OTLP_ENDPOINT',
      'OTEL_EXPORTER_OTLP_ENDPOINT',
      'OTEL_EXPORTER_OTLP_HEADERS',
      'OTEL_RESOURCE_ATTRIBUTES',
      'OTEL_SERVICE_NAME',
      'DEBUGINFOD_URLS',
    );
    const environment = fc.dictionary(variable, fc.oneof(fc.string(), word, fc.webUrl()), {
      noNullPrototype: true,
    });
    fc.assert(
      fc.property(fc.array(set, { maxLength: 4 }), environment, (sets, variables) =>
        survives('', sets, variables),
      ),
      { seed: 4, numRuns: 1000 },
    );
  });
});

suite('files that want to cost much', () => {
  const hostile: [string, string][] = [
    ['deep lists', `a: ${'['.repeat(100_000)}`],
    ['deep maps', `a: ${'{a: '.repeat(50_000)}`],
    ['deep blocks', Array.from({ length: 600 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
    [
      'aliases of aliases',
      [
        'a: &a [1,1,1,1,1,1,1,1,1]',
        ...Array.from(
          { length: 20 },
          (_, i) =>
            `b${i}: &${String.fromCharCode(98 + i)} [${`*${String.fromCharCode(97 + i)},`.repeat(9)}]`,
        ),
      ].join('\n'),
    ],
    ['an alias of itself', 'a: &a [*a]'],
    ['many keys', Array.from({ length: 30_000 }, (_, i) => `k${i}: 1`).join('\n')],
    ['many values', `a: [${'1,'.repeat(100_000)}]`],
    ['a long word', `log: { level: ${'x'.repeat(200_000)} }`],
    ['many quotes', `a: ${'"\\u0041" '.repeat(20_000)}`],
    ['many documents', '---\n'.repeat(50_000)],
    ['many comments', '#\n'.repeat(100_000)],
  ];
  for (const [name, yaml] of hostile)
    test(name, () => {
      const before = process.cpuUsage();
      survives(yaml);
      const { user, system } = process.cpuUsage(before);
      assert.ok(user + system < 5e6, `${(user + system) / 1e6} s of CPU`);
    });
});

test('lines are those of the values', () => {
  fc.assert(
    fc.property(fc.nat(50), fc.nat(50), (before, between) => {
      const yaml = `${'# x\n'.repeat(before)}a:\n${'\n'.repeat(between)}  b: 1\n`;
      const tree = readYaml(yaml);
      assert.ok('is' in tree && tree.is === 'map');
      const [a] = tree.entries;
      assert.ok(a?.value.is === 'map');
      assert.deepEqual([a.line, a.value.entries[0]?.line], [before + 1, before + between + 2]);
    }),
    { seed: 6, numRuns: 50 },
  );
});

test('durations and sizes read as what was written', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 40), (value) => {
      assert.equal(readDuration(durationText(value)), value);
      assert.equal(readSize(sizeText(value)), value);
    }),
    { seed: 7 },
  );
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const read of [readDuration(text), readSize(text)])
        assert.ok(read === undefined || Number.isSafeInteger(read));
    }),
    { seed: 8 },
  );
});
