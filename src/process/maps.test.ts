import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseMaps } from './maps.ts';

const line = (name: string, range = '400000-401000', mode = 'r-xp') =>
  `${range} ${mode} 00001000 fe:01 1234                             ${name}\n`;

test('this process: the executable lines, as awk finds them', () => {
  const text = readFileSync('/proc/self/maps', 'latin1');
  const awk = spawnSync('awk', ['$2 ~ /x/ && $6 != "[vsyscall]" {print $1, $3, $5, $6}'], {
    input: text,
    encoding: 'latin1',
  });
  const { mappings, malformed } = parseMaps(text);
  const shown = mappings.map(({ start, end, offset, inode, path }) => {
    const hex = (value: number) => value.toString(16).padStart(8, '0');
    return `${hex(start)}-${hex(end)} ${hex(offset)} ${inode} ${path}`;
  });
  assert.deepEqual(
    shown,
    awk.stdout
      .trimEnd()
      .split('\n')
      .map((found) => found.trimEnd().replace(/^(\S+ \S+ \S+)$/, '$1 ')),
  );
  assert.ok(mappings.length > 3);
  assert.equal(malformed, 0);
});

test('device, inode and offset are read as the kernel writes them', () => {
  const text = '7f0000000000-7f0000001000 --xs 7ffffffff000 103:fffff 18446744073709551615 /a\n';
  const [found] = parseMaps(text).mappings;
  assert.equal(found!.start, 0x7f0000000000);
  assert.equal(found!.offset, 0x7ffffffff000);
  assert.equal(found!.device, 0x103 * 2 ** 20 + 0xfffff);
  assert.equal(found!.inode, 2n ** 64n - 1n);
  assert.equal(found!.generation, undefined);
});

test('names may hold spaces, dashes, escaped newlines and any bytes', () => {
  const names: [written: string, path: string][] = [
    ['/a b/c  d', '/a b/c  d'],
    ['/gone (deleted)', '/gone (deleted)'],
    ['/two\\012lines', '/two\nlines'],
    ['/back\\slash', '/back\\slash'],
    [Buffer.from('/größe/日本').toString('latin1'), '/größe/日本'],
    ['/not utf-8 \xff', '/not utf-8 \ufffd'],
    ['400000-401000 r-xp', '400000-401000 r-xp'],
    ['[vdso]', '[vdso]'],
    ['', ''],
    ['/carriage\rreturn\t\x7f', '/carriage\rreturn\t\x7f'],
  ];
  const { mappings, malformed } = parseMaps(names.map(([written]) => line(written)).join(''));
  assert.deepEqual(
    mappings.map(({ path }) => path),
    names.map(([, path]) => path),
  );
  assert.equal(malformed, 0);
});

test('only executable lines count; the last one needs no newline', () => {
  const text = `${line('/a', '1000-2000', 'rw-p')}${line('/b').trimEnd()}`;
  assert.deepEqual(
    parseMaps(text).mappings.map(({ path }) => path),
    ['/b'],
  );
});

test('the kernel half is no news, neither as mapping nor as malformed', () => {
  const vsyscall =
    'ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n';
  assert.deepEqual(parseMaps(vsyscall), { mappings: [], malformed: 0 });
});

test('executable lines that do not parse are counted', () => {
  const bad = [
    '400000 r-xp',
    '400000-3fffff r-xp 0 0:0 1 /backwards',
    '400000-400000 r-xp 0 0:0 1 /empty',
    '20000000000001-20000000001000 r-xp 0 0:0 1 /inexact',
    'zz-401000 r-xp 0 0:0 1 /letters',
    '11111111111111111-22222222222222222 r-xp 0 0:0 1 /long',
    '400000-401000 r-xp 0 0:0 -1 /inode',
  ];
  assert.deepEqual(parseMaps(bad.join('\n')), { mappings: [], malformed: bad.length });
});

test('60,000 lines take well below a second', () => {
  const many = Array.from({ length: 60_000 }, (_, i) => {
    const start = 0x10000 + i * 0x2000;
    return line(`/lib ${i}`, `${start.toString(16)}-${(start + 0x1000).toString(16)}`);
  }).join('');
  const started = performance.now();
  assert.equal(parseMaps(many).mappings.length, 60_000);
  const took = performance.now() - started;
  assert.ok(took < 2000, `${took} ms`);
});

test('any text is survived', () => {
  const bit = fc.constantFrom('400000-401000', ' r-xp', ' ', '\n', '-', '0:0', '99', '/a', 'x');
  fc.assert(
    fc.property(fc.array(fc.oneof(bit, fc.string()), { maxLength: 60 }), (bits) => {
      for (const { start, end } of parseMaps(bits.join('')).mappings) assert.ok(start < end);
    }),
    { seed: 5, numRuns: 500 },
  );
});
