import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cleanName, MAX_NAME_BYTES } from './clean-name.ts';

const SEED = 20261121;

test('ordinary names, also in other scripts, stay as they are', () => {
  for (const name of ['main', 'std::vector<int>::push_back(int const&)', 'grüße', '関数', '🔥']) {
    assert.equal(cleanName(name), name);
    assert.equal(cleanName(Buffer.from(name)), name);
  }
});

test('terminal escapes, newlines, NUL, DEL and C1 are replaced one by one', () => {
  assert.equal(cleanName('a\x1b[31mb\nc\0d\x7fe\x9bf'), 'a�[31mb�c�d�e�f');
});

test('bidi overrides, zero-width and filler characters do not survive', () => {
  assert.equal(cleanName('a\u202eb\u200bc\ufeffd\u3164e\u{e0041}f\u2028g'), 'a�b�c�d�e�f�g');
});

test('bytes that are not UTF-8 become replacement characters', () => {
  assert.equal(cleanName(Uint8Array.of(0x61, 0xff, 0x62, 0xc3)), 'a�b�');
});

test('long names are cut at a character with an ellipsis', () => {
  assert.equal(cleanName('abcdefgh', 6), 'abc…');
  assert.equal(cleanName('ääää', 7), 'ää…');
  assert.equal(cleanName('äää', 6), 'äää');
  assert.equal(Buffer.byteLength(cleanName('x'.repeat(1e6))), MAX_NAME_BYTES);
  assert.equal(cleanName(Buffer.from(`${'ä'.repeat(2047)}€€`)), `${'ä'.repeat(2046)}…`);
});

test('whatever goes in, valid printable bounded text comes out', () => {
  const input = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 100 }).map((units) => {
      return String.fromCharCode(...units);
    }),
  );
  fc.assert(
    fc.property(input, fc.integer({ min: 3, max: 60 }), (raw, limit) => {
      const text = cleanName(raw, limit);
      assert.ok(Buffer.byteLength(text) <= limit);
      assert.ok(text.isWellFormed());
      assert.doesNotMatch(text, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      assert.equal(cleanName(text, limit), text, 'cleaning twice changes nothing');
    }),
    { seed: SEED, numRuns: 2000 },
  );
});
