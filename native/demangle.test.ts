import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

let directory = '';
let program = '';
let names: string[] = [];

const run = (args: readonly string[], input: readonly string[]): string[] =>
  execFileSync(program, args, {
    input: `${input.join('\n')}\n`,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    timeout: 60_000,
    // Cancelled threads leave poisoned stack behind, which ASan itself then steps on.
    env: { ...process.env, ASAN_OPTIONS: 'use_sigaltstack=0' },
  })
    .trimEnd()
    .split('\n');

const symbolsOf = (file: string, dynamic: boolean): string[] =>
  execFileSync('nm', [...(dynamic ? ['-D'] : []), '--defined-only', '-P', file], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
    .split('\n')
    .map((line) => line.split(' ')[0]!.replace(/@.*/, ''))
    .filter((name) => /^_[ZR]/.test(name));

before(() => {
  directory = mkdtempSync(join(tmpdir(), 'flametap-demangle-'));
  program = join(directory, 'demangle-stress');
  const sources = ['testdata/demangle-stress.cc', 'demangle.cc'].map((n) =>
    join(import.meta.dirname, n),
  );
  const flags = ['-std=c++17', '-g', '-O1', '-Wall', '-Wextra', '-Werror', '-fsanitize=address'];
  execFileSync('g++', [...flags, ...sources, '-o', program, '-liberty']);
  // Every tenth C++ name of node itself and of libstdc++.
  const all = [
    ...symbolsOf(process.execPath, false),
    ...symbolsOf('/usr/lib/x86_64-linux-gnu/libstdc++.so.6', true),
  ];
  names = all.filter((_, index) => index % 10 === 0 && all[index]!.length <= 1024);
  assert.ok(names.length > 5000, `only ${names.length} names to test with`);
});

after(() => rmSync(directory, { recursive: true }));

test('C++ names of real binaries read as c++filt has them', () => {
  const expected = execFileSync('c++filt', ['-i'], {
    input: names.join('\n'),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  assert.deepEqual(run(['print'], names), expected.trimEnd().split('\n'));
});

test('Rust names of both schemes read as written, without hashes', () => {
  const pairs = [
    ['_ZN4core3fmt9Formatter3pad17h0123456789abcdefE', 'core::fmt::Formatter::pad'],
    ['_ZN4core3fmt9Formatter3pad17h0123456789abcdefE.llvm.12345', 'core::fmt::Formatter::pad'],
    [
      '_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar17h930b740aa94f1d3aE',
      "<Test + 'static as foo::Bar<Test>>::bar",
    ],
    ['_RNvCs1234_7mycrate3foo', 'mycrate::foo'],
    ['_RINvNtC3std3mem8align_ofjdE', 'std::mem::align_of::<usize, f64>'],
  ] as const;
  const printed = run(
    ['print'],
    pairs.map(([mangled]) => mangled),
  );
  for (const [index, [mangled, readable]] of pairs.entries()) {
    assert.equal(printed[index], readable, mangled);
  }
});

test('names that are not mangled or not valid are refused', () => {
  const plain = ['main', '_start', '_Z', '_ZN', '_R', '__libc_start_main', '_GLOBAL_OFFSET_TABLE_'];
  assert.deepEqual(run(['print'], plain), plain);
});

test('names beyond the library limit of 1,024 bytes are demangled too', () => {
  const long = `_ZN${'10abcdefghij'.repeat(200)}1fEv`;
  assert.deepEqual(run(['print'], [long]), [`${'abcdefghij::'.repeat(200)}f()`]);
});

test('names made to take for ever are given up within a tenth of a second of CPU', () => {
  const reference = (index: number) => (index === 0 ? '' : (index - 1).toString(36).toUpperCase());
  const levels = 34;
  const doubling = Array.from({ length: levels - 1 }, (_, at) => `S${reference(at + 2)}_E`);
  const hostile = [
    // Searching a doubled tree for a pack: 2^34 steps without output.
    `_Z1fIiEvDp1aI${'S0_I'.repeat(levels - 1)}iE${doubling.join('')}`,
    // Counting 62^10 lifetimes in a part that is not shown.
    '_RNvMINtC1a1bFGzzzzzzzzzz_EuEC1c1d',
  ];
  for (const line of run(['time'], hostile)) {
    const [took, done] = line.split(' ').map(Number);
    assert.equal(done, 0);
    assert.ok(took! < 2000, `${took} ms`);
  }
});

test('names made to fill the memory are cut at the buffer', () => {
  const hostile = [
    `_Z1fv1aIiiE${Array.from({ length: 30 }, (_, at) => {
      const reference = at.toString(36).toUpperCase();
      return `S_IS${reference}_S${reference}_E`;
    }).join('')}`,
    '_RINvC1a1bFGzzzzzzzzz_EuE',
  ];
  const printed = run(['print'], hostile);
  assert.deepEqual(
    printed.map((text) => text.length),
    [65_535, 65_535],
  );
});

test('deep nesting does not overflow the stack', () => {
  const deep = [...'PXFNIKB'].map((letter) => `_Z1f${letter.repeat(16_000)}i`);
  assert.equal(run(['time'], [...deep, `_R${'B_'.repeat(8000)}`]).length, 8);
});

test('damaged names neither crash nor overrun nor stall', () => {
  const [slowest] = run(['mutate', '60000'], names).map(Number);
  assert.ok(slowest! < 2000, `${slowest} ms`);
});
