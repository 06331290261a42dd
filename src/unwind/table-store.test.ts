import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  CALL_PAGE_SHIFT,
  CALL_REGION_SHIFT,
  FileValue,
  FULL_PAGE_SHIFT,
  FULL_REGION_SHIFT,
  PAGES_PER_REGION,
} from '../capture/record.ts';
import { type Rows, ruleAt } from './rows.ts';
import { type FilePlace, TableStore } from './table-store.ts';
import { MemoryMaps } from './testing.ts';

const FAIL = undefined;
const BISECT_STEPS = 13;

/** find_rule of bpf/unwind.h, word for word. */
function kernelRule(maps: MemoryMaps, index: number, offset: number, exact: boolean) {
  const file = maps.arrays.get(maps.maps.files)!;
  const field = (at: number) => file.getUint32(index * FileValue.size + at, true);
  const regionShift = exact ? FULL_REGION_SHIFT : CALL_REGION_SHIFT;
  const pageShift = exact ? FULL_PAGE_SHIFT : CALL_PAGE_SHIFT;
  const region = offset >>> regionShift;
  if (region >= field(exact ? FileValue.fullRegions : FileValue.callRegions)) return FAIL;
  const directory = field(exact ? FileValue.fullDirectory : FileValue.callDirectory);
  const [block] = maps.word(directory + region);
  if (block === 0) return FAIL;
  let [low, left] = maps.word(block + ((offset >>> pageShift) & (PAGES_PER_REGION - 1)));
  for (let i = 0; i < BISECT_STEPS && left > 1; i++) {
    const half = left >>> 1;
    if (maps.word(low + half)[0] <= offset) {
      low += half;
      left -= half;
    } else {
      left = half;
    }
  }
  return maps.word(low)[1];
}

/** Rows of a region; the first one is in force at its start. */
function rowsOf(start: number, gaps: readonly number[]): Rows {
  const offsets = [start];
  for (const gap of gaps) offsets.push(offsets.at(-1)! + gap);
  return {
    offsets: Uint32Array.from(offsets),
    rules: Uint32Array.from(offsets, (offset) => (offset * 2654435761) >>> 0),
  };
}

interface Shape {
  readonly exact: boolean;
  readonly regionShift: number;
  readonly pageShift: number;
}
const FULL: Shape = { exact: true, regionShift: FULL_REGION_SHIFT, pageShift: FULL_PAGE_SHIFT };
const CALL: Shape = { exact: false, regionShift: CALL_REGION_SHIFT, pageShift: CALL_PAGE_SHIFT };

function load(store: TableStore, place: FilePlace, region: number, rows: Rows, shape: Shape) {
  const directory = shape.exact ? place.fullDirectory : place.callDirectory;
  const start = region * 2 ** shape.regionShift;
  return store.load(place, directory + region, start, shape.pageShift, rows, () => {});
}

for (const shape of [FULL, CALL]) {
  test(`the kernel's lookup agrees with the rows at every edge (${shape.exact ? 'full' : 'call'} table)`, () => {
    const size = 2 ** shape.regionShift;
    const page = 2 ** shape.pageShift;
    const gap = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 3 * page }));
    fc.assert(
      fc.property(fc.array(gap, { maxLength: 300 }), fc.nat(1), (gaps, region) => {
        const start = region * size;
        const whole = rowsOf(start, gaps);
        const count = whole.offsets.findIndex((offset) => offset >= start + size);
        const rows =
          count < 0
            ? whole
            : { offsets: whole.offsets.slice(0, count), rules: whole.rules.slice(0, count) };
        const maps = new MemoryMaps({});
        const store = new TableStore(maps.maps, maps);
        const place = store.addFile(2, 2)!;
        assert.equal(load(store, place, region, rows, shape), true);
        const edges = [...rows.offsets].flatMap((offset) => [offset - 1, offset, offset + 1]);
        for (let at = start; at < start + size; at += page) edges.push(at - 1, at, at + 1);
        for (const offset of edges) {
          if (offset < start || offset >= start + size) continue;
          const found = kernelRule(maps, place.index, offset, shape.exact);
          assert.equal(found, ruleAt(rows, offset), `at ${offset}`);
        }
        // The other regions, and the other table, are not loaded.
        assert.equal(kernelRule(maps, place.index, (1 - region) * size, shape.exact), FAIL);
        assert.equal(kernelRule(maps, place.index, 2 * size, shape.exact), FAIL);
        assert.equal(kernelRule(maps, place.index, 0, !shape.exact), FAIL);
      }),
      { seed: 13, numRuns: 60 },
    );
  });
}

