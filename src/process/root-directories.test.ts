import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { loadAddon } from '../capture/addon.ts';
import { bootTime, hostPid } from '../units/units.ts';
import { LiveHost } from './host.ts';
import type { Process } from './process.ts';
import { RootDirectories } from './root-directories.ts';
import { PATIENT_WAIT_LIMITS } from './wait-budget.ts';

const host = new LiveHost(loadAddon(), undefined, PATIENT_WAIT_LIMITS);
let folder = '';
let program = '';

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'flametap-roots-'));
  program = join(folder, 'sleeper');
  const source = '#include <unistd.h>\nint main(void) { write(1, "", 1); for (;;) pause(); }';
  writeFileSync(`${program}.c`, source);
  execFileSync('cc', ['-static', '-o', program, `${program}.c`]);
});
after(() => rmSync(folder, { recursive: true }));

/** A root with a file that has its name in it. */
function rootOf(name: string): string {
  const root = join(folder, name);
  mkdirSync(root);
  execFileSync('cp', [program, root]);
  writeFileSync(join(root, 'name'), name);
  return root;
}

async function started(root: string): Promise<{ process: Process; child: ChildProcess }> {
  const child = spawn('chroot', [root, root === '/' ? program : '/sleeper']);
  await once(child.stdout!, 'data');
  return { process: processOf(child.pid!), child };
}

const processOf = (pid: number): Process =>
  ({
    identity: { pid: hostPid(pid), startNs: bootTime(1n), execId: 1 },
    ended: undefined,
  }) as Process;

async function end({ child }: { child: ChildProcess }): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'close');
}

const descriptors = () => readdirSync('/proc/self/fd').length;

test('a root stays in reach when its process has ended, and is closed when nobody needs it', async () => {
  const before = descriptors();
  const roots = new RootDirectories(host);
  const root = rootOf('one');
  const first = await started(root);
  const taken = roots.take(first.process, [])!;
  assert.equal(taken.path, root);
  await end(first);
  const [reopened] = roots.reopened([taken]);
  for (const fd of [taken.fd, reopened!]) {
    const file = host.openBelow(fd, '/name');
    assert.equal(readFileSync(file, 'latin1'), 'one');
    host.files.close(file);
  }
  roots.giveBack([reopened!]);
  roots.release(taken);
  assert.equal(roots.size, 0);
  assert.equal(descriptors(), before);
});

test('processes of one root share it, others have another, our own is none', async () => {
  const before = descriptors();
  const roots = new RootDirectories(host);
  const root = rootOf('shared');
  const all = [await started(root), await started(root), await started(rootOf('other'))];
  const [a, b, c] = all.map(({ process }) => process);
  const shared = roots.take(a!, [])!;
  assert.equal(roots.take(b!, [shared]), undefined, 'known already');
  assert.equal(roots.take(b!, []), shared);
  const other = roots.take(c!, [shared])!;
  assert.notEqual(other.fd, shared.fd);
  const usual = await started('/');
  assert.equal(roots.take(usual.process, []), undefined);
  assert.equal(roots.take(processOf(process.pid), []), undefined);
  roots.release(shared);
  assert.equal(roots.size, 2);
  for (const each of [shared, other]) roots.release(each);
  assert.equal(roots.size, 0);
  for (const each of [...all, usual]) await end(each);
  assert.equal(descriptors(), before);
});

test('a process that has ended is not looked at: its pid may be another’s', async () => {
  const roots = new RootDirectories(host);
  const gone = await started(rootOf('gone'));
  gone.process.ended = 1;
  assert.equal(roots.take(gone.process, []), undefined);
  assert.equal(roots.size, 0);
  await end(gone);
});

// Whoever had 256 mount namespaces left no container's debug files in reach.
test('roots of one user leave room for those of another', async () => {
  const owners = new Map<number, number>();
  const userIds = (pid: number) => [owners.get(pid)!];
  const look = { openRoot: host.openRoot.bind(host), files: host.files, userIds };
  const roots = new RootDirectories(look, 4);
  const all = await Promise.all(['a', 'b', 'c', 'd'].map((name) => started(rootOf(name))));
  for (const [i, { child }] of all.entries()) owners.set(child.pid!, i < 3 ? 65534 : 1000);
  const taken = all.map(({ process }) => roots.take(process, []));
  assert.deepEqual(
    taken.map((root) => root !== undefined),
    [true, true, false, true],
  );
  for (const root of taken) if (root) roots.release(root);
  await Promise.all(all.map(end));
});
