import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { loadAddon, type NativeSamplerOptions, nativeFiles } from '../src/capture/addon.ts';

const options: NativeSamplerOptions = {
  object: nativeFiles().object,
  cpus: 1,
  ringBytes: 512 * 1024,
  config: {},
  entries: { ft_processes: 64, ft_mappings: 256, ft_files: 16, ft_tables: 4096 },
};

/** Sends this process signal after signal, as the timer of a CPU profiler does. */
const BOMBARDMENT = `
  const { parentPort } = require('node:worker_threads');
  parentPort.postMessage('begun');
  for (;;) process.kill(process.pid, 'SIGWINCH');
`;

// The verifier gives up when a signal is pending: loading ended in EAGAIN, however often it was tried.
test('programs load and attach under a bombardment of signals', async () => {
  let signals = 0;
  process.on('SIGWINCH', () => signals++);
  const sender = new Worker(BOMBARDMENT, { eval: true });
  after(() => sender.terminate());
  await new Promise((resolve) => sender.once('message', resolve));
  const { Sampler } = loadAddon();
  for (let i = 0; i < 3; i++) {
    const sampler = new Sampler(options);
    sampler.watch(0, 99);
    sampler.close();
  }
  await sender.terminate();
  // Nor are they lost: what was sent meanwhile arrives.
  while (signals === 0) await new Promise(setImmediate);
  assert.ok(signals > 0);
});
