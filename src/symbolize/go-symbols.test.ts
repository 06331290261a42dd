import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildChains } from '../elf/go-oracle.test-support.ts';
import { openGo, temporaryDirectory } from '../elf/go-testing.ts';
import { ParseError } from '../elf/source.ts';
import { virtualAddress } from '../units/units.ts';
import { GoSymbols } from './go-symbols.ts';

test('generic functions have the printed name and the name that Go builds with', () => {
  const { functions } = openGo(buildChains(temporaryDirectory(), { stripped: true }));
  const symbols = new GoSymbols(functions);
  const { start, end } = functions.text;
  const found = new Map<string, string>();
  // The program's own package comes last.
  for (let at = end - 1; at >= Math.max(start, end - 65536); at -= 8) {
    for (const line of symbols.lookup(virtualAddress(at)) ?? []) {
      if (line.name.startsWith('main.') && line.name !== line.systemName) {
        found.set(line.systemName, line.name);
      }
    }
  }
  assert.ok([...found.keys()].some((name) => /^main\.each\[go\.shape\./.test(name)));
  for (const [systemName, name] of found) {
    assert.match(systemName, /^main\.[^[]*\[(?!\.\.\.).*\]/);
    assert.match(name, /^main\.[^[]*\[\.\.\.\]/);
  }
});

test('names and paths are made safe to show', () => {
  const symbols = new GoSymbols({
    lookup: (_address, text) => [
      {
        name: text('main.a\x1b[2J'),
        systemName: text('main.a\x1b[2J'),
        file: text('a\nb.go'),
        line: 1,
        column: 0,
        startLine: 1,
      },
    ],
  });
  const [line] = symbols.lookup(virtualAddress(0))!;
  assert.equal(line!.name, 'main.a\ufffd[2J');
  assert.equal(line!.file, 'a\ufffdb.go');
});

test('what was refused as a whole and in part is counted together', () => {
  const symbols = new GoSymbols({
    lookup: () => {
      throw new ParseError('go_function', 'broken');
    },
    problems: new Map([
      ['go_function', 1],
      ['go_inline_tree', 2],
    ]),
  });
  assert.equal(symbols.lookup(virtualAddress(0)), undefined);
  assert.deepEqual(
    [...symbols.problems],
    [
      ['go_function', 2],
      ['go_inline_tree', 2],
    ],
  );
});
