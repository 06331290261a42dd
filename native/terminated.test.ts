import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';

const ADDON = pathToFileURL(join(import.meta.dirname, '..', 'src', 'capture', 'addon.ts')).href;

/** A long way to nothing: the thread is in the addon nearly all the time. */
const PATH = `${'/usr/..'.repeat(500)}/there/is/nothing`;
/** Of a thread that fails in the addon all the time. */
const THREAD = `
  import { loadAddon } from ${JSON.stringify(ADDON)};
  import { parentPort } from 'node:worker_threads';
  const addon = loadAddon();
  parentPort.postMessage('');
  for (;;) try { addon.linkFile(0, ${JSON.stringify(PATH)}); } catch {}
`;
const MAIN = `
  import { Worker } from 'node:worker_threads';
  import { once } from 'node:events';
  for (let round = 0; round < 15; round++) {
    const url = new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(THREAD)}));
    const worker = new Worker(url);
    await once(worker, 'message');
    await worker.terminate();
  }
  console.log('ended in order');
`;

// Nothing can be thrown into a thread that is being ended: C++ had nobody to catch it.
test('a thread that is ended within the addon does not take the process with it', () => {
  const args = ['--input-type=module', '--eval', MAIN];
  assert.equal(execFileSync(process.execPath, args, { encoding: 'utf8' }), 'ended in order\n');
});
