import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseMaps } from './maps.ts';
import { selectLines } from './maps-selection.ts';

const line = (start: number, path: string): string =>
  `${start.toString(16)}-${(start + 0x1000).toString(16)} r-xp 00000000 00:01 7 ${path}\n`;

test('what samples had comes first, then files, then other memory, in the order of addresses', () => {
  const text = [
    line(0x10000, ''),
    line(0x20000, '/bin/a'),
    line(0x30000, ''),
    line(0x40000, '/lib/b'),
    line(0x50000, ''),
  ].join('');
  const starts = (most: number, wanted: number[]) =>
    parseMaps(selectLines(text, most, wanted).text).mappings.map(({ start }) => start);
  assert.deepEqual(starts(5, []), [0x10000, 0x20000, 0x30000, 0x40000, 0x50000]);
  assert.deepEqual(starts(3, []), [0x10000, 0x20000, 0x40000]);
  assert.deepEqual(starts(3, [0x50010]), [0x20000, 0x40000, 0x50000]);
  assert.deepEqual(starts(1, [0x30fff, 0x31000, 5]), [0x30000]);
  assert.equal(selectLines(text, 2, []).left, 3);
});

test('any text: never more lines than asked for, all of them from it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(0xffff), fc.constantFrom('', '/x', '[heap]', 'a/b')), {
        maxLength: 60,
      }),
      fc.nat(40),
      fc.array(fc.nat(0x1_0000_0000), { maxLength: 10 }),
      (made, most, wanted) => {
        made.sort(([a], [b]) => a - b);
        const lines = made.map(([page, path]) => line(page * 0x1000, path));
        const { text, left } = selectLines(lines.join(''), most, wanted);
        const chosen = text.split('\n').slice(0, -1);
        assert.equal(chosen.length, Math.min(most, lines.length));
        assert.equal(left, lines.length - chosen.length);
        for (const one of chosen) assert.ok(lines.includes(`${one}\n`));
      },
    ),
  );
});
