import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { MemorySource, ParseError } from './source.ts';
import { xzContentSize } from './xz-size.ts';

const xz = (content: Uint8Array, ...options: string[]): Buffer =>
  execFileSync('xz', ['-c', ...options], { input: content, maxBuffer: 64 << 20 });
const sizeOf = (bytes: Uint8Array): number => xzContentSize(new MemorySource(bytes));

describe('size of .xz contents', () => {
  test('it is that of the file which xz compressed, with one block, many or none', () => {
    for (const size of [0, 1, 127, 128, 100_000, 5_000_000])
      assert.equal(sizeOf(xz(new Uint8Array(size))), size);
    assert.equal(sizeOf(xz(new Uint8Array(3_000_000), '--block-size=10000')), 3_000_000);
  });

  test('of damaged files only ParseErrors come, and no size of more than an index can say', () => {
    const whole = xz(Buffer.from('abcdefgh'.repeat(5000)), '--block-size=1000');
    const tail = whole.subarray(whole.length - 200);
    let accepted = 0;
    fc.assert(
      fc.property(fc.nat(199), fc.nat(255), fc.nat(300), (at, value, cut) => {
        const bytes = Uint8Array.from(cut < 200 ? tail.subarray(cut) : whole);
        bytes[Math.max(0, bytes.length - 1 - at)] = value;
        try {
          assert.ok(sizeOf(bytes) >= 0);
          accepted++;
        } catch (error) {
          assert.ok(error instanceof ParseError, String(error));
        }
      }),
      { seed: 4, numRuns: 3000 },
    );
    assert.ok(accepted > 100, `${accepted} were accepted`);
  });
});
