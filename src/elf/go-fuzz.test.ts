import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { textOffset, virtualAddress } from '../units/units.ts';
import { readGoBuildInfo } from './go-buildinfo.ts';
import { GoFunctions } from './go-functions.ts';
import { GoRules } from './go-rules.ts';
import { buildGoSelf, openGoBytes, temporaryDirectory } from './go-testing.ts';
import { findModuleData } from './go-text.ts';
import { goThreadLayout } from './go-thread.ts';
import { ElfImage } from './image.ts';
import { MemorySource, ParseError } from './source.ts';

/** Everything that a look-up may touch; ParseError is the only exception allowed. */
function exercise(bytes: Uint8Array, spots: readonly number[]): void {
  const attempt = (call: () => unknown): void => {
    try {
      call();
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
    }
  };
  attempt(() => {
    const image = ElfImage.parse(new MemorySource(bytes));
    attempt(() => readGoBuildInfo(image));
    const functions = GoFunctions.open(image);
    if (functions === undefined) return;
    attempt(() => goThreadLayout(image, functions));
    const rules = new GoRules(functions);
    const { start, end } = rules.range;
    for (const spot of spots) {
      const offset = start + Math.floor(spot * (end - start));
      attempt(() => {
        const lines = functions.lookup(virtualAddress(offset + image.textBase)) ?? [];
        assert.ok(lines.length <= 129, `${lines.length} calls at one address`);
        for (const { name, file, line, startLine } of lines) {
          assert.ok(name.length <= 4096 && file.length <= 4096 && line >= 0 && startLine >= 0);
        }
      });
      let previous = -1;
      rules.rows(textOffset(offset), textOffset(offset + 8192), (at) => {
        assert.ok(at > previous && at >= offset && at < offset + 8192);
        previous = at;
      });
      rules.covers(textOffset(offset));
    }
  });
}

/** Offsets in the file of the module's description and of an inlining tree. */
function inliningPlaces({
  module: { memory, table, tableAddress },
}: GoFunctions): [number, number] {
  const moduleData = findModuleData(memory, table, tableAddress)!;
  const base = memory.pointer(moduleData + 40 * 8)!;
  let tree: number | undefined;
  for (let index = 0; tree === undefined; index++) tree = table.funcdata(table.record(index), 3);
  const offset = (address: number) => memory.image.addressToOffset(virtualAddress(address))!;
  return [offset(moduleData), offset(base + tree)];
}

test('damaged tables give reasons, not crashes, and in bounded time', () => {
  const original = readFileSync(buildGoSelf(temporaryDirectory(), { stripped: true }));
  const { image, functions } = openGoBytes(original);
  const table = image.section('.gopclntab')!;
  const [module, trees] = inliningPlaces(functions);
  const places = [
    // The fields that say where the inlining trees are, and trees.
    fc.integer({ min: module, max: module + 400 }),
    fc.integer({ min: trees, max: trees + 4096 }),
    // The header decides most.
    fc.integer({ min: table.offset, max: table.offset + 71 }),
    fc.integer({ min: table.offset, max: table.offset + table.size - 1 }),
    fc.integer({ min: image.section('.go.buildinfo')!.offset, max: original.length - 1 }),
    fc.integer({ min: 16, max: 512 }),
  ];
  const change = fc.record({
    at: fc.oneof(...places),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
  });
  const spots = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), {
    minLength: 4,
    maxLength: 4,
  });
  const bytes = Buffer.from(original);
  let slowest = 0;
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 40 }), spots, (changes, where) => {
      const undo = changes.map(({ at, bytes: put }) => {
        const room = put.subarray(0, bytes.length - at);
        const old = Uint8Array.from(bytes.subarray(at, at + room.length));
        bytes.set(room, at);
        return { at, old };
      });
      const start = performance.now();
      try {
        exercise(bytes, where);
      } finally {
        slowest = Math.max(slowest, performance.now() - start);
        for (const { at, old } of undo.reverse()) bytes.set(old, at);
      }
    }),
    { seed: 20261121, numRuns: 400 },
  );
  assert.ok(bytes.equals(original));
  assert.ok(slowest < 10_000, `one took ${slowest} ms`);
});
