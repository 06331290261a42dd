/** Places where the kernel would sample and no profile could be right: refused before it begins. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { CLI, execute } from '../harness/record.ts';

const folder = mkdtempSync(join(tmpdir(), 'refusals-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** As in a container without the host's pids. */
const CONTAINER = ['unshare', '--pid', '--fork', '--mount-proc'];
/** The host's pids, but the container's /proc. */
const STALE_PROC = ['unshare', '--mount', 'sh', '-c'];
const mountThen = 'unshare --pid --fork mount -t proc proc /proc && exec "$@"';

const commands: readonly (readonly string[])[] = [
  ['record', '--output', join(folder, 'profile'), '--', 'true'],
  ['agent', '--listen', '127.0.0.1:0'],
];
for (const [name, ...args] of commands) {
  // Both would run for ever, with profiles that are empty.
  test(`${name} refuses another pid namespace and says what mends it`, async () => {
    const { code, stderr } = await execute([...CONTAINER, CLI, name!, ...args]);
    assert.equal(code, 3, stderr);
    assert.match(stderr, /Pid namespace: pid:\[\d+\], not the initial one.*--pid=host.*hostPID/);
    assert.deepEqual(readdirSync(folder), []);
  });

  test(`${name} refuses a /proc that shows other pids than the kernel counts by`, async () => {
    const wrapped = [...STALE_PROC, mountThen, 'sh', CLI, name!, ...args];
    const { code, stderr } = await execute(wrapped);
    assert.equal(code, 3, stderr);
    assert.match(stderr, /Pid namespace: not known: .*; mount -t proc proc \/proc/);
    assert.deepEqual(readdirSync(folder), []);
  });
}
