import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { FileSource } from '../elf/file-source.ts';
import { GoFunctions } from '../elf/go-functions.ts';
import { ElfImage } from '../elf/image.ts';
import { ParseError } from '../elf/source.ts';
import { type VirtualAddress, virtualAddress } from '../units/units.ts';
import { type Demangler, noDemangler } from './demangle.ts';
import { FileSymbols } from './file-symbols.ts';
import { GoSymbols } from './go-symbols.ts';
import type { SourceKind, SourceLine, SymbolSource } from './source-line.ts';

let directory = '';
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'flametap-file-symbols-'));
});
after(() => rmSync(directory, { recursive: true }));

const open = (file: string): ElfImage => ElfImage.parse(new FileSource(openSync(file, 'r')));

/** The addon's demangler is not there in unit tests; binutils has the same one. */
const demangle: Demangler = (name) => {
  const text = execFileSync('c++filt', ['-i', name], { encoding: 'utf8' }).trimEnd();
  return text === name ? '' : text;
};

function build(name: string, source: string, command: string, ...flags: string[]): string {
  const input = join(directory, name);
  const output = input.replace(/\.\w+$/, '');
  writeFileSync(input, source);
  execFileSync(command, [...flags, '-o', output, input], {
    cwd: directory,
    // A stable rustc takes the older mangling only when told that it is building itself.
    env: { ...process.env, RUSTC_BOOTSTRAP: '1' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return output;
}

const addressOf = (file: string, pattern: RegExp): VirtualAddress => {
  const lines = execFileSync('nm', [file], { encoding: 'utf8', maxBuffer: 1 << 28 }).split('\n');
  const line = lines.find((candidate) => pattern.test(candidate));
  assert.ok(line, `${pattern} in ${file}`);
  return virtualAddress(Number.parseInt(line, 16));
};

test('a C++ function is native, demangled, and keeps its linker name', () => {
  const source =
    'namespace a { struct B { __attribute__((noinline)) int c(int x) const; }; int B::c(int x) const { return x; } } int main() { return a::B().c(1); }';
  const file = build('cxx.cc', source, 'g++');
  const symbols = FileSymbols.of(open(file), demangle);
  const { type, lines } = symbols.lookup(addressOf(file, /_ZNK1a1B1cEi$/));
  assert.equal(type, 'native');
  assert.deepEqual(
    lines.map(({ name, systemName }) => [name, systemName]),
    [['a::B::c(int) const', '_ZNK1a1B1cEi']],
  );
});

test('Rust functions are of type rust under both manglings, without hashes', () => {
  const source =
    'mod deep { #[inline(never)] pub fn work(x: u64) -> u64 { unsafe { std::ptr::read_volatile(&x) }.wrapping_mul(3) } } fn main() { std::process::exit(deep::work(2) as i32); }';
  for (const version of ['legacy', 'v0']) {
    const flags = [`-Csymbol-mangling-version=${version}`, '-O'];
    if (version === 'legacy') flags.push('-Zunstable-options');
    const file = build(`rust_${version}.rs`, source, 'rustc', ...flags);
    const symbols = FileSymbols.of(open(file), demangle);
    const { type, lines } = symbols.lookup(addressOf(file, / _(ZN|R).*4deep4work/));
    assert.equal(type, 'rust');
    assert.equal(lines[0]!.name, `rust_${version}::deep::work`);
  }
});

test('Go functions come from the function table even when all symbols are stripped', () => {
  const source =
    'package main\n\n//go:noinline\nfunc work(x int) int {\n\treturn x * 3\n}\n\nfunc main() { println(work(4)) }\n';
  const file = build('work.go', source, 'go', 'build');
  const address = addressOf(file, / main\.work$/);
  execFileSync('strip', [file]);
  const image = open(file);
  const symbols = FileSymbols.of(image, noDemangler, GoFunctions.open(image));
  const { type, lines } = symbols.lookup(address);
  assert.equal(type, 'go');
  assert.equal(lines[0]!.name, 'main.work');
  assert.ok(lines[0]!.file.endsWith('work.go'), lines[0]!.file);
  assert.equal(lines[0]!.startLine, 4);
});

const line = (name: string): SourceLine => ({
  name,
  systemName: name,
  file: '',
  line: 0,
  column: 0,
  startLine: 0,
});
const source = (
  kind: SourceKind,
  lookup: SymbolSource['lookup'],
  problems: [string, number][] = [],
): SymbolSource => ({ kind, lookup, problems: new Map(problems) });

test('sources are asked best first, whatever order they were given in', () => {
  const symbols = new FileSymbols([
    source('symbols', () => [line('from symbols')]),
    source('dwarf', (address) => (address < 10 ? [line('inlined'), line('_RNvC1a1b')] : undefined)),
  ]);
  const better = symbols.lookup(virtualAddress(5));
  assert.deepEqual(
    better.lines.map(({ name }) => name),
    ['inlined', '_RNvC1a1b'],
  );
  assert.equal(better.type, 'rust', 'the outer function decides the type');
  assert.equal(symbols.lookup(virtualAddress(20)).lines[0]!.name, 'from symbols');
});

test('an address without a name is native without lines', () => {
  const symbols = new FileSymbols([source('symbols', () => undefined)]);
  assert.deepEqual(symbols.lookup(virtualAddress(1)), { type: 'native', lines: [] });
});

test('answers are remembered, up to a bound', () => {
  let asked = 0;
  const count = source('symbols', () => {
    asked++;
    return undefined;
  });
  const symbols = new FileSymbols([count], 2);
  for (const address of [1, 1, 2, 1, 3, 1]) symbols.lookup(virtualAddress(address));
  assert.equal(asked, 3);
  symbols.lookup(virtualAddress(2));
  assert.equal(asked, 4, 'the least recently used one was forgotten');
});

// 8,192 addresses of a file with names of 4 KiB took 64 MiB.
test('answers with long names are remembered up to a bound of characters', () => {
  let asked = 0;
  const name = 'n'.repeat(4096);
  const line = { name, systemName: name, file: '', line: 0, column: 0, startLine: 0 };
  const symbols = new FileSymbols([
    source('symbols', () => {
      asked++;
      return [line];
    }),
  ]);
  for (let address = 1; address <= 200; address++) symbols.lookup(virtualAddress(address));
  for (let address = 200; address > 72; address--) symbols.lookup(virtualAddress(address));
  assert.equal(asked, 200, 'the latest 128, of 8 KiB each');
  symbols.lookup(virtualAddress(72));
  assert.equal(asked, 201);
});

test('broken Go tables are counted, and the next source is asked', () => {
  const broken = new GoSymbols({
    lookup() {
      throw new ParseError('go_table', 'broken');
    },
  });
  const symbols = new FileSymbols([broken, source('symbols', () => [line('c')], [['cut', 2]])]);
  assert.equal(symbols.lookup(virtualAddress(1)).lines[0]!.name, 'c');
  assert.deepEqual(
    [...symbols.problems()],
    [
      ['go_table', 1],
      ['cut', 2],
    ],
  );
});

test('what was learned elsewhere ranks as its source does, and replaces what was answered', () => {
  const [symbols, stubs] = [
    source('symbols', (address) => (address < 10 ? [line('from symbols')] : undefined)),
    source('plt', () => [line('stub@plt')]),
  ];
  const file = new FileSymbols([stubs, symbols]);
  const nameOf = (address: number, kind?: SourceKind) =>
    file
      .lookup(virtualAddress(address), kind && { kind, lines: [line(`from ${kind}`)] })
      .lines.at(-1)!.name;
  assert.equal(nameOf(1), 'from symbols');
  assert.equal(nameOf(1, 'dwarf'), 'from dwarf');
  assert.equal(nameOf(1), 'from dwarf', 'it is remembered');
  assert.equal(nameOf(1, 'debugdata'), 'from symbols');
  assert.equal(nameOf(20, 'debuginfod'), 'from debuginfod');
  assert.equal(nameOf(20, 'bounds'), 'stub@plt');
});

test('lines without a function have the name of the symbol', () => {
  const file = new FileSymbols([source('symbols', () => [line('memcpy_asm')])]);
  const learned = { ...line(''), file: 'memcpy.S', line: 124 };
  const { lines } = file.lookup(virtualAddress(1), { kind: 'dwarf', lines: [learned] });
  assert.deepEqual(
    lines.map(({ name, file, line }) => [name, file, line]),
    [['memcpy_asm', 'memcpy.S', 124]],
  );
});

test('lines that nothing names stay', () => {
  const file = new FileSymbols([]);
  const learned = { ...line(''), file: 'start.S', line: 3 };
  assert.deepEqual(file.lookup(virtualAddress(1), { kind: 'dwarf', lines: [learned] }).lines, [
    learned,
  ]);
});
