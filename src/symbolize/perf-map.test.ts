import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { processAddress } from '../units/units.ts';
import { CodePages, pageOf } from './code-pages.ts';
import { cpuMilliseconds } from './cpu-time.test-support.ts';
import { JIT_CODE_LIMITS } from './jit-code.ts';
import { PerfMap } from './perf-map.ts';

const SEED = 20261121;
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const mapOf = (...parts: string[]): PerfMap => {
  const map = new PerfMap();
  for (const part of parts) map.append(encode(part));
  return map;
};
const nameAt = (map: PerfMap, address: number): string | undefined =>
  map.lookup(processAddress(address))?.line.systemName;

test('entries cover their own bytes and nothing else', () => {
  const map = mapOf('1000 10 first\n2000 20 second one\n');
  assert.equal(nameAt(map, 0xfff), undefined);
  assert.equal(nameAt(map, 0x1000), 'first');
  assert.equal(nameAt(map, 0x100f), 'first');
  assert.equal(nameAt(map, 0x1010), undefined);
  assert.equal(nameAt(map, 0x201f), 'second one');
});

test('prefixes, upper case, tabs and more blanks are understood', () => {
  const map = mapOf('0x1000 0x10 a\n200A 1F b\n\t3000\t10\tc\n  4000   10 d\n');
  for (const [address, name] of [
    [0x1000, 'a'],
    [0x200a, 'b'],
    [0x3000, 'c'],
    [0x4000, 'd'],
  ] as const) {
    assert.equal(nameAt(map, address), name);
  }
});

test('malformed lines are counted and passed over', () => {
  const map = mapOf(
    'zz 10 a\n1000\n1000 10\n1000 10 \n1000 0 empty\n\n11111111111111111 1 x\n2000 10 ok\n',
  );
  assert.equal(map.size, 1);
  assert.equal(nameAt(map, 0x2000), 'ok');
  assert.deepEqual([...map.problems], [['line_malformed', 6]]);
});

test('a line still being written is taken up when its rest has come', () => {
  const map = mapOf('1000 10 whole\n2000 10 ha');
  assert.equal(nameAt(map, 0x2000), undefined);
  map.append(encode('lf\n3000 1'));
  assert.equal(nameAt(map, 0x2000), 'half');
  map.append(encode('0 third'));
  map.append(encode('\n'));
  assert.equal(nameAt(map, 0x3008), 'third');
  assert.equal(map.problems.size, 0);
});

test('code that replaces other code has its addresses, the rest stays', () => {
  const map = mapOf('1000 100 old\n1040 20 new\n');
  const check = () => {
    assert.equal(nameAt(map, 0x103f), 'old');
    assert.equal(nameAt(map, 0x1040), 'new');
    assert.equal(nameAt(map, 0x105f), 'new');
    assert.equal(nameAt(map, 0x1060), 'old');
  };
  check();
  map.append(
    encode(
      Array.from({ length: 2000 }, (_, at) => `${(0x9000 + at * 16).toString(16)} 10 x\n`).join(''),
    ),
  );
  check();
});

test('bounds on entries and names are kept; replaced code makes room, then what is old', () => {
  const map = new PerfMap({ ...JIT_CODE_LIMITS, maxEntries: 4 });
  for (let round = 0; round < 10; round++) map.append(encode(`1000 10 round${round}\n`));
  assert.equal(nameAt(map, 0x1000), 'round9');
  assert.equal(map.problems.size, 0);
  for (let at = 0; at < 10; at++) map.append(encode(`${(0x2000 + at * 16).toString(16)} 10 n\n`));
  assert.ok(map.size <= 4);
  assert.equal(map.problems.get('entries_forgotten')! + map.size, 11);
  assert.equal(nameAt(map, 0x2000 + 9 * 16), 'n');
  assert.equal(nameAt(map, 0x1000), undefined);
  const names = new PerfMap({ ...JIT_CODE_LIMITS, maxNameBytes: 10 });
  names.append(encode('1000 10 12345678\n2000 10 abcdefgh\n'));
  assert.deepEqual([nameAt(names, 0x1000), nameAt(names, 0x2000)], [undefined, 'abcdefgh']);
  assert.deepEqual([...names.problems], [['entries_forgotten', 1]]);
});

test('entries outside of the pages that are asked for take no room', () => {
  const pages = CodePages.of(new Set([pageOf(0x5000)]));
  const map = new PerfMap(JIT_CODE_LIMITS, pages);
  for (let at = 0; at < 1000; at++) map.append(encode(`${(at * 0x400).toString(16)} 400 n${at}\n`));
  map.append(encode('4ff0 20 across\n1 5fff around\nnonsense\n'));
  assert.equal(map.size, 6);
  assert.equal(nameAt(map, 0x5ffe), 'around');
  assert.equal(nameAt(map, 0x6001), undefined);
  assert.deepEqual([...map.problems], [['line_malformed', 1]]);
});

test('whatever was left out, addresses in the pages have the names of a whole map', () => {
  const entry = fc.tuple(fc.integer({ min: 1, max: 60_000 }), fc.integer({ min: 1, max: 9_000 }));
  fc.assert(
    fc.property(
      fc.array(entry, { maxLength: 40 }),
      fc.uniqueArray(fc.integer({ min: 0, max: 16 }), { maxLength: 5 }),
      (entries, pages) => {
        const text = entries.map(
          ([at, size], index) => `${at.toString(16)} ${size.toString(16)} n${index}\n`,
        );
        const whole = mapOf(...text);
        const part = new PerfMap(JIT_CODE_LIMITS, CodePages.of(new Set(pages)));
        part.append(encode(text.join('')));
        for (const page of pages) {
          for (let address = page * 4096; address < (page + 1) * 4096; address += 97) {
            assert.equal(nameAt(part, address), nameAt(whole, address));
          }
        }
      },
    ),
    { seed: SEED, numRuns: 200 },
  );
});