test('a row at every byte of a page is still found', () => {
  const maps = new MemoryMaps({ tables: 16_384 });
  const store = new TableStore(maps.maps, maps);
  const place = store.addFile(1, 1)!;
  const rows = rowsOf(0, new Array(8191).fill(1));
  assert.ok(load(store, place, 0, rows, CALL));
  for (let at = 0; at < 9000; at++) {
    assert.equal(kernelRule(maps, place.index, at, false), ruleAt(rows, at));
  }
});

test('full: the oldest blocks go, their files are told, and the region can be loaded again', () => {
  const maps = new MemoryMaps({ tables: 1024 });
  const store = new TableStore(maps.maps, maps);
  const place = store.addFile(0, 100)!;
  const present = new Set<number>();
  const rows = (region: number) => rowsOf(region * 65536, [10, 20, 30]);
  for (let round = 0; round < 3; round++) {
    for (let region = 0; region < 100; region++) {
      if (present.has(region)) continue;
      present.add(region);
      const directoryAt = place.fullDirectory + region;
      const forget = () => assert.ok(present.delete(region), 'forgotten twice');
      assert.ok(
        store.load(place, directoryAt, region * 65536, FULL_PAGE_SHIFT, rows(region), forget),
      );
      for (let other = 0; other < 100; other++) {
        const found = kernelRule(maps, place.index, other * 65536 + 35, true);
        assert.equal(found, present.has(other) ? ruleAt(rows(other), other * 65536 + 35) : FAIL);
      }
      if (region % 7 === 0) store.settle();
      assert.ok(store.usedBytes <= 1024 * 8);
    }
  }
  assert.ok(store.problems.get('unwind_tables_evicted')! > 100);
});

test('a region that can never fit is refused, and costs nobody anything', () => {
  const maps = new MemoryMaps({ tables: 512 });
  const store = new TableStore(maps.maps, maps);
  const place = store.addFile(1, 1)!;
  assert.ok(load(store, place, 0, rowsOf(0, [1]), FULL));
  assert.equal(load(store, place, 0, rowsOf(0, new Array(500).fill(1)), CALL), false);
  assert.deepEqual([...store.problems], [['no_room_for_tables', 1]]);
});

test('a removed file has no tables any more; its room and its number are used again, later', () => {
  const maps = new MemoryMaps({ tables: 512, files: 2 });
  const store = new TableStore(maps.maps, maps);
  const before = store.usedBytes;
  for (let i = 0; i < 50; i++) {
    const place = store.addFile(4, 16)!;
    assert.ok(place, `file ${i}`);
    assert.ok(load(store, place, 3, rowsOf(3 * 65536, [1, 2, 3]), FULL));
    store.removeFile(place);
    assert.equal(kernelRule(maps, place.index, 3 * 65536, true), FAIL);
    // A running program may still hold what it has read.
    const next = store.addFile(1, 1)!;
    assert.notEqual(next.index, place.index);
    store.removeFile(next);
    store.settle();
    assert.equal(store.usedBytes, before);
  }
});

test('files that claim more text than there is room leave room for others’ rows', () => {
  const maps = new MemoryMaps({ tables: 4096, files: 64 });
  const store = new TableStore(maps.maps, maps);
  const honest = store.addFile(1, 4)!;
  let refused = 0;
  for (let i = 0; i < 60; i++) if (!store.addFile(60, 240)) refused++;
  assert.ok(refused > 50);
  assert.ok(load(store, honest, 0, rowsOf(0, new Array(2000).fill(1)), FULL));
});

test('a file without text needs no room', () => {
  const maps = new MemoryMaps({});
  const store = new TableStore(maps.maps, maps);
  const place = store.addFile(0, 0)!;
  assert.equal(place.index, 0);
  assert.equal(kernelRule(maps, 0, 0, true), FAIL);
  assert.equal(store.usedBytes, 0);
});

test('no room for a file: none taken', () => {
  const maps = new MemoryMaps({ files: 2 });
  const store = new TableStore(maps.maps, maps);
  assert.ok(store.addFile(1, 1) && store.addFile(1, 1));
  const used = store.usedBytes;
  assert.equal(store.addFile(1, 1), undefined);
  assert.equal(store.usedBytes, used);
});
