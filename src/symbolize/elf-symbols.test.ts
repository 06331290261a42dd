import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { FileSource } from '../elf/file-source.ts';
import { ElfImage } from '../elf/image.ts';
import { MemorySource, ParseError } from '../elf/source.ts';
import { virtualAddress } from '../units/units.ts';
import { cpuMilliseconds } from './cpu-time.test-support.ts';
import { noDemangler, withoutVersion } from './demangle.ts';
import { ElfSymbols } from './elf-symbols.ts';

const LIBC = '/lib/x86_64-linux-gnu/libc.so.6';
const SEED = 20261121;

let directory = '';
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'flametap-symbols-'));
});
after(() => rmSync(directory, { recursive: true }));

const open = (file: string): ElfImage => ElfImage.parse(new FileSource(openSync(file, 'r')));
const read = (file: string): ElfSymbols => ElfSymbols.read(open(file), noDemangler);
const nameAt = (symbols: ElfSymbols, address: number): string | undefined =>
  symbols.lookup(virtualAddress(address))?.[0]?.systemName;

interface NmSymbol {
  readonly name: string;
  readonly address: number;
  readonly size: number;
  readonly type: string;
}

/** The code symbols as llvm-nm has them: an independent reader. */
function nm(file: string, ...flags: string[]): NmSymbol[] {
  const output = execFileSync('llvm-nm', ['-f', 'posix', '--defined-only', ...flags, file], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  return output.split('\n').flatMap((line) => {
    const [name, type, address, size] = line.split(' ');
    if (name === undefined || !/^[tTwWi]$/.test(type ?? '')) return [];
    return [
      {
        name: withoutVersion(name),
        type: type!,
        address: Number.parseInt(address!, 16),
        size: Number.parseInt(size || '0', 16),
      },
    ];
  });
}

/** Looks up first, middle and last byte of every `step`th sized symbol. */
function compare(file: string, symbols: ElfSymbols, expected: NmSymbol[], step: number): number {
  const sized = expected.filter(({ size }) => size > 0);
  const byName = Map.groupBy(sized, ({ name }) => name);
  let compared = 0;
  for (let index = 0; index < sized.length; index += step) {
    const { address, size } = sized[index]!;
    for (const probe of [address, address + (size >>> 1), address + size - 1]) {
      const name = nameAt(symbols, probe);
      const places = byName.get(name ?? '') ?? [];
      const covered = places.some((s) => s.address <= probe && probe < s.address + s.size);
      assert.ok(covered, `${file} ${probe.toString(16)}: ${name}`);
      compared++;
    }
  }
  return compared;
}

/** Compiles `source` in the test's directory; gives the path of the result. */
function compile(name: string, source: string, ...flags: string[]): string {
  const input = join(directory, name);
  const output = input.replace(/\.\w+$/, '');
  writeFileSync(input, source);
  execFileSync('gcc', [input, '-o', output, ...flags]);
  return output;
}

describe('against llvm-nm', () => {
  test('every byte probed in libc, stripped to .dynsym, has one of its names', () => {
    assert.ok(compare(LIBC, read(LIBC), nm(LIBC, '-D'), 1) > 5000);
  });

  test('every seventh function of node, from .symtab, has one of its names', () => {
    const { execPath } = process;
    assert.ok(compare(execPath, read(execPath), nm(execPath), 7) > 30_000);
  });

  test('llvm-symbolizer gives the same names for libc', () => {
    const symbols = read(LIBC);
    // Aliases: llvm-symbolizer takes another one of several names than we do.
    const holders = Map.groupBy(nm(LIBC, '-D'), ({ address }) => address);
    const chosen = [...holders.values()].filter((all) => all.length === 1).map((all) => all[0]!);
    const probes = chosen.filter(({ size }, index) => size > 8 && index % 8 === 0);
    const output = execFileSync(
      'llvm-symbolizer',
      ['--no-inlines', '--functions=linkage', '-e', LIBC],
      {
        input: probes.map(({ address }) => `0x${(address + 4).toString(16)}`).join('\n'),
        encoding: 'utf8',
        // Without the debug files that may be installed for libc.
        env: { ...process.env, LLVM_SYMBOLIZER_OPTS: '--debug-file-directory=/nonexistent' },
      },
    );
    const names = output
      .trim()
      .split('\n\n')
      .map((block) => block.split('\n')[0]!);
    assert.equal(names.length, probes.length);
    const differing = probes.filter(({ address }, index) => {
      return nameAt(symbols, address + 4) !== withoutVersion(names[index]!);
    });
    assert.deepEqual(differing, []);
  });
});

describe('what has no name stays without', () => {
  test('a static function between exported ones of a stripped library is not named after them', () => {
    const source = `
      __attribute__((noinline)) int first(int x) { return x * 3; }
      static __attribute__((noinline)) int hidden(int x) { for (int i = 0; i < 9; i++) x ^= x << i; return x; }
      int last(int x) { return hidden(x) + first(x); }`;
    const file = compile('gap.c', source, '-shared', '-fPIC', '-O1', '-fno-toplevel-reorder');
    const hidden = nm(file).find(({ name }) => name === 'hidden')!;
    assert.equal(nameAt(read(file), hidden.address + 4), 'hidden');
    execFileSync('strip', [file]);
    const stripped = read(file);
    for (let at = 0; at < hidden.size; at++) {
      assert.equal(nameAt(stripped, hidden.address + at), undefined);
    }
    assert.equal(
      nameAt(stripped, nm(file, '-D').find(({ name }) => name === 'first')!.address),
      'first',
    );
  });

  test('no address of libc outside its sized symbols has a name', () => {
    const symbols = read(LIBC);
    const sized = nm(LIBC, '-D').filter(({ size }) => size > 0);
    const text = open(LIBC).section('.text')!;
    let unnamed = 0;
    for (let address: number = text.address; address < text.address + text.size; address += 997) {
      const inside = sized.some((s) => s.address <= address && address < s.address + s.size);
      assert.equal(nameAt(symbols, address) !== undefined, inside, address.toString(16));
      if (!inside) unnamed++;
    }
    assert.ok(unnamed > 100, 'libc is stripped: much of it has no name');
  });
});

describe('labels without a size', () => {
  const source = `
    .text
    .globl _start
    _start:
      call sized
      call label
      hlt
    .globl sized
    .type sized, @function
    sized:
      nop
    inner:
      nop
      ret
    .size sized, . - sized
    .skip 80, 0x90
    .type label, @function
    label:
      nop
      ret
    $x.1:
      nop
    .section .other, "ax"
      ret
`;

  test('name up to the next symbol or the end of the section, where locals were kept', () => {
    const file = compile('labels.s', source, '-nostdlib', '-static');
    const symbols = read(file);
    const find = (wanted: string) => nm(file).find(({ name }) => name === wanted)!.address;
    assert.equal(nameAt(symbols, find('_start')), '_start');
    assert.equal(nameAt(symbols, find('sized') - 1), '_start');
    assert.equal(
      nameAt(symbols, find('inner')),
      'sized',
      'a label in a sized function does not split it',
    );
    assert.equal(nameAt(symbols, find('sized') + 3), undefined, 'padding after a sized function');
    assert.equal(nameAt(symbols, find('label')), 'label');
    assert.equal(
      nameAt(symbols, find('label') + 2),
      undefined,
      'mapping symbols end code and name none',
    );
    const other = open(file).section('.other')!;
    assert.equal(nameAt(symbols, other.address), undefined, 'never across a section');
  });

  test('name nothing where locals were stripped, as static code may follow', () => {
    const file = compile('labels-x.s', source, '-nostdlib', '-static');
    const before = nm(file).find(({ name }) => name === '_start')!.address;
    execFileSync('strip', ['--discard-all', file]);
    assert.equal(nameAt(read(file), before + 1), undefined);
    assert.equal(
      nameAt(read(file), nm(file).find(({ name }) => name === 'sized')!.address),
      'sized',
    );
  });
});

test('the plainest public alias wins, global before weak before local', () => {
  const source = `
    int __libc_thing(int x) { return x + 1; }
    static int local_thing(int x) __attribute__((alias("__libc_thing")));
    int thing(int x) __attribute__((alias("__libc_thing")));
    int a(int x) __attribute__((weak, alias("__libc_thing")));
    int (*keep)(int) = local_thing;
    int main(void) { return thing(1); }`;
  const file = compile('alias.c', source, '-O1');
  const { address } = nm(file).find(({ name }) => name === 'thing')!;
  assert.equal(nameAt(read(file), address), 'thing');
});

test('indexing the 114,000 code symbols of node takes at most 60 ms', (context) => {
  const image = open(process.execPath);
  const times = Array.from({ length: 5 }, () => {
    const start = cpuMilliseconds();
    assert.ok(ElfSymbols.read(image, noDemangler).size > 90_000);
    return cpuMilliseconds() - start;
  });
  context.diagnostic(`indexed in ${times.map((time) => time.toFixed(1)).join(', ')} ms`);
  assert.ok(Math.min(...times) <= 60);
});

test('damaged files give names, no names or ParseError, in bounded time', () => {
  const file = compile('victim.c', 'int f(void) { return 1; } int main(void) { return f(); }');
  const good = readFileSync(file);
  const sections = open(file).sections.filter(
    ({ type }) => type === 2 || type === 3 || type === 11,
  );
  const tableBytes = sections.flatMap(({ offset, size }) => {
    return Array.from({ length: size }, (_, at) => offset + at);
  });
  // The section headers stand at the end of the file.
  const headers = Array.from(
    { length: 64 * open(file).sections.length },
    (_, at) => good.length - 1 - at,
  );
  const change = fc.tuple(
    fc.oneof(fc.constantFrom(...tableBytes), fc.constantFrom(...headers)),
    fc.oneof(fc.constantFrom(0, 0xff, 0x80, 1), fc.integer({ min: 0, max: 255 })),
  );
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), (changes) => {
      const bytes = Uint8Array.from(good);
      for (const [at, value] of changes) bytes[at] = value;
      const start = cpuMilliseconds();
      try {
        const symbols = ElfSymbols.read(ElfImage.parse(new MemorySource(bytes)), noDemangler);
        for (let address = 0x1000; address < 0x1200; address += 7) nameAt(symbols, address);
      } catch (error) {
        assert.ok(error instanceof ParseError, `${error}`);
      }
      assert.ok(cpuMilliseconds() - start < 1000);
    }),
    { seed: SEED, numRuns: 1500 },
  );
});
