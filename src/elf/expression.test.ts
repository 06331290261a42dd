import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { matchCfa } from './expression.ts';
import { evaluate } from './expression-evaluator.ts';
import { ParseError } from './source.ts';

const registers = BigUint64Array.from({ length: 17 }, (_, index) => BigInt(index) * 0x1000n);
const memory = (address: bigint): bigint | undefined =>
  address < 0x100000n ? 0x1122334455667788n ^ address : undefined;
const run = (bytes: readonly number[], initial?: bigint): bigint =>
  evaluate(Uint8Array.from(bytes), registers, memory, initial);
const ALL_ONES = (1n << 64n) - 1n;

describe('matchCfa', () => {
  test('the forms that rules can hold', () => {
    const cases: [number[], unknown][] = [
      [[0x77, 0x08], { form: 'register', register: 7, offset: 8 }],
      [[0x76, 0x78], { form: 'register', register: 6, offset: -8 }],
      [[0x76, 0x78, 0x23, 0x10], { form: 'register', register: 6, offset: 8 }],
      [[0x76, 0x78, 0x06], { form: 'deref', register: 6, offset: -8, add: 0 }],
      [[0x77, 0xa0, 0x01, 0x06], { form: 'deref', register: 7, offset: 160, add: 0 }],
      [[0x77, 0x30, 0x06, 0x23, 0x08], { form: 'deref', register: 7, offset: 48, add: 8 }],
      [[0x77, 0x30, 0x06, 0x38, 0x22], { form: 'deref', register: 7, offset: 48, add: 8 }],
      [[0x77, 0x30, 0x06, 0x08, 0x80, 0x22], { form: 'deref', register: 7, offset: 48, add: 128 }],
      [[0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22], { form: 'plt' }],
      // The PLT of -fcf-protection has another border; the evaluator has to do it.
      [[0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x39, 0x2a, 0x33, 0x24, 0x22], undefined],
      [[0x77, 0x30, 0x06, 0x06], undefined],
      [[0x77], undefined],
      [[], undefined],
    ];
    for (const [bytes, form] of cases) assert.deepEqual(matchCfa(Uint8Array.from(bytes)), form);
  });
});

describe('evaluate', () => {
  test('each operation', () => {
    const cases: [string, number[], bigint][] = [
      ['addr', [0x03, 1, 2, 3, 4, 5, 6, 7, 0x88], 0x8807060504030201n],
      ['const1s', [0x09, 0xff], ALL_ONES],
      ['const2u', [0x0a, 0xff, 0xff], 0xffffn],
      ['const2s', [0x0b, 0xff, 0xff], ALL_ONES],
      ['const4u', [0x0c, 0xff, 0xff, 0xff, 0xff], 0xffffffffn],
      ['const4s', [0x0d, 0xff, 0xff, 0xff, 0xff], ALL_ONES],
      ['const8u', [0x0e, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], ALL_ONES],
      ['constu', [0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], ALL_ONES],
      ['consts', [0x11, 0x7f], ALL_ONES],
      ['dup, mul', [0x35, 0x12, 0x1e], 25n],
      ['over, minus', [0x35, 0x33, 0x14, 0x1c], (1n << 64n) - 2n],
      ['pick', [0x35, 0x33, 0x31, 0x15, 0x02], 5n],
      ['swap, minus', [0x33, 0x35, 0x16, 0x1c], 2n],
      ['rot', [0x31, 0x32, 0x33, 0x17], 2n],
      ['drop', [0x31, 0x32, 0x13], 1n],
      ['abs', [0x09, 0xfb, 0x19], 5n],
      ['div is signed', [0x09, 0xf8, 0x32, 0x1b], (1n << 64n) - 4n],
      ['mod', [0x37, 0x33, 0x1d], 1n],
      ['neg, not', [0x31, 0x1f, 0x20], 0n],
      ['or, xor, and', [0x35, 0x3a, 0x21, 0x33, 0x27, 0x3c, 0x1a], 12n],
      ['plus_uconst', [0x31, 0x23, 0x80, 0x01], 129n],
      ['shl', [0x31, 0x08, 63, 0x24], 1n << 63n],
      ['shl beyond', [0x31, 0x08, 64, 0x24], 0n],
      ['shr', [0x09, 0xff, 0x08, 60, 0x25], 15n],
      ['shra', [0x09, 0xf0, 0x32, 0x26], (1n << 64n) - 4n],
      ['ge is signed', [0x30, 0x09, 0xff, 0x2a], 1n],
      ['lt', [0x31, 0x32, 0x2d], 1n],
      ['bra skips', [0x31, 0x28, 0x01, 0x00, 0x96, 0x37], 7n],
      ['skip', [0x37, 0x2f, 0x01, 0x00, 0x13], 7n],
      ['bregx', [0x92, 0x07, 0x08], 0x7008n],
      ['breg16', [0x80, 0x7f], 0xffffn],
      ['deref', [0x77, 0x08, 0x06], 0x1122334455667788n ^ 0x7008n],
      ['deref_size', [0x77, 0x08, 0x94, 0x02], (0x7788n ^ 0x7008n) & 0xffffn],
    ];
    for (const [name, bytes, value] of cases) assert.equal(run(bytes), value, name);
  });

  test('the initial value is on the stack', () => {
    assert.equal(run([0x38, 0x1c], 100n), 92n);
  });

  test('loops, deep stacks, unreadable memory and junk end with their reason', () => {
    const cases: [number[], string][] = [
      [[0x2f, 0xfd, 0xff], 'expression'],
      [new Array(100).fill(0x31), 'expression'],
      [[0x11, 0x7f, 0x06], 'stack_unreadable'],
      [[], 'expression'],
      [[0x22], 'expression'],
      [[0x31, 0x30, 0x1b], 'expression'],
      [[0x2f, 0x00, 0x10], 'expression'],
      [[0x9c], 'expression'],
      [[0x92, 0x20, 0x00], 'expression'],
      [[0x0a, 0x00], 'truncated'],
    ];
    for (const [bytes, reason] of cases) {
      assert.throws(
        () => run(bytes),
        (error) => error instanceof ParseError && error.reason === reason,
        bytes.join(),
      );
    }
  });

  test('any bytes: a value of 64 bits or a ParseError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          const value = evaluate(bytes, registers, memory, 1n);
          assert.ok(value >= 0n && value <= ALL_ONES);
        } catch (error) {
          assert.ok(error instanceof ParseError, String(error));
        }
      }),
      { seed: 5, numRuns: 3000 },
    );
  });
});
