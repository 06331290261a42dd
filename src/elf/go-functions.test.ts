import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { virtualAddress } from '../units/units.ts';
import { GoFunctions } from './go-functions.ts';
import {
  buildChains,
  buildChainsCaller,
  type ChainsBuild,
  compareChains,
  runtimeChains,
} from './go-oracle.test-support.ts';
import { buildGoSelf, openGo, openGoBytes, temporaryDirectory } from './go-testing.ts';
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
