/** Queues on disks that are full or read-only, and in folders of others: the kernel's own, in a mount namespace. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import {
  Backend,
  balanced,
  DELIVERED,
  DOWN,
  openExporter,
  profileOf,
  SETTINGS,
} from './backend.test-support.ts';
import { SimulatedClock } from './simulated-clock.test-support.ts';

const SCENARIOS = [
  'full of what waits',
  'full of what others wrote',
  'full at the start',
  'full at the end',
  'read-only',
  'read-only until the end',
  'not writable for its user',
];
const OTHER_USER = 65534;

describe('a disk that is', () => {
  for (const scenario of SCENARIOS) {
    test(`${scenario}: what was accepted arrives or is counted`, async (context) => {
      const folder = mkdtempSync(join(tmpdir(), 'flametap-disk-'));
      context.after(() => rmSync(folder, { recursive: true }));
      const main = join(import.meta.dirname, 'real-disk-main.test-support.ts');
      // Fails where mounts are not allowed: a test that did not run proves nothing.
      await promisify(execFile)('unshare', ['--mount', process.execPath, main, folder, scenario]);
    });
  }
});

test('a folder of somebody else is left alone; when it is ours it is used', async (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'flametap-foreign-'));
  context.after(() => rmSync(directory, { recursive: true }));
  chownSync(directory, OTHER_USER, OTHER_USER);
  const clock = new SimulatedClock();
  const backend = new Backend();
  backend.answer = () => DOWN;
  const warnings: string[] = [];
  const host = {
    clock,
    warn: (cause: string, message: string) => void warnings.push(`${cause}: ${message}`),
  };
  const queue = { ...SETTINGS.queue, directory };
  const exporter = openExporter(backend, host, { queue });
  assert.match(warnings.join('\n'), /queue_in_memory: .* belongs to user 65534/);
  exporter.accept(profileOf('a', 'b'));
  await clock.advance(60_000);
  assert.equal(balanced(exporter.stats()).queueOnDisk, false);
  chownSync(directory, process.geteuid!(), process.getegid!());
  await clock.advance(10_000);
  assert.equal(balanced(exporter.stats()).queueOnDisk, true);
  backend.answer = () => DELIVERED;
  await clock.advance(60_000);
  assert.deepEqual(backend.received, ['a', 'b']);
  assert.deepEqual(balanced(exporter.stats()).dropped, {});
  await exporter.close(0);
});
