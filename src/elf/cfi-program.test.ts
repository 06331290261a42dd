import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Cie } from './cfi-entry.ts';
import { CfiProgram } from './cfi-program.ts';
import { Cursor } from './cursor.ts';
import { CFA_EXPRESSION, RegisterRules, Where } from './register-rules.ts';
import { ParseError } from './source.ts';

const { Undefined, Same, Offset, ValueOffset, Register, Expression, ValueExpression } = Where;

function cie(): Cie {
  const initial = new RegisterRules();
  initial.cfaRegister = 7;
  initial.cfaOffset = 8;
  initial.set(16, Offset, -8);
  initial.set(3, Offset, -80);
  return {
    codeAlign: 2,
    dataAlign: -8,
    returnRegister: 16,
    encoding: 0x03,
    augmented: false,
    isSignalFrame: false,
    initial,
  };
}

/** Rows as [start, end, a view of the rules], run for [1000, 2000). */
function rowsOf<View>(bytes: readonly number[], view: (rules: RegisterRules) => View) {
  const rows: [number, number, View][] = [];
  const cursor = new Cursor().reset(Uint8Array.from(bytes), 0, bytes.length);
  new CfiProgram().run(cursor, 0, cie(), 1000, 2000, {
    row: (start, end, rules) => rows.push([start, end, view(rules)]),
  });
  return rows;
}

test('each instruction about a register', () => {
  const cases: [string, number[], number, number, number][] = [
    ['offset', [0x86, 2], 6, Offset, -16],
    ['offset_extended', [0x05, 6, 2], 6, Offset, -16],
    ['offset_extended_sf', [0x11, 6, 0x7e], 6, Offset, 16],
    ['GNU_negative_offset_extended', [0x2f, 6, 2], 6, Offset, 16],
    ['val_offset', [0x14, 6, 2], 6, ValueOffset, -16],
    ['val_offset_sf', [0x15, 6, 0x7e], 6, ValueOffset, 16],
    ['undefined', [0x07, 3], 3, Undefined, 0],
    ['same_value', [0x08, 3], 3, Same, 0],
    ['register', [0x09, 6, 12], 6, Register, 12],
    ['restore', [0x83, 1, 0xc3], 3, Offset, -80],
    ['restore_extended', [0x83, 1, 0x06, 3], 3, Offset, -80],
    ['restore of what was never set', [0x86, 2, 0xc6], 6, Where.Unspecified, 0],
    ['restore_state', [0x0a, 0x83, 1, 0x0b], 3, Offset, -80],
    ['GNU_args_size and nop', [0x2e, 0x80, 0x01, 0x00], 3, Offset, -80],
    ['a vector register is none of ours', [0x05, 17, 2], 16, Offset, -8],
  ];
  for (const [name, bytes, register, kind, value] of cases) {
    const rows = rowsOf(bytes, (rules) => [rules.kinds[register], rules.values[register]]);
    assert.deepEqual(rows, [[1000, 2000, [kind, value]]], name);
  }
});

test('each instruction about the CFA', () => {
  const cases: [string, number[], number, number][] = [
    ['def_cfa', [0x0c, 6, 16], 6, 16],
    ['def_cfa_sf', [0x12, 6, 0x7e], 6, 16],
    ['def_cfa_register', [0x0d, 10], 10, 8],
    ['def_cfa_offset', [0x0e, 0x80, 0x01], 7, 128],
    ['def_cfa_offset_sf', [0x13, 0x7e], 7, 16],
    ['restore_state takes the CFA back too', [0x0a, 0x0c, 6, 16, 0x0b], 7, 8],
  ];
  for (const [name, bytes, register, offset] of cases) {
    const rows = rowsOf(bytes, (rules) => [rules.cfaRegister, rules.cfaOffset]);
    assert.deepEqual(rows, [[1000, 2000, [register, offset]]], name);
  }
});

test('expressions are kept, and survive remember and restore', () => {
  const view = (rules: RegisterRules) => [
    rules.cfaRegister,
    rules.cfaExpression?.join(),
    rules.kinds[6],
    rules.expressions?.[6]?.join(),
  ];
  const expected = [CFA_EXPRESSION, '118,120,6', Expression, '118,0'];
  const definition = [0x0f, 3, 0x76, 0x78, 6, 0x10, 6, 2, 0x76, 0];
  assert.deepEqual(rowsOf(definition, view), [[1000, 2000, expected]]);
  const overwritten = [...definition, 0x0a, 0x0c, 7, 8, 0x16, 6, 1, 0x30, 0x41, 0x0b];
  assert.deepEqual(rowsOf(overwritten, view), [
    [1000, 1002, [7, '118,120,6', ValueExpression, '48']],
    [1002, 2000, expected],
  ]);
});

test('each way to advance, in units of the code alignment', () => {
  const advances = [0x41, 0x02, 2, 0x03, 3, 0, 0x04, 4, 0, 0, 0, 0x01, 0x4c, 4, 0, 0];
  const starts = rowsOf(advances, () => 0).map(([start]) => start);
  assert.deepEqual(starts, [1000, 1002, 1006, 1012, 1020, 1100]);
  // Steps of nothing make no rows; beyond the end there are none.
  assert.deepEqual(
    rowsOf([0x40, 0x40, 0x03, 0xff, 0xff, 0x41], () => 0).map((row) => row.slice(0, 2)),
    [[1000, 2000]],
  );
});

test('malformed instructions have their reasons', () => {
  const cases: [string, number[]][] = [
    ['cfi_opcode', [0x3f]],
    ['cfi_state', [0x0b]],
    ['cfi_state', new Array(100).fill(0x0a)],
    ['cfi_location', [0x41, 0x01, 1, 0, 0, 0]],
    ['cfi_cfa', [0x0f, 1, 0x30, 0x0e, 16]],
    ['cfi_cfa', [0x0f, 1, 0x30, 0x0d, 6]],
    ['truncated', [0x0c, 7]],
    ['truncated', [0x0f, 200, 1]],
    ['leb128', [0x0e, ...new Array(12).fill(0x80)]],
  ];
  for (const [reason, bytes] of cases) {
    assert.throws(
      () => rowsOf(bytes, () => 0),
      (error) => error instanceof ParseError && error.reason === reason,
      reason,
    );
  }
});
