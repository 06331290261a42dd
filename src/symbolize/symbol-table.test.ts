import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Section } from '../elf/image.ts';
import { MemorySource } from '../elf/source.ts';
import { fileOffset, virtualAddress } from '../units/units.ts';
import { CodeRanges, emptyColumns, orderByStart, readSymbols } from './symbol-table.ts';

const section = (address: number, size: number): Section => ({
  name: '.text',
  type: 1,
  flags: 6,
  address: virtualAddress(address),
  offset: fileOffset(0),
  size,
  link: 0,
  info: 0,
  entrySize: 0,
});

function row(name: number, info: number, index: number, value: bigint, size: bigint): Uint8Array {
  const view = new DataView(new ArrayBuffer(24));
  view.setUint32(0, name, true);
  view.setUint8(4, info);
  view.setUint16(6, index, true);
  view.setBigUint64(8, value, true);
  view.setBigUint64(16, size, true);
  return new Uint8Array(view.buffer);
}

const GLOBAL_FUNC = 0x12;

test('symbols keep to their section however large they claim to be', () => {
  const code = new CodeRanges([section(0x1000, 0x100)]);
  const columns = emptyColumns(4);
  const rows = Buffer.concat([
    row(1, GLOBAL_FUNC, 0, 0x1000n, 1n), // Undefined: st_shndx 0.
    row(1, GLOBAL_FUNC, 0xffff, 0x1010n, 0xffff_ffff_ffff_ffffn),
    row(1, GLOBAL_FUNC, 0xffff, 0x1100n, 1n), // One byte behind the section.
    row(1, GLOBAL_FUNC, 0xffff, 0xffff_ffff_ffff_fff0n, 1n),
  ]);
  readSymbols(new MemorySource(rows), code, 0, columns, () => {});
  assert.equal(columns.length, 1);
  assert.deepEqual([columns.start[0], columns.end[0]], [0x10, 0x100]);
});

test('a table beyond the room for symbols is cut and counted', () => {
  const code = new CodeRanges([section(0, 0), section(0x1000, 0x100)]);
  const columns = emptyColumns(2);
  const refused: string[] = [];
  const rows = Buffer.concat(
    [1, 2, 3].map((at) => row(1, GLOBAL_FUNC, 1, BigInt(0x1000 + at), 1n)),
  );
  readSymbols(new MemorySource(rows), code, 0, columns, (reason) => refused.push(reason));
  assert.equal(columns.length, 2);
  assert.deepEqual(refused, ['too_many_symbols']);
});

test('rows are ordered by all 32 bits of their start, equal ones as they came', () => {
  const columns = emptyColumns(3000);
  for (let index = 0; index < 3000; index++) {
    columns.start[index] = Math.imul(index % 1000, 2_654_435_761) >>> 0;
  }
  columns.length = 3000;
  const expected = Array.from(columns.start.keys()).sort((a, b) => {
    return columns.start[a]! - columns.start[b]! || a - b;
  });
  assert.deepEqual([...orderByStart(columns)], expected);
});
