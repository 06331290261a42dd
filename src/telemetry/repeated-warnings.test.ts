import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RepeatedWarnings } from './repeated-warnings.ts';

test('a cause is told at once, then once per interval with how often it was not told', () => {
  let now = 0;
  const warnings = new RepeatedWarnings({ intervalMs: 60_000, now: () => now });
  assert.equal(warnings.happened('disk'), 0);
  assert.equal(warnings.happened('net'), 0, 'another cause has its own interval');
  now = 59_999;
  for (let i = 0; i < 4; i++) assert.equal(warnings.happened('disk'), undefined);
  now = 60_000;
  assert.equal(warnings.happened('disk'), 4);
  assert.equal(warnings.happened('disk'), undefined);
  now = 200_000;
  assert.equal(warnings.happened('disk'), 1);
  now = 300_000;
  assert.equal(warnings.happened('disk'), 0);
});

test('causes without end do not fill memory, and the latest are known', () => {
  const warnings = new RepeatedWarnings({ intervalMs: 60_000, now: () => 0 });
  for (let i = 0; i < 5_000; i++) assert.equal(warnings.happened(`file ${i}`), 0);
  assert.equal(warnings.happened('file 4999'), undefined);
  assert.equal(warnings.happened('file 0'), 0, 'forgotten');
});

test('what was not told can be told at the end', () => {
  const warnings = new RepeatedWarnings({ intervalMs: 60_000, now: () => 0 });
  for (const cause of ['a', 'b', 'a', 'a']) warnings.happened(cause);
  assert.deepEqual(warnings.untold(), [['a', 2]]);
});
