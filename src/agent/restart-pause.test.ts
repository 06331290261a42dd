import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RestartPause } from './restart-pause.ts';

test('at once after the first failure, ever later in a crash loop, at once again when it was well', () => {
  let now = 1e6;
  const pause = new RestartPause(() => now);
  const pauses = Array.from({ length: 9 }, () => {
    const ms = pause.failed();
    now += ms + 500;
    return ms;
  });
  assert.deepEqual(pauses, [0, 1e3, 2e3, 4e3, 8e3, 16e3, 32e3, 60e3, 60e3]);
  now += 120_001;
  assert.equal(pause.failed(), 0);
});
