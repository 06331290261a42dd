import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { virtualAddress } from '../units/units.ts';
import { GoFunctions } from './go-functions.ts';
import {
  buildChains,
  buildChainsCaller,
  type ChainsBuild,
  compareChains,
  compareWithAddr2line,
  packagedBinary,
  runtimeChains,
} from './go-oracle.test-support.ts';
import { GoPages } from './go-pages.ts';
import { buildGoSelf, openGo, openGoBytes, temporaryDirectory } from './go-testing.ts';
import { findModuleData } from './go-text.ts';
import { ElfImage } from './image.ts';
import { MemorySource, ParseError } from './source.ts';

let directory: string;
before(() => {
  directory = temporaryDirectory();
});

/** Every address: names, files, lines and start lines of all calls. */
function agreesWithRuntime(run: string, functions: GoFunctions): void {
  const agreement = compareChains(functions, runtimeChains(run, functions, 10_000));
  assert.deepEqual(agreement.differences, []);
  assert.ok(agreement.compared > 9000, `${agreement.compared} compared`);
  // A fifth of the code of a Go program is inlined.
  assert.ok(agreement.inlined > 1000, `${agreement.inlined} with inlined calls`);
  assert.deepEqual(functions.problems, new Map());
}

function agreesWithAddr2line(path: string): void {
  const { functions } = openGo(path);
  const agreement = compareWithAddr2line(path, functions, 10_000);
  assert.deepEqual(agreement.differences, []);
  assert.ok(agreement.inlined > 1000, `${agreement.inlined} with inlined calls`);
  assert.deepEqual(functions.problems, new Map());
}

const builds: [string, ChainsBuild][] = [
  ['plain', {}],
  ['stripped', { stripped: true }],
  ['position-independent and stripped', { mode: 'pie', stripped: true }],
  ['cgo, linked by the C linker', { external: true }],
  [
    'cgo, position-independent, stripped, linked by the C linker',
    { external: true, mode: 'pie', stripped: true },
  ],
];
for (const [title, build] of builds) {
  test(`names, files, lines and inlined calls are the runtime's own: ${title}`, () => {
    const path = buildChains(directory, build);
    agreesWithRuntime(path, openGo(path).functions);
  });
}

for (const mode of ['c-shared', 'c-archive'] as const) {
  test(`names, files, lines and inlined calls of a C program's Go code: ${mode}`, () => {
    const library = buildChains(directory, { mode, stripped: true });
    const program = buildChainsCaller(directory, library);
    agreesWithRuntime(program, openGo(mode === 'c-shared' ? library : program).functions);
  });
}

/** Of npm packages: built by their makers, stripped. The releases are what the binaries say. */
const packaged: [release: string, specifier: string][] = [
  ['1.16.3', 'esbuild-linux-64@0.12.15'],
  ['1.17.2', 'esbuild-linux-64@0.13.15'],
  ['1.18', 'esbuild-linux-64@0.14.54'],
  ['1.19.3', 'esbuild-linux-64@0.15.18'],
  ['1.20.4', '@esbuild/linux-x64@0.17.19'],
  ['1.23.5', '@esbuild/linux-x64@0.25.0'],
];
for (const [release, specifier] of packaged) {
  test(`names, files and lines are those of go tool addr2line: ${specifier}, Go ${release}`, () => {
    agreesWithAddr2line(packagedBinary(specifier, 'bin/esbuild'));
  });
}

test('names, files and lines are those of go tool addr2line: the compiler, the go command', () => {
  const [goroot, tools] = execFileSync('go', ['env', 'GOROOT', 'GOTOOLDIR'], { encoding: 'utf8' })
    .trim()
    .split('\n');
  agreesWithAddr2line(join(tools!, 'compile'));
  agreesWithAddr2line(join(goroot!, 'bin', 'go'));
});

