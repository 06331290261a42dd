import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { demangleD } from './d-demangle.ts';
import { displayName, noDemangler } from './demangle.ts';

const SEED = 20261121;

const run = (command: string, args: readonly string[], input = ''): string[] =>
  execFileSync(command, args, { input, encoding: 'utf8', maxBuffer: 1 << 28 })
    .trimEnd()
    .split('\n');

const namesIn = (file: string, ...flags: string[]): string[] =>
  run('nm', ['--defined-only', '-P', ...flags, file])
    .map((line) => line.split(' ')[0]!)
    .filter((name) => name.startsWith('_D'));

const phobosNames = (): string[] =>
  namesIn(run('gdc', ['-print-file-name=libgphobos.so'])[0]!, '-D');

/** Compares with c++filt where that knows the name; how many it knew. */
function compare(names: readonly string[]): number {
  const expected = run('c++filt', ['-s', 'dlang'], `${names.join('\n')}\n`);
  let known = 0;
  for (const [index, name] of names.entries()) {
    if (expected[index] === name) continue;
    known++;
    assert.equal(demangleD(name), expected[index], name);
  }
  return known;
}

test('all names of the D run time and library read as c++filt has them', () => {
  const names = phobosNames();
  const known = compare(names);
  assert.ok(known > 10_000, `${known} names`);
});

test('values, tuples and literals of template arguments read as c++filt has them', () => {
  const template = (values: string) => {
    const name = `__T4test${values}Z`;
    return `_D8demangle${name.length}${name}v`;
  };
  const names = [
    ...[
      'VAyaa5_68656c6c6f',
      'VAyaa4_225c0a7f',
      'VG3ua3_616263',
      'Vgi1Vhi2VsN3Vti4Vii5Vki6Vli7Vmi8',
      'Vai9Vai65Vui960Vbi1Vbi0',
      'Vwi1114111',
      'Vde0A8P6',
      'VeeNANVeeINFVeeNINFVeeN0C4P2',
      'Vrc0C4CCCCCP4c0B99PN2',
      'VHiiA2i1i2i3i4',
      'VAiA3i1i2i3',
      'VS8demangle1xS2i1a3_616263',
      'VPvn',
      'HTiS8demangle3fooTHAyai',
    ].map(template),
    '_D8demangle4testFDFiZaZv',
    '_D8demangle4testFDxFNaiZaZv',
    '_D8demangle4testFPFNaNbiZaZv',
    '_D8demangle4testFB2iaNhG4fNgiZv',
    '_D8demangle4testFPxOyaKiJkLbYv',
    '_D8demangle4testFAiXv',
    '_D8demangle4testUPvZv',
    '_D8demangle4test6__ctorMxFZv',
    '_D8demangle4test6__dtorMFZv',
    '_D8demangle4test10__postblitMFZv',
    '_D8demangle4test12__ModuleInfoZ',
    '_D8demangle4test7__ClassZ',
    '_D8demangle4testFZ4__S11gFZv',
    '_D8demangle4testPFZC8demangle1A',
  ];
  const known = compare(names);
  assert.ok(known >= names.length - 2, `${known} of ${names.length}`);
});

test('a program that gdc compiles: functions, nested ones and templates', () => {
  const directory = mkdtempSync(join(tmpdir(), 'flametap-d-'));
  try {
    const source = join(directory, 'app.d');
    writeFileSync(
      source,
      `module app;
       struct Pair(A, string tag) { A a; A twice(A x) const { return cast(A)(x + a); } }
       int outer(int n) { int inner(int k) { return k * n; } return inner(n); }
       void main() { Pair!(int, "(") p; p.a = outer(2); assert(p.twice(1) > 0); }`,
    );
    execFileSync('gdc', ['-c', '-o', join(directory, 'app.o'), source]);
    const shown = namesIn(join(directory, 'app.o')).map((name) => displayName(name, noDemangler));
    for (const name of [
      'D main',
      'app.outer(int)',
      'app.outer(int).inner(int)',
      'app.Pair!(int, "(").Pair.twice(int) const',
    ]) {
      assert.ok(shown.includes(name), `${name} in ${shown}`);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('parts of functions say which part they are', () => {
  assert.equal(
    demangleD('_D3app5outerFiZi.part.0.cold'),
    'app.outer(int) [clone .part.0] [clone .cold]',
  );
});

test('names that are not D are refused', () => {
  for (const name of [
    '',
    '_D',
    '_Dm',
    '_Done',
    '_D3ap',
    '_D99app',
    'main',
    '_D3app1fFiZ',
    '_D3appQzZ',
  ]) {
    assert.equal(demangleD(name), '', name);
  }
});

test('names made to take for ever or to fill the memory are given up', () => {
  const started = process.cpuUsage();
  // Each level of a map from a type to the same type is twice as long.
  let doubling = 'i';
  for (let level = 0; level < 60; level++) doubling = `H${doubling}Q${'b'}`;
  const hostile = [
    `_D1a1fF${doubling}Zv`,
    `_D1a1fF${'HQb'.repeat(3000)}Zv`,
    `_D1a1fF${'P'.repeat(16_000)}iZv`,
    `_D1a${'__T'.repeat(5000)}`,
    `_D1a${'__T1aVAyaa999999999_'.repeat(500)}`,
    `_D${'1a'.repeat(8000)}Zv`,
    `_D1a1f${'MFZ1g'.repeat(3000)}`,
    `_D1a__T1fS${'1'.repeat(10_000)}aZ`,
    `_D1a__T1fVA9999999i${'A99999999'.repeat(1000)}`,
    `_D1a1fFB99999999999${'i'.repeat(1000)}Zv`,
  ];
  for (const name of hostile) assert.ok(demangleD(name).length < 2 << 20);
  const { user, system } = process.cpuUsage(started);
  assert.ok(user + system < 5_000_000, `${user + system} microseconds`);
});

test('damaged names are refused or shown, never an error', () => {
  const names = phobosNames().filter((name, index) => index % 40 === 0 && name.length < 500);
  fc.assert(
    fc.property(
      fc.constantFrom(...names),
      fc.array(fc.tuple(fc.nat(), fc.constantFrom(...'QZTSVAHPDFMNX_019aizBG')), { maxLength: 4 }),
      (name, changes) => {
        const characters = [...name];
        for (const [at, character] of changes) characters[at % characters.length] = character;
        assert.equal(typeof demangleD(characters.join('')), 'string');
      },
    ),
    { seed: SEED, numRuns: 10_000 },
  );
});
