import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { cfiRules } from '../elf/eh-frame.ts';
import { FileSource } from '../elf/file-source.ts';
import { ElfImage } from '../elf/image.ts';
import { ParseError } from '../elf/source.ts';
import { virtualAddress } from '../units/units.ts';
import { FunctionBounds } from './function-bounds.ts';

let directory = '';
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'flametap-bounds-'));
});
after(() => rmSync(directory, { recursive: true }));

function open(file: string): FunctionBounds {
  const image = ElfImage.parse(new FileSource(openSync(file, 'r')));
  return new FunctionBounds(cfiRules(image)!, image.textBase, file);
}

interface Code {
  readonly name: string;
  readonly start: number;
  readonly size: number;
}

const functionsOf = (file: string): Code[] =>
  execFileSync('nm', ['-S', '--defined-only', file], { encoding: 'utf8', maxBuffer: 1 << 28 })
    .split('\n')
    .map((line) => /^([0-9a-f]+) ([0-9a-f]+) [tTwWi] (.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, start, size, name]) => ({
      name: name!,
      start: Number.parseInt(start!, 16),
      size: Number.parseInt(size!, 16),
    }));

const nameAt = (bounds: FunctionBounds, address: number) =>
  bounds.lookup(virtualAddress(address))?.[0]?.name;

const SOURCE = `
__attribute__((noinline, cold)) static int rare(int x) { return x * 3; }
__attribute__((noinline)) int often(int x) {
  if (__builtin_expect(x == 12345, 0)) { __builtin_printf("%d", x); __builtin_abort(); }
  return x + 1;
}
int main(int argc, char **argv) { return often(argc) + (argc > 100 ? rare(argc) : 0); }
`;

test('each function of a stripped binary has one identity, its cold part another', () => {
  for (const flags of [['-pie', '-fPIE'], ['-no-pie']]) {
    const source = join(directory, 'app.c');
    const file = join(directory, 'app');
    writeFileSync(source, SOURCE);
    execFileSync('gcc', ['-O2', '-freorder-blocks-and-partition', ...flags, '-o', file, source]);
    const all = functionsOf(file).filter(({ size }) => size > 0);
    execFileSync('strip', [file]);
    const bounds = open(file);
    const wanted = all.filter(({ name }) => /^(?:main|often|rare|main\.cold)$/.test(name));
    assert.equal(wanted.length, 4, `${all.map(({ name }) => name)}`);
    for (const { start, size, name } of wanted) {
      const identity = `app+0x${start.toString(16)}`;
      for (const address of [start, start + size - 1]) {
        assert.equal(nameAt(bounds, address), identity, name);
      }
    }
    const [line] = bounds.lookup(virtualAddress(wanted[0]!.start))!;
    assert.equal(line!.unnamed, true);
  }
});

test('real code: the functions of node begin where its symbol table says', () => {
  const bounds = open(process.execPath);
  const functions = functionsOf(process.execPath).filter(({ size }) => size > 8);
  let agree = 0;
  let other = 0;
  for (let index = 0; index < functions.length; index += 20) {
    const { start, size } = functions[index]!;
    const name = nameAt(bounds, start + (size >> 1));
    // Assembly has symbols and no call frame information: no identity is no wrong one.
    if (name === undefined) continue;
    if (name === `node+0x${start.toString(16)}`) agree++;
    else other++;
  }
  // Some assembly describes several labels in one entry.
  assert.ok(agree > 4000 && other < agree / 100, `${agree} agree, ${other} do not`);
});

test('outside of all functions there is no identity', () => {
  const bounds = open('/bin/true');
  assert.equal(nameAt(bounds, 0), undefined);
  assert.equal(nameAt(bounds, 2 ** 40), undefined);
  assert.equal(nameAt(bounds, 1), undefined);
});

test('a file that fails is counted and gives no identity', () => {
  const failing = new FunctionBounds(
    {
      functionBounds() {
        throw new ParseError('read_failed', 'gone');
      },
    },
    virtualAddress(0),
    '/x',
  );
  assert.equal(nameAt(failing, 5), undefined);
  assert.equal(nameAt(failing, 6), undefined);
  assert.deepEqual([...failing.problems], [['read_failed', 2]]);
});