test('a tree that goes in circles or out of bounds is counted, the function keeps its name', () => {
  const bytes = readFileSync(buildGoSelf(directory));
  const intact = openGoBytes(bytes).functions;
  const { module } = intact;
  const { start, end } = intact.findByName('main.work')!;
  const record = intact.recordAt(start)!;
  const moduleData = findModuleData(module.memory, module.table, module.tableAddress)!;
  const base = module.memory.pointer(moduleData + 40 * 8)!;
  const tree = base + module.table.funcdata(record, 3)!;
  // The first address of an inlined call, and the field of its tree entry that leads out of it.
  let address = start as number;
  while ((module.table.pcdata(record, 2, address - start) ?? -1) < 0) address++;
  const index = module.table.pcdata(record, 2, address - start)!;
  const field = intact.module.memory.image.addressToOffset(virtualAddress(tree + index * 16 + 8))!;
  for (const [parent, reason] of [
    [address - start, 'go_inline_cycle'],
    [end - start, 'go_inline_tree'],
  ] as const) {
    const broken = Buffer.from(bytes);
    broken.writeInt32LE(parent, field);
    const { functions } = openGoBytes(broken);
    const lines = functions.lookup(virtualAddress(address))!;
    assert.deepEqual(
      { ...lines.at(-1) },
      { ...intact.lookup(virtualAddress(address))!.at(-1), file: '', line: 0 },
    );
    assert.deepEqual([...functions.problems], [[reason, 1]]);
    assert.deepEqual(functions.lookup(start), intact.lookup(start));
  }
});

test('a binary without section headers and build information is read by content', () => {
  const path = buildChains(directory, { mode: 'pie', stripped: true });
  const bytes = readFileSync(path);
  const { image } = openGoBytes(bytes);
  const information = image.section('.go.buildinfo')!;
  bytes.fill(0, information.offset, information.offset + information.size);
  bytes.fill(0, 40, 48); // e_shoff
  bytes.fill(0, 58, 64); // e_shentsize, e_shnum, e_shstrndx
  const opened = openGoBytes(bytes);
  assert.equal(opened.image.sections.length, 0);
  agreesWithRuntime(path, opened.functions);
});

test('in a library the Go text starts where the linker says, not at .text', () => {
  const { functions, image } = openGo(buildGoSelf(directory, { mode: 'c-shared' }));
  const path = buildGoSelf(directory, { mode: 'c-shared' });
  const symbols = execFileSync('nm', [path], { encoding: 'utf8', maxBuffer: 1 << 26 });
  const start = Number.parseInt(/^([0-9a-f]+) . runtime\.text$/m.exec(symbols)![1]!, 16);
  assert.equal(functions.module.textStart, start);
  assert.notEqual(start, image.section('.text')?.address);
  for (const line of symbols.matchAll(/^([0-9a-f]+) t (main\.\w+)$/gm)) {
    const found = functions.lookup(virtualAddress(Number.parseInt(line[1]!, 16)));
    assert.equal(found?.at(-1)?.name, line[2]);
  }
});

test('a text start that disagrees with the code is refused', () => {
  const bytes = readFileSync(buildGoSelf(directory));
  const { image } = openGoBytes(bytes);
  const text = image.section('.text')!;
  // One byte further on: every table is intact, every name would be wrong.
  bytes.copyWithin(text.offset + 16, text.offset, text.offset + text.size - 16);
  assert.throws(
    () => GoFunctions.open(ElfImage.parse(new MemorySource(bytes))),
    (error) => error instanceof ParseError && error.reason === 'go_text_start',
  );
});

test('a program that is not Go has no Go functions', () => {
  const image = ElfImage.parse(new MemorySource(readFileSync('/bin/ls')));
  assert.equal(GoFunctions.open(image), undefined);
});

test('a store of four pages, and one that was given back, lead to the same answers', () => {
  const { functions, image } = openGo(buildGoSelf(directory));
  const pages = new GoPages(4 * 4096);
  const small = GoFunctions.open(image, pages)!;
  const { start, end } = functions.text;
  for (let at = start as number; at < end; at += 997) {
    assert.deepEqual(small.lookup(virtualAddress(at)), functions.lookup(virtualAddress(at)));
    if (at % 31 === 0) pages.release();
  }
});

test('outside the Go text nothing is found', () => {
  const { functions } = openGo(buildGoSelf(directory));
  const { start, end } = functions.text;
  for (const address of [0, start - 1, end, end + 4096, 2 ** 52]) {
    assert.equal(functions.lookup(virtualAddress(address)), undefined);
  }
  assert.ok(functions.lookup(start) !== undefined);
});

test('the inlining tree of a function is within reach', () => {
  const { functions } = openGo(buildGoSelf(directory));
  const { start } = functions.findByName('main.work')!;
  const record = functions.recordAt(start)!;
  const { table } = functions.module;
  assert.ok(table.funcdata(record, 3) !== undefined);
  const indexes = new Set<number | undefined>();
  for (let at = 0; at < record.end - record.entry; at++) indexes.add(table.pcdata(record, 2, at));
  assert.ok(indexes.has(-1) && indexes.size > 2);
});
