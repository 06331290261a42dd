import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileKey } from '../units/units.ts';
import { SuspectFiles } from './suspect-files.ts';

const MINUTE = 60_000;

test('a file is refused at its second time, for a while that doubles', () => {
  let now = 0;
  const files = new SuspectFiles(() => now);
  files.suspect(fileKey(7));
  assert.deepEqual(files.refused(), []);
  files.suspect(fileKey(8));
  files.suspect(fileKey(7));
  assert.deepEqual(files.refused(), [{ key: 7, forMs: 10 * MINUTE }]);
  now = 4 * MINUTE;
  assert.deepEqual(files.refused(), [{ key: 7, forMs: 6 * MINUTE }]);
  now = 10 * MINUTE;
  assert.deepEqual(files.refused(), []);
  files.suspect(fileKey(7));
  assert.deepEqual(files.refused(), [{ key: 7, forMs: 20 * MINUTE }]);
  for (let i = 0; i < 20; i++) files.suspect(fileKey(7));
  assert.deepEqual(files.refused(), [{ key: 7, forMs: 24 * 60 * MINUTE }]);
});

test('the files are bounded: the one suspected longest ago is forgotten', () => {
  const files = new SuspectFiles(() => 0);
  for (const key of [1, 1, 2, 2]) files.suspect(fileKey(key));
  for (let key = 3; key <= 257; key++) files.suspect(fileKey(key));
  assert.deepEqual(
    files.refused().map(({ key }) => key),
    [2],
  );
});