test('a line without end does not fill the memory', () => {
  const map = new PerfMap();
  for (let chunk = 0; chunk < 100; chunk++) map.append(encode('x'.repeat(10_000)));
  map.append(encode('\n1000 10 after\n'));
  assert.equal(nameAt(map, 0x1000), 'after');
  assert.deepEqual([...map.problems], [['line_too_long', 1]]);
});

test('V8 entries show function, file and line, whatever tier wrote them', () => {
  const map = mapOf(
    '1000 10 JS:*handle /srv/my app/file.js:12:3\n',
    "2000 10 JS:+'get size file:///srv/a%20b.mjs:7:1\n",
    '3000 10 LazyCompile:~ node:internal/fs:1:1\n',
    '4000 10 Script:~ /srv/main.js:1:1\n',
    '5000 10 JS:^ /srv/main.js:4:9\n',
    '6000 10 Builtin:ArrayMap\n7000 10 RegExp:a(b+):c\n',
    '8000 10 Function:*run evalmachine.<anonymous>:2:5\n',
  );
  const rows = [1, 2, 3, 4, 5, 6, 7, 8].map((page) => {
    const { type, line } = map.lookup(processAddress(page * 0x1000))!;
    assert.equal(type, 'v8js');
    return [line.name, line.file, line.line, line.column];
  });
  assert.deepEqual(rows, [
    ['handle', '/srv/my app/file.js', 12, 3],
    ['get size', '/srv/a b.mjs', 7, 1],
    ['(top level)', 'node:internal/fs', 1, 1],
    ['(top level)', '/srv/main.js', 1, 1],
    ['(anonymous)', '/srv/main.js', 4, 9],
    ['Builtin:ArrayMap', '', 0, 0],
    ['RegExp:a(b+):c', '', 0, 0],
    ['run', 'evalmachine.<anonymous>', 2, 5],
  ]);
});

test('Python trampolines show function and file; others are of unknown language', () => {
  const map = mapOf('1000 10 py::Server.run:/srv/app.py\n2000 10 Ljava/lang/String;::hashCode\n');
  const python = map.lookup(processAddress(0x1000))!;
  assert.deepEqual(
    [python.type, python.line.name, python.line.file],
    ['cpython', 'Server.run', '/srv/app.py'],
  );
  assert.equal(map.lookup(processAddress(0x2000))!.type, 'jit');
});

test('a map that node really wrote: the function that ran is there with its file', () => {
  const directory = mkdtempSync(join(tmpdir(), 'flametap-perf-map-'));
  const script = join(directory, 'work.mjs');
  writeFileSync(
    script,
    'function flametapTarget(n) { let s = 0; for (let i = 0; i < n; i++) s += i % 7; return s; }\n' +
      'for (let i = 0; i < 20000; i++) flametapTarget(100);\nconsole.log(process.pid);\n',
  );
  const pid = execFileSync(process.execPath, ['--perf-basic-prof', script], {
    encoding: 'utf8',
  }).trim();
  const file = `/tmp/perf-${pid}.map`;
  const bytes = readFileSync(file);
  rmSync(file);
  rmSync(directory, { recursive: true });
  const map = new PerfMap();
  for (let at = 0; at < bytes.length; at += 1000) map.append(bytes.subarray(at, at + 1000));
  assert.equal(map.problems.size, 0);
  const written = bytes
    .toString('latin1')
    .split('\n')
    .filter((line) => line.includes('flametapTarget'));
  assert.ok(written.length > 0);
  const { type, line } = map.lookup(processAddress(Number.parseInt(written.at(-1)!, 16)))!;
  assert.deepEqual([type, line.name, line.file, line.line], ['v8js', 'flametapTarget', script, 1]);
});

test('whatever entries there are, an address belongs to the last one that covers it', () => {
  const entry = fc.tuple(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 60 }));
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 60 }), fc.boolean(), (entries, sorted) => {
      const text = entries.map(
        ([at, size], index) => `${at.toString(16)} ${size.toString(16)} n${index}\n`,
      );
      const filler = sorted ? Array.from({ length: 1100 }, () => 'f0000 10 filler\n') : [];
      const map = mapOf(...text, ...filler);
      for (let address = 0; address < 270; address += 3) {
        const last = entries.findLastIndex(([at, size]) => at <= address && address < at + size);
        assert.equal(nameAt(map, address), last < 0 ? undefined : `n${last}`);
      }
    }),
    { seed: SEED, numRuns: 300 },
  );
});

test('damaged maps never throw and take bounded time, however they are cut', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      '1000 10 JS:*f /a.js:1:2\n',
      ':',
      '1:1',
      ' ',
      '\n',
      'py::',
      '0x',
      'Script:~',
      '%',
      '\0',
    ),
    fc.string({ unit: 'binary', maxLength: 20 }),
  );
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 40 }),
      fc.integer({ min: 1, max: 50 }),
      (parts, step) => {
        const bytes = encode(parts.join(''));
        const map = new PerfMap();
        for (let at = 0; at < bytes.length; at += step) map.append(bytes.subarray(at, at + step));
        map.lookup(processAddress(0x1004));
      },
    ),
    { seed: SEED, numRuns: 2000 },
  );
  const slow = mapOf(`1000 10 JS:*${' /:1'.repeat(1000)}\n2000 10 JS:${'1:'.repeat(2000)}\n`);
  const start = cpuMilliseconds();
  for (let round = 0; round < 100; round++) {
    slow.lookup(processAddress(0x1000));
    slow.lookup(processAddress(0x2000));
  }
  assert.ok(cpuMilliseconds() - start < 500);
});
