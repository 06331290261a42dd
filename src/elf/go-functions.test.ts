import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { virtualAddress } from '../units/units.ts';
import { GoFunctions } from './go-functions.ts';
import {
  buildGoSelf,
  type GoBuild,
  openGo,
  openGoBytes,
  runtimeFacts,
  temporaryDirectory,
} from './go-testing.ts';
import { ElfImage } from './image.ts';
import { MemorySource, ParseError } from './source.ts';

let directory: string;
before(() => {
  directory = temporaryDirectory();
});

function agreesWithRuntime(path: string, opened: { functions: GoFunctions }): void {
  const facts = runtimeFacts(path, opened.functions.text.start, 5000);
  assert.ok(facts.length > 4000);
  for (const fact of facts) {
    const found = opened.functions.lookup(virtualAddress(fact.address));
    assert.ok(found !== undefined, `nothing at ${fact.address}`);
    const { entry, line, startLine, file } = found;
    // The runtime prints nothing for the one function whose name has offset 0.
    const name = fact.name === '' ? '' : found.name;
    const { depth: _, ...expected } = fact;
    assert.deepEqual({ address: fact.address, entry, line, startLine, file, name }, expected);
  }
}

const builds: [string, GoBuild][] = [
  ['plain', {}],
  ['stripped', { stripped: true }],
  ['position-independent and stripped', { mode: 'pie', stripped: true }],
  ['cgo, linked by the C linker', { external: true }],
  ['cgo, position-independent, linked by the C linker', { external: true, mode: 'pie' }],
];
for (const [title, build] of builds) {
  test(`names, files, lines and entries are the runtime's own: ${title}`, () => {
    const path = buildGoSelf(directory, build);
    agreesWithRuntime(path, openGo(path));
  });
}

test('a binary without section headers is read by content', () => {
  const path = buildGoSelf(directory, { mode: 'pie', stripped: true });
  const bytes = readFileSync(path);
  bytes.fill(0, 40, 48); // e_shoff
  bytes.fill(0, 58, 64); // e_shentsize, e_shnum, e_shstrndx
  const opened = openGoBytes(bytes);
  assert.equal(opened.image.sections.length, 0);
  agreesWithRuntime(path, opened);
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
    assert.equal(found?.name, line[2]);
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
