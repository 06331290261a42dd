/** Sampling ends and begins again inside one process, as when the agent's configuration changes. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { startProfiler } from '../../src/agent/profiler.ts';
import { buildProgram } from '../harness/programs.ts';
import { pause } from '../harness/record.ts';

async function sampled(hz: number): Promise<number> {
  const profiler = await startProfiler({
    hz,
    scope: { pids: [], followChildren: true },
    threads: false,
    kernelStacks: true,
    maxDepth: 1024,
    ringBytes: 1 << 20,
    labels: [],
    symbols: { debuginfodUrls: [], cacheDir: '', maxCacheBytes: 1 << 20 },
    steady: true,
  });
  await pause(700);
  const { tally, period } = await profiler.stop();
  assert.equal(period, Math.round(1e9 / hz));
  return tally.taken;
}

// What one run has opened may not be there after it: changes come for months.
test('a second run in the same process samples as the first did and leaves no descriptor open', async () => {
  const child = spawn(buildProgram('chain'), ['8', '2'], { stdio: 'ignore' });
  try {
    const descriptors = () => readdirSync('/proc/self/fd').length;
    assert.ok((await sampled(199)) > 0);
    const before = descriptors();
    for (const hz of [99, 299]) {
      assert.ok((await sampled(hz)) > 0);
      assert.ok(descriptors() <= before, `${descriptors()} instead of ${before}`);
    }
  } finally {
    child.kill();
  }
});
