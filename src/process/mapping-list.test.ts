import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fileOffset, inodeNumber, processAddress } from '../units/units.ts';
import { findMapping, insertMapping, type Mapped } from './mapping-list.ts';

type Thing = 'a' | 'b' | 'c' | 'anonymous';

function mapping(what: Thing, start: number, end: number, offset: number): Mapped<Thing> {
  const raw = {
    start: processAddress(start),
    end: processAddress(end),
    offset: fileOffset(offset),
    device: 1,
    inode: what === 'anonymous' ? inodeNumber(0n) : inodeNumber(7n),
    generation: undefined,
    path: what,
  };
  return { start: raw.start, end: raw.end, raw, what };
}

const insertion = fc
  .tuple(
    fc.constantFrom<Thing>('a', 'b', 'c', 'anonymous'),
    fc.nat(60),
    fc.integer({ min: 1, max: 20 }),
    fc.nat(3),
  )
  .map(([what, start, length, offset]) => mapping(what, start, start + length, offset * 100));

/** What lies at an address: the thing and, for files, the offset in it. */
function content(found: Mapped<Thing> | undefined, address: number): string {
  if (!found) return 'nothing';
  if (found.what === 'anonymous') return 'anonymous';
  return `${found.what}+${found.raw.offset + address - found.raw.start}`;
}

test('any insertions: every byte shows what was mapped there last', () => {
  fc.assert(
    fc.property(fc.array(insertion, { maxLength: 30 }), (insertions) => {
      let list: readonly Mapped<Thing>[] = [];
      const model = new Array<string>(100).fill('nothing');
      for (const added of insertions) {
        const before = list;
        list = insertMapping(list, added);
        for (let at = added.start as number; at < added.end; at++) model[at] = content(added, at);
        if (list === before) assert.equal(list.length > 0, true);
        for (let i = 0; i < list.length; i++) {
          assert.ok(list[i]!.start < list[i]!.end);
          assert.ok(i === 0 || list[i - 1]!.end <= list[i]!.start, 'sorted and apart');
          // map_files is asked for the range that the kernel has now.
          assert.deepEqual([list[i]!.raw.start, list[i]!.raw.end], [list[i]!.start, list[i]!.end]);
        }
        const shown = model.map((_, at) => content(findMapping(list, processAddress(at)), at));
        assert.deepEqual(shown, model);
      }
    }),
    { seed: 3, numRuns: 400 },
  );
});

test('what is there already leaves the list as it is', () => {
  const list = insertMapping([], mapping('a', 0x1000, 0x9000, 0));
  assert.equal(insertMapping(list, mapping('a', 0x2000, 0x3000, 0x1000)), list);
  // The same file at another place of it is news.
  assert.notEqual(insertMapping(list, mapping('a', 0x2000, 0x3000, 0)), list);
});

test('10,000 mappings in any order take well below a second', () => {
  const order = Array.from({ length: 10_000 }, (_, i) => (i * 7919) % 10_000);
  const started = performance.now();
  let list: readonly Mapped<Thing>[] = [];
  for (const i of order) list = insertMapping(list, mapping('a', i * 8, i * 8 + 4, 0));
  for (const i of order) assert.ok(findMapping(list, processAddress(i * 8 + 3)));
  assert.equal(findMapping(list, processAddress(5)), undefined);
  assert.equal(list.length, 10_000);
  const took = performance.now() - started;
  assert.ok(took < 3000, `${took} ms`);
});
