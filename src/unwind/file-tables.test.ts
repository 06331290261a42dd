import assert from 'node:assert/strict';
import { test } from 'node:test';
import { textOffset } from '../units/units.ts';
import { FileTables, type TextSource } from './file-tables.ts';
import { Rule } from './rule.ts';
import type { RuleSource } from './source.ts';
import { TableStore } from './table-store.ts';
import { MemoryMaps } from './testing.ts';

/** Rules that change every 16 bytes; counts how often they are asked for. */
class Stripes implements RuleSource {
  readonly problems = new Map<string, number>();
  asked = 0;
  rows(from: number, to: number, sink: (start: never, rule: number) => void): void {
    this.asked++;
    for (let at = from; at < to; at = (at | 15) + 1) sink(at as never, (at >>> 4) + 1);
  }
}

/** 1 MiB of text, with a call before every address that is a multiple of 32. */
function stripes() {
  const rules = new Stripes();
  const text: TextSource = {
    rules,
    textSize: 1 << 20,
    readText(from, length) {
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; at++) if ((from + at) % 32 === 27) bytes[at] = 0xe8;
      return bytes;
    },
  };
  return { rules, text };
}

test('rules at exact pcs and at call sites; regions are built once', () => {
  const { rules, text } = stripes();
  const maps = new MemoryMaps({ tables: 200_000 });
  const tables = new FileTables(text, new TableStore(maps.maps, maps));
  assert.equal(tables.index, 0);
  for (const offset of [0, 15, 16, 65_535, 65_536, 70_001, (1 << 20) - 1]) {
    assert.equal(tables.rule(textOffset(offset), true), (offset >>> 4) + 1, `${offset}`);
  }
  assert.equal(rules.asked, 3);
  for (const site of [31, 63, 262_143, 262_143 + 32, (1 << 20) - 1]) {
    assert.equal(tables.rule(textOffset(site), false), (site >>> 4) + 1, `${site}`);
  }
  assert.equal(rules.asked, 6);
  for (const outside of [1 << 20, -1, 2 ** 32]) {
    assert.equal(tables.rule(textOffset(outside), true), Rule.None);
    assert.equal(tables.rule(textOffset(outside), false), Rule.None);
  }
});

test('what the kernel drops is dropped here, and built again', () => {
  const { rules, text } = stripes();
  // Room for three full regions of 64 words and 4,096 rows.
  const maps = new MemoryMaps({ tables: 4 * (64 + 4096) });
  const store = new TableStore(maps.maps, maps);
  const tables = new FileTables(text, store);
  for (let round = 1; round <= 3; round++) {
    for (const offset of [0, 1 << 16, 2 << 16, 3 << 16]) {
      assert.equal(tables.rule(textOffset(offset), true), (offset >>> 4) + 1);
      store.settle();
    }
    assert.equal(rules.asked, 4 * round);
  }
  assert.deepEqual([...store.problems], [['unwind_tables_evicted', 9]]);
  tables.close();
  store.settle();
  assert.equal(store.usedBytes, 0);
});

test('no room in the kernel: rules all the same, and bounded memory', () => {
  const { rules, text } = stripes();
  const maps = new MemoryMaps({ files: 0 });
  const store = new TableStore(maps.maps, maps);
  const tables = new FileTables({ ...text, textSize: 64 << 16 }, store);
  assert.equal(tables.index, undefined);
  assert.equal(store.problems.get('no_room_for_file'), 1);
  const all = (): void => {
    for (let region = 0; region < 64; region++) {
      assert.equal(tables.rule(textOffset(region << 16), true), ((region << 16) >>> 4) + 1);
    }
  };
  all();
  assert.equal(rules.asked, 64);
  all();
  assert.equal(rules.asked, 128);
  tables.rule(textOffset(63 << 16), true);
  assert.equal(rules.asked, 128);
  tables.close();
});
