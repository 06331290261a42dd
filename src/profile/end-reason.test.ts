import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { endReason, endReasonCodes, markerName } from './end-reason.ts';

test('the reasons are those of bpf/record.h, in its order', () => {
  const header = readFileSync(new URL('../../bpf/record.h', import.meta.url), 'utf8');
  const list = /#define FT_END_REASONS\(X\)([\s\S]*?[^\\])\n/.exec(header)?.[1] ?? '';
  const codes = [...list.matchAll(/X\(\w+, (\w+)\)/g)].map((match) => match[1]);
  assert.ok(codes.length > 10);
  assert.deepEqual(endReasonCodes, codes);
});

test('whole stacks have no marker, all others one of their own', () => {
  const names = endReasonCodes.map((_, end) => markerName(end));
  assert.deepEqual(names.slice(0, 2), [undefined, undefined]);
  assert.equal(names[5], '[stack cut: no unwind information]');
  assert.equal(new Set(names.slice(2)).size, endReasonCodes.length - 2);
});

test('a number that this version does not know is still a cut stack', () => {
  assert.deepEqual(endReason(999), { code: 'reason_999', words: 'reason 999' });
});
