import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FULL_PAGE_SHIFT, PAGES_PER_REGION } from '../capture/record.ts';
import { evictionOrder, type FileUse, type HeldBlock } from './table-eviction.ts';
import { type FilePlace, TableStore } from './table-store.ts';
import { MemoryMaps } from './testing.ts';

const SECOND = 1_000_000_000n;

const block = (file: number, length: number, isFresh = false): HeldBlock => ({
  file,
  length,
  isFresh,
});

const use = (seconds: number, ...files: number[]): FileUse => ({
  files: new Set(files),
  at: BigInt(seconds) * SECOND,
});

const files = (blocks: Iterable<HeldBlock>) => Array.from(blocks, ({ file }) => file);

test('files that nobody maps go first, then those whose processes have been idle the longest', () => {
  const blocks = [block(1, 10), block(2, 10), block(3, 10), block(4, 10), block(2, 10)];
  const uses = [use(1000, 1), use(900, 2), use(800, 3)];
  assert.deepEqual(files(evictionOrder(blocks, uses, 1000)), [4, 3, 2, 2, 1]);
});

test('of processes that are all at work whoever has most gives, and keeps its newest', () => {
  const uses = [use(1000, 1, 2), use(999, 3), use(998, 4)];
  const big = [block(1, 300), block(2, 100), block(1, 101)];
  const order = evictionOrder([block(3, 100), ...big, block(4, 200)], uses, 1000);
  assert.deepEqual(order.next().value, big[0]);
  // Then down to three quarters of that share, and on by halves of it.
  assert.deepEqual(
    Array.from(order, ({ file, length }) => [file, length]),
    [
      [2, 100],
      [4, 200],
      [1, 101],
      [3, 100],
    ],
  );
});

test('a file that several map is on nobody’s account but its own', () => {
  const uses = [use(1000, 1, 9), use(1000, 2, 9), use(1000, 3)];
  const blocks = [block(9, 240), block(1, 20), block(3, 260), block(2, 20)];
  assert.equal(files(evictionOrder(blocks, uses, 1000))[0], 3);
});

test('rows just loaded are of processes not known yet: together they have the share of one', () => {
  const uses = [use(1000, 1)];
  const fresh = [5, 6, 7, 8].map((file) => block(file, 70, true));
  const order = evictionOrder([block(1, 200), ...fresh], uses, 1000);
  assert.equal(order.next().value!.file, 5);
  assert.deepEqual(files(order)[0], 6);
});

/** Rows of one region, `length` words with their index. */
function rows(start: number, length: number) {
  const count = length - PAGES_PER_REGION;
  return {
    offsets: Uint32Array.from({ length: count }, (_, i) => start + i),
    rules: new Uint32Array(count),
  };
}

const WORDS = 65_536;

/** A store whose users the test decides; of each file it remembers which regions are there. */
function storeOf(uses: () => readonly FileUse[]) {
  const maps = new MemoryMaps({ tables: WORDS, files: 64 });
  const store = new TableStore(maps.maps, maps, uses);
  const present = new Map<number, Set<number>>();
  const load = (place: FilePlace, region: number, length: number): boolean => {
    const regions = present.get(place.index) ?? new Set();
    present.set(place.index, regions);
    if (regions.has(region)) return true;
    const start = region * 2 ** 16;
    const at = place.fullDirectory + region;
    const forget = () => regions.delete(region);
    regions.add(region);
    if (store.load(place, at, start, FULL_PAGE_SHIFT, rows(start, length), forget)) return true;
    regions.delete(region);
    return false;
  };
  return { store, load, present };
}

// Others have up to half of the room; the one maps up to 40 files and runs all over them.
const step = fc.record({
  file: fc.nat(39),
  region: fc.nat(199),
  length: fc.integer({ min: PAGES_PER_REGION + 1, max: WORDS / 64 }),
  settles: fc.boolean(),
});

test('whatever one process or file does, the blocks of the others stay where they are', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      fc.boolean(),
      fc.boolean(),
      fc.array(step, { minLength: 150, maxLength: 300 }),
      (fileCount, isKnown, isShared, steps) => {
        const uses: FileUse[] = [];
        const { store, load, present } = storeOf(() => uses);
        const others = Array.from({ length: 8 }, () => store.addFile(0, 16)!);
        // Each file by two processes, the later ones sampled longer ago than the hostile one.
        others.forEach(({ index }, i) => {
          uses.push(use(1000 - i, index), use(990 - i, index));
          for (let region = 0; region < 4; region++) {
            assert.ok(load(others[i]!, region, WORDS / 64));
          }
        });
        store.settle();
        const mine = Array.from({ length: fileCount }, () => store.addFile(0, 200)!);
        const own = new Set(mine.map(({ index }) => index));
        if (isKnown) uses.push({ files: own, at: 1001n * SECOND });
        // Of one file only: two processes that the same one has made.
        if (isKnown && isShared && fileCount === 1) uses.push({ files: own, at: 1002n * SECOND });
        for (const { file, region, length, settles } of steps) {
          load(mine[file % fileCount]!, region, length);
          if (settles) store.settle();
          for (const { index } of others) assert.equal(present.get(index)!.size, 4);
        }
      },
    ),
    { numRuns: 30 },
  );
});

test('one that had all the room gives it to those who come later', () => {
  const uses: FileUse[] = [];
  const { store, load, present } = storeOf(() => uses);
  const big = store.addFile(0, 200)!;
  uses.push(use(1000, big.index));
  for (let region = 0; region < 80; region++) load(big, region, WORDS / 64);
  store.settle();
  const had = present.get(big.index)!.size;
  assert.ok(had > 50, `${had} regions`);
  for (let i = 0; i < 10; i++) {
    const place = store.addFile(0, 16)!;
    uses.push(use(1000, place.index));
    for (let region = 0; region < 4; region++) assert.ok(load(place, region, WORDS / 64));
    store.settle();
  }
  const sizes = [...present.values()].map((regions) => regions.size);
  assert.deepEqual(sizes.slice(1), Array(10).fill(4));
  assert.ok(sizes[0]! >= 12, `${sizes[0]} regions of the big one are left`);
});
