import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzz } from './arbitrary-samples.test-support.ts';
import { ByteBudget, WordTable } from './word-table.ts';

test('ids are those that a map keyed by the text of the sequence would give', () => {
  const sequence = fc.tuple(
    fc.array(fc.constantFrom(0, 1, 2, 0x8000_0000, 0xffff_ffff), { maxLength: 6 }),
    fc.integer({ min: 0, max: 2 }),
  );
  fc.assert(
    fc.property(fc.array(sequence, { maxLength: 200 }), (sequences) => {
      const table = new WordTable();
      const expected = new Map<string, number>();
      for (const [words, tag] of sequences) {
        const key = `${tag}|${words}`;
        if (!expected.has(key)) expected.set(key, expected.size);
        const source = Uint32Array.from([99, ...words, 98]);
        assert.equal(table.intern(source, 1, words.length, tag), expected.get(key));
      }
      assert.equal(table.length, expected.size);
      const texts = Array.from({ length: table.length }, (_, id) => {
        const words = table.words.subarray(table.starts[id], table.starts[id + 1]);
        return `${table.tags[id]}|${words}`;
      });
      assert.deepEqual(texts, [...expected.keys()]);
    }),
    fuzz,
  );
});

test('sequences with the same 32-bit hash stay apart: among 300,000 some ten pairs have one', () => {
  const table = new WordTable();
  const key = new Uint32Array(2);
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 300_000; i++) {
      key[0] = Math.imul(i, 0x9e37_79b1);
      key[1] = i;
      assert.equal(table.intern(key, 0, 2, 0), i);
    }
  }
});

// Each was compared to all others, word by word: a stack of 1,024 frames took a millisecond.
test('sequences that are crafted to have one hash are compared to a few only', () => {
  const table = new WordTable();
  // (low, high) and (low - 0xc2b2ae35, high + 1) are the same to the hash.
  const crafted = (variant: number): Uint32Array =>
    Uint32Array.from({ length: 40 }, (_, at) => {
      const other = (variant >>> (at >>> 1)) & 1;
      return at % 2 === 1 ? 0x7f00 + other : 0x1000 - Math.imul(other, 0xc2b2ae35);
    });
  const ids = Array.from({ length: 1000 }, (_, i) => table.intern(crafted(i), 0, 40, 0));
  assert.deepEqual(ids, [...ids.keys()], 'different ones have different ids');
  for (let i = 0; i < 8; i++) assert.equal(table.find(crafted(i), 0, 40, 0), i);
  assert.equal(table.find(crafted(8), 0, 40, 0), -1);
  assert.equal(table.intern(crafted(8), 0, 40, 0), 1000, 'it has another id each time');
  assert.deepEqual(table.words.subarray(table.starts[1000]), crafted(8));
});

test('stacks of aligned addresses spread: no lookup is slower than a map by orders', () => {
  const table = new WordTable();
  const key = new Uint32Array(4);
  const started = performance.now();
  for (let i = 0; i < 200_000; i++) {
    key[0] = i << 12;
    key[1] = 0x7fff;
    key[2] = i << 12;
    key[3] = 0x7fff;
    table.intern(key, 0, 4, 0);
  }
  assert.equal(table.length, 200_000);
  // Linear probing over one cluster would take minutes.
  assert.ok(performance.now() - started < 5000);
});

test('growth stops at the budget, and what is there can still be found', () => {
  const budget = new ByteBudget(100_000);
  const table = new WordTable(budget);
  const key = new Uint32Array(8);
  let refused = 0;
  for (let i = 0; i < 10_000; i++) {
    key[7] = i;
    const id = table.intern(key, 0, 8, 0);
    if (id < 0) refused++;
    else assert.equal(id, i);
    assert.ok(budget.used <= budget.limit);
    assert.equal(budget.used, table.bytes);
  }
  assert.ok(table.length > 500 && refused === 10_000 - table.length);
  for (let i = 0; i < table.length; i++) {
    key[7] = i;
    assert.equal(table.intern(key, 0, 8, 0), i);
  }
});

test('clear forgets entries and gives back memory that was needed once', () => {
  const budget = new ByteBudget(64 * 2 ** 20);
  const table = new WordTable(budget);
  const key = new Uint32Array(2);
  const empty = table.bytes;
  for (let i = 0; i < 50_000; i++) {
    key[0] = i;
    table.intern(key, 0, 2, 0);
  }
  table.clear();
  table.intern(key, 0, 2, 0);
  assert.equal(table.length, 1);
  table.clear();
  assert.equal(table.length, 0);
  assert.equal(table.bytes, empty);
  assert.equal(budget.used, empty);
});

test('a budget that does not even hold an empty table is an error that says so', () => {
  assert.throws(
    () => new WordTable(new ByteBudget(100)),
    /a table needs \d+ bytes, the limit is 100/,
  );
});
