import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { FileSource } from '../elf/file-source.ts';
import { ElfImage } from '../elf/image.ts';
import { MemorySource, ParseError } from '../elf/source.ts';
import { virtualAddress } from '../units/units.ts';
import { noDemangler } from './demangle.ts';
import { decodeStub } from './plt-stub.ts';
import { PltSymbols } from './plt-symbols.ts';

const SEED = 20261121;
let directory = '';
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'flametap-plt-'));
});
after(() => rmSync(directory, { recursive: true }));

const open = (file: string): PltSymbols | undefined =>
  PltSymbols.of(ElfImage.parse(new FileSource(openSync(file, 'r'))), noDemangler);

/** Stubs as objdump names them: `0000000000001030 <puts@plt>:`, without those it counts back from. */
function objdumpStubs(file: string): [address: number, name: string][] {
  const sections = ['.plt', '.plt.got', '.plt.sec', '.iplt'].flatMap((name) => ['-j', name]);
  const text = execFileSync('objdump', ['-d', '--no-show-raw-insn', ...sections, file], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return [...text.matchAll(/^([0-9a-f]+) <(.*@plt)>:$/gm)].map(([, address, name]) => [
    Number.parseInt(address!, 16),
    name!,
  ]);
}

/** How many stubs there are, after comparing all of them, at their first and later bytes. */
function compare(file: string): number {
  const symbols = open(file);
  const expected = objdumpStubs(file);
  for (const [address, name] of expected) {
    for (const at of [address, address + 5]) {
      assert.equal(symbols?.lookup(virtualAddress(at))?.[0]?.systemName, name, `${file} ${at}`);
    }
  }
  assert.deepEqual([...(symbols?.problems ?? [])], []);
  return expected.length;
}

const SOURCE = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int one(void) { return 1; }
static int two(void) { return 2; }
static int (*pick(void))(void) { return getenv("X") ? one : two; }
int chosen(void) __attribute__((ifunc("pick")));
int main(int argc, char **argv) {
  void *(*volatile copy)(void *, const void *, size_t) = memcpy;
  char a[8];
  copy(a, argv[0], 4);
  memcpy(a, argv[0], argc);
  puts(a);
  return chosen() + (int)strlen(a);
}
`;

function build(name: string, ...flags: string[]): string {
  const source = join(directory, 'stubs.c');
  const output = join(directory, name);
  writeFileSync(source, SOURCE);
  execFileSync('gcc', ['-O1', '-fno-builtin', ...flags, '-o', output, source]);
  return output;
}

test('stubs of every kind that gcc and ld make are named as objdump names them', () => {
  const flags: Readonly<Record<string, readonly string[]>> = {
    lazy: ['-no-pie', '-Wl,-z,lazy'],
    'lazy-pie': ['-pie', '-fPIE', '-Wl,-z,lazy'],
    ibt: ['-pie', '-fPIE', '-fcf-protection', '-Wl,-z,lazy', '-Wl,-z,ibtplt'],
    'ibt-no-pie': ['-no-pie', '-fcf-protection', '-Wl,-z,lazy', '-Wl,-z,ibtplt'],
    now: ['-pie', '-fPIE', '-Wl,-z,now'],
    'no-plt': ['-pie', '-fPIE', '-fno-plt'],
    static: ['-static', '-no-pie'],
    'static-pie': ['-static-pie', '-fPIE'],
  };
  const counts = Object.entries(flags).map(([name, args]) => compare(build(name, ...args)));
  assert.ok(counts.filter((count) => count > 0).length >= 6, `${counts}`);
});

test('the first call through a lazy stub with IBT is named by the number it pushes', () => {
  const file = build('pushed', '-pie', '-fPIE', '-fcf-protection', '-Wl,-z,lazy', '-Wl,-z,ibtplt');
  const symbols = open(file)!;
  const code = execFileSync('objdump', ['-d', '--no-show-raw-insn', '-j', '.plt', file], {
    encoding: 'utf8',
  });
  const pushes = [...code.matchAll(/^ *([0-9a-f]+):\tpush +\$0x([0-9a-f]+)/gm)];
  const rows = execFileSync('readelf', ['-rW', file], { encoding: 'utf8' })
    .split("'.rela.plt'")[1]!
    .split('\n')
    .filter((line) => line.includes(' R_X86_64_'));
  const names = rows.map((line) => {
    const [, , type, value, name] = line.trim().split(/ +/);
    return type!.startsWith('R_X86_64_IRELATIV') ? `*ABS*+0x${value}` : name!.replace(/@.*/, '');
  });
  assert.ok(pushes.length >= 3);
  for (const [, address, number] of pushes) {
    const found = symbols.lookup(virtualAddress(Number.parseInt(address!, 16)));
    assert.equal(found?.[0]?.systemName, `${names[Number.parseInt(number!, 16)]}@plt`);
  }
  const common = Number.parseInt(pushes[0]![1]!, 16) - 20;
  assert.equal(symbols.lookup(virtualAddress(common)), undefined, 'the common part has no name');
});

test('real programs and libraries: thousands of stubs as objdump names them', () => {
  const candidates = [
    process.execPath,
    '/usr/bin/python3',
    '/usr/bin/perf',
    '/usr/bin/git',
    '/usr/bin/as',
    '/usr/bin/bash',
    '/usr/bin/c++filt',
    '/usr/lib/postgresql/15/bin/postgres',
    '/usr/bin/redis-server',
    '/usr/lib/x86_64-linux-gnu/libc.so.6',
    '/usr/lib/x86_64-linux-gnu/libstdc++.so.6',
    '/usr/lib/x86_64-linux-gnu/libcrypto.so.3',
    '/usr/lib/x86_64-linux-gnu/libelf.so.1',
  ];
  let stubs = 0;
  for (const file of candidates) {
    try {
      readFileSync(file, { flag: 'r' }).subarray(0, 4);
    } catch {
      continue; // Not every distribution has all of them; the sum below must be reached.
    }
    stubs += compare(file);
  }
  assert.ok(stubs > 2000, `${stubs} stubs`);
});

test('C++ names are demangled in front of @plt', () => {
  const file = join(directory, 'new');
  writeFileSync(`${file}.cc`, 'int main(int n, char **) { delete new int[n]; }');
  execFileSync('g++', ['-O0', '-Wl,-z,lazy', '-o', file, `${file}.cc`], { stdio: 'ignore' });
  const stub = objdumpStubs(file).find(([, name]) => name === '_Znam@plt')!;
  const image = ElfImage.parse(new FileSource(openSync(file, 'r')));
  const symbols = PltSymbols.of(image, (name) =>
    name === '_Znam' ? 'operator new[](unsigned long)' : '',
  );
  const [line] = symbols!.lookup(virtualAddress(stub[0]))!;
  assert.equal(line!.name, 'operator new[](unsigned long)@plt');
});

test('stubs of other linkers: with a number in a register, with bnd, with nothing else', () => {
  const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  const cases = [
    // mold: endbr64; mov $1,%r11d; jmp *0x10(%rip)
    ['f30f1efa 41bb01000000 ff2510000000', 0x1000 + 16 + 0x10],
    // GNU ld before 2.40 with IBT: endbr64; bnd jmp *0x20(%rip); nop
    ['f30f1efa f2ff2520000000 0f1f440000', 0x1000 + 11 + 0x20],
    // .plt.got: jmp *-0x10(%rip); xchg %ax,%ax
    ['ff25f0ffffff 6690', 0x1000 + 6 - 0x10],
  ] as const;
  for (const [code, address] of cases) {
    assert.deepEqual(decodeStub(bytes(code), 0x1000), { kind: 'slot', address });
  }
  assert.deepEqual(decodeStub(bytes('f30f1efa 6805000000 f2e9e1ffffff 90'), 0x1000), {
    kind: 'number',
    number: 5,
  });
  assert.equal(decodeStub(bytes('ff35e22f0000 ff25e42f0000 0f1f4000'), 0x1000), undefined);
  assert.equal(decodeStub(bytes('ff25'), 0x1000), undefined);
});

test('damaged files give fewer names and counted reasons, never an error', () => {
  const original = readFileSync(build('fuzzed', '-no-pie', '-Wl,-z,lazy'));
  const addresses = objdumpStubs(join(directory, 'fuzzed')).map(([address]) => address);
  const headers = original.readUInt16LE(60) * 64;
  const sectionTable = Number(original.readBigUInt64LE(40));
  // Mostly where sections are described, because that decides everything else.
  const place = fc.oneof(
    fc.integer({ min: sectionTable, max: sectionTable + headers - 1 }),
    fc.integer({ min: 0, max: original.length - 1 }),
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(place, fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 6 }),
      (changes) => {
        const bytes = Uint8Array.from(original);
        for (const [at, value] of changes) bytes[at] = value;
        let image: ElfImage;
        try {
          image = ElfImage.parse(new MemorySource(bytes));
        } catch (error) {
          assert.ok(error instanceof ParseError);
          return;
        }
        const symbols = PltSymbols.of(image, noDemangler);
        for (const address of addresses) symbols?.lookup(virtualAddress(address));
      },
    ),
    { seed: SEED, numRuns: 1500 },
  );
});
