import assert from 'node:assert/strict';
import { cpus } from 'node:os';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { ownTask, runQueueWaitMs } from './run-queue-wait.ts';

test('threads on one CPU wait for one another, and it is counted', async () => {
  const task = ownTask();
  assert.ok(task !== undefined && task > 0);
  const before = runQueueWaitMs(task);
  // More than there are CPUs.
  const busy = Array.from(
    { length: cpus().length + 2 },
    () => new Worker('for (;;);', { eval: true }),
  );
  await Promise.all(busy.map((worker) => new Promise((resolve) => worker.once('online', resolve))));
  while (runQueueWaitMs(task) < before + 50) await new Promise(setImmediate);
  await Promise.all(busy.map((worker) => worker.terminate()));
});

test('of a thread that is gone nothing is known', () => {
  assert.equal(runQueueWaitMs(2 ** 22 + 1), 0);
});
