import assert from 'node:assert/strict';
import { test } from 'node:test';
import { directAccess } from '../elf/file-access.ts';
import {
  type BootTime,
  bootTime,
  fileOffset,
  hostPid,
  inodeNumber,
  monotonicTime,
  type NamespacePid,
  namespacePid,
  processAddress,
} from '../units/units.ts';
import type { ProcessHost } from './host.ts';
import type { RawMapping } from './maps.ts';
import type { Identity, Process } from './process.ts';
import { ProcessTracker } from './tracker.ts';

const SECOND = 1e9;

/** A machine of made-up processes: maps text and start time by pid. */
class FakeHost implements ProcessHost {
  readonly running = new Map<number, { text: string | undefined; started: number }>();
  reads = 0;

  startTime(pid: number): BootTime | undefined {
    const started = this.running.get(pid)?.started;
    return started === undefined ? undefined : bootTime(BigInt(started - (started % 10_000_000)));
  }
  readMaps(pid: number): string {
    this.reads++;
    const text = this.running.get(pid)?.text;
    if (text === undefined) throw new Error('EACCES');
    return text;
  }
  readonly files = directAccess;
  stateOf(): undefined {
    return undefined;
  }
  openOnHost(): number {
    throw new Error('not asked for');
  }
  openMapped(): number {
    throw new Error('not asked for');
  }
  openInRoot(): number {
    throw new Error('not asked for');
  }
  openRoot(): undefined {
    return undefined;
  }
  openBelow(): number {
    throw new Error('not asked for');
  }
  readVdso(): Uint8Array {
    return this.readMemory();
  }

  readMemory(): Uint8Array {
    throw new Error('not asked for');
  }
  innermostPid(pid: number): NamespacePid {
    return namespacePid(pid);
  }
  userIds(): undefined {
    return undefined;
  }
}

const identity = (pid: number, execId = 1, startNs = 5 * SECOND + 123): Identity => ({
  pid: hostPid(pid),
  execId,
  startNs: bootTime(BigInt(startNs)),
});

const raw = (path: string, start: number, inode = 7n): RawMapping => ({
  start: processAddress(start),
  end: processAddress(start + 0x1000),
  offset: fileOffset(0),
  device: 1,
  inode: inodeNumber(inode),
  generation: 1,
  path,
});

const mapsLine = (path: string, start: number) =>
  `${start.toString(16)}-${(start + 0x1000).toString(16)} r-xp 00000000 00:01 7 ${path}\n`;

const paths = (process: Process | undefined): string[] =>
  process?.mappings.map(({ raw }) => raw.path) ?? [];

function machine() {
  const host = new FakeHost();
  const tracker = new ProcessTracker(host);
  const run = (pid: number, path: string, started = 5 * SECOND + 123) =>
    host.running.set(pid, { text: mapsLine(path, 0x400000), started });
  return { host, tracker, run };
}

test('a process that was there before us is read once', () => {
  const { host, tracker, run } = machine();
  run(10, '/bin/a');
  assert.deepEqual(paths(tracker.lookup(identity(10))), ['/bin/a']);
  assert.equal(tracker.lookup(identity(10)), tracker.lookup(identity(10)));
  assert.equal(host.reads, 1);
});

test('exec: the new image is collected beside the old one, which serves until then', () => {
  const { host, tracker, run } = machine();
  run(10, '/bin/sh');
  const shell = tracker.lookup(identity(10));
  tracker.beginExec(hostPid(10));
  tracker.map(hostPid(10), raw('/bin/ls', 0x400000));
  tracker.map(hostPid(10), raw('/lib/ld.so', 0x7f0000000000, 8n));
  assert.deepEqual(paths(tracker.lookup(identity(10))), ['/bin/sh']);
  const list = tracker.exec(identity(10, 2));
  assert.deepEqual(paths(list), ['/bin/ls', '/lib/ld.so']);
  tracker.map(hostPid(10), raw('/lib/libc.so', 0x7f1000000000, 9n));
  assert.deepEqual(paths(tracker.lookup(identity(10, 2))), [
    '/bin/ls',
    '/lib/ld.so',
    '/lib/libc.so',
  ]);
  // The old one can still be named in this interval.
  assert.equal(tracker.find(identity(10, 1)), shell);
  assert.equal(host.reads, 1);
});

test('exec whose beginning was not seen is read from /proc', () => {
  const { tracker, run } = machine();
  run(10, '/bin/new');
  tracker.exec(identity(10, 2));
  assert.deepEqual(paths(tracker.lookup(identity(10, 2))), ['/bin/new']);
});

test('a sample between an image and its exec record: both sources agree in the end', () => {
  const { tracker, run } = machine();
  tracker.beginExec(hostPid(10));
  tracker.map(hostPid(10), raw('/bin/ls', 0x400000));
  run(10, '/bin/ls');
  const process = tracker.lookup(identity(10, 2));
  tracker.map(hostPid(10), raw('/lib/libc.so', 0x7f1000000000, 9n));
  assert.equal(tracker.exec(identity(10, 2)), process);
  assert.deepEqual(paths(process), ['/bin/ls', '/lib/libc.so']);
});

test('exec records that never come: later mappings reach the process all the same', () => {
  const { tracker, run } = machine();
  tracker.beginExec(hostPid(10));
  tracker.map(hostPid(10), raw('/bin/ls', 0x400000));
  run(10, '/bin/ls');
  const process = tracker.lookup(identity(10, 2));
  tracker.map(hostPid(10), raw('/lib/plugin.so', 0x7f1000000000, 9n));
  assert.deepEqual(paths(process), ['/bin/ls', '/lib/plugin.so']);
});

test('fork: the child has the parent’s mappings and layout, and then goes its own way', () => {
  const { tracker, run, host } = machine();
  run(10, '/bin/parent');
  const parent = tracker.lookup(identity(10));
  parent.layout = 77;
  parent.stale = false;
  tracker.fork(identity(11, 1, 6 * SECOND), identity(10));
  const child = tracker.find(identity(11, 1, 6 * SECOND))!;
  assert.equal(child.mappings, parent.mappings);
  assert.deepEqual([child.layout, child.stale, child.complete], [77, false, true]);
  tracker.map(hostPid(11), raw('/lib/x.so', 0x7f0000000000, 9n));
  assert.deepEqual([paths(parent).length, paths(child).length], [1, 2]);
  assert.deepEqual([parent.stale, child.stale], [false, true]);
  assert.equal(host.reads, 1);
});

test('fork told after a sample of the child: what is known of it stays', () => {
  const { tracker, run } = machine();
  run(10, '/bin/parent');
  run(11, '/bin/parent', 6 * SECOND);
  tracker.lookup(identity(10));
  const child = tracker.lookup(identity(11, 1, 6 * SECOND));
  tracker.fork(identity(11, 1, 6 * SECOND), identity(10));
  assert.equal(tracker.find(identity(11, 1, 6 * SECOND)), child);
  assert.equal([...tracker.all()].length, 2);
});

test('fork of an unknown parent, child gone at once: it had the mappings of its parent', () => {
  const { tracker, run } = machine();
  run(10, '/bin/parent');
  tracker.fork(identity(11, 1, 6 * SECOND), identity(10));
  tracker.exit(identity(11, 1, 6 * SECOND), monotonicTime(7 * SECOND));
  assert.deepEqual(paths(tracker.lookup(identity(11, 1, 6 * SECOND))), ['/bin/parent']);
});

test('fork of an unknown parent: the child is read when it is sampled', () => {
  const { tracker, run } = machine();
  tracker.fork(identity(11), identity(10));
  run(11, '/bin/child');
  assert.deepEqual(paths(tracker.lookup(identity(11))), ['/bin/child']);
});

test('a pid in use again: the samples of each go to their own process', () => {
  const { tracker, run } = machine();
  run(10, '/bin/old');
  const old = tracker.lookup(identity(10));
  tracker.exit(identity(10), monotonicTime(8 * SECOND));
  run(10, '/bin/new', 9 * SECOND);
  const fresh = tracker.lookup(identity(10, 1, 9 * SECOND));
  assert.notEqual(fresh, old);
  assert.deepEqual([paths(old), paths(fresh)], [['/bin/old'], ['/bin/new']]);
  assert.equal(tracker.lookup(identity(10)), old);
});

test('exit: late samples find it in this interval and the next, then it is forgotten', () => {
  const { tracker, run } = machine();
  run(10, '/bin/a');
  const process = tracker.lookup(identity(10));
  assert.equal(tracker.exit(identity(10), monotonicTime(100)), process);
  assert.equal(process.ended, 100);
  assert.deepEqual(tracker.forget(monotonicTime(200)), []);
  assert.equal(tracker.lookup(identity(10)), process);
  assert.deepEqual(tracker.forget(monotonicTime(300)), [process]);
  assert.equal(tracker.find(identity(10)), undefined);
  assert.equal(tracker.size, 0);
});

test('a sample of a forgotten process does not take the pid from its successor', () => {
  const { tracker, run } = machine();
  run(10, '/bin/new', 9 * SECOND);
  const fresh = tracker.lookup(identity(10, 1, 9 * SECOND));
  const late = tracker.lookup(identity(10));
  assert.equal(late.complete, false);
  assert.notEqual(late.ended, undefined);
  assert.equal(tracker.lookup(identity(10, 1, 9 * SECOND)), fresh);
  assert.equal(fresh.ended, undefined);
  // An earlier program of the same process, too.
  const before = tracker.lookup(identity(10, 0, 9 * SECOND));
  assert.notEqual(before.ended, undefined);
  assert.equal(tracker.find(identity(10, 1, 9 * SECOND)), fresh);
});

test('10,000 short lives leave nothing behind', () => {
  const { tracker, run } = machine();
  run(1, '/bin/sh');
  tracker.lookup(identity(1));
  for (let i = 0; i < 10_000; i++) {
    const pid = hostPid(100 + (i % 500));
    const start = 10 * SECOND + i;
    tracker.fork(identity(pid, 1, start), identity(1));
    tracker.beginExec(pid);
    tracker.map(pid, raw(`/tmp/program-${i}`, 0x400000, BigInt(i + 1)));
    // Not all of it is told: some exits and execs are lost, some samples come late.
    if (i % 3) tracker.exec(identity(pid, 2, start));
    if (i % 5) tracker.exit(identity(pid, i % 3 ? 2 : 1, start), monotonicTime(start));
    tracker.lookup(identity(pid, 3, start - 5));
    if (i % 100 === 0) tracker.forget(monotonicTime(start));
  }
  for (let i = 0; i < 3; i++) tracker.forget(monotonicTime(20 * SECOND + i));
  // Of each pid at most the one whose end was never told.
  assert.ok([...tracker.all()].length <= 501, `${[...tracker.all()].length} left`);
});

test('images of processes that are out of scope do not pile up', () => {
  const { tracker } = machine();
  for (let pid = 1; pid <= 5000; pid++) {
    tracker.beginExec(hostPid(pid));
    for (let i = 0; i < 100; i++)
      tracker.map(hostPid(pid), raw('/lib/x.so', i * 0x2000, BigInt(i + 1)));
  }
  // The last one has grown beyond an image: it was given up, and is read instead.
  const process = tracker.exec(identity(5000, 2));
  assert.equal(process.complete, false);
  // The first one was the oldest.
  assert.equal(tracker.exec(identity(1, 2)).complete, false);
});

test('/proc that cannot be read: counted, asked again, and no mappings made up', () => {
  const { host, tracker } = machine();
  host.running.set(10, { text: undefined, started: 5 * SECOND + 123 });
  assert.equal(tracker.lookup(identity(10)).complete, false);
  host.running.set(10, { text: mapsLine('/bin/a', 0x400000), started: 5 * SECOND + 123 });
  assert.deepEqual(paths(tracker.lookup(identity(10))), ['/bin/a']);
  tracker.lookup(identity(11));
  assert.deepEqual(Object.fromEntries(tracker.problems), { maps_unreadable: 1, process_gone: 1 });
});

test('another process under the pid by now: its mappings are not taken', () => {
  const { host, tracker, run } = machine();
  run(10, '/bin/other', 7 * SECOND);
  assert.equal(tracker.lookup(identity(10)).complete, false);
  assert.equal(host.reads, 0);
  // The start time of /proc is rounded down to the tick: within it is the same.
  run(12, '/bin/same', 5 * SECOND + 9_999_999);
  assert.equal(tracker.lookup(identity(12, 1, 5 * SECOND + 1)).complete, true);
});

test('lost mapping events: read again at the next sample; without an answer the old list serves', () => {
  const { host, tracker, run } = machine();
  run(10, '/bin/a');
  tracker.lookup(identity(10));
  tracker.distrust();
  run(10, '/bin/b');
  assert.deepEqual(paths(tracker.lookup(identity(10))), ['/bin/b']);
  assert.equal(host.reads, 2);
  tracker.lookup(identity(10));
  assert.equal(host.reads, 2);
  tracker.distrust();
  host.running.delete(10);
  const process = tracker.lookup(identity(10));
  assert.deepEqual([paths(process), process.complete], [['/bin/b'], true]);
  // An image that was being collected may lack a part.
  tracker.beginExec(hostPid(11));
  tracker.map(hostPid(11), raw('/bin/c', 0x400000));
  tracker.distrust();
  assert.equal(tracker.exec(identity(11)).complete, false);
});

test('refresh: not more often than once a second, not for the dead', () => {
  const { host, tracker, run } = machine();
  run(10, '/bin/a');
  const process = tracker.lookup(identity(10));
  assert.equal(tracker.refresh(process, monotonicTime(2 * SECOND)), true);
  assert.equal(tracker.refresh(process, monotonicTime(2.5 * SECOND)), false);
  assert.equal(tracker.refresh(process, monotonicTime(3 * SECOND)), true);
  assert.equal(host.reads, 3);
  tracker.exit(identity(10), monotonicTime(4 * SECOND));
  assert.equal(tracker.refresh(process, monotonicTime(9 * SECOND)), false);
});

test('refresh: so much less often as there are more mappings, and no sooner for a child', () => {
  const { host, tracker, run } = machine();
  run(10, '/bin/a');
  const lines = Array.from({ length: 4_096 }, (_, i) => mapsLine('/bin/a', 0x10000 + i * 0x2000));
  host.running.get(10)!.text = lines.join('');
  run(11, '/bin/a');
  const process = tracker.lookup(identity(10));
  const at = (seconds: number) => monotonicTime(seconds * SECOND);
  assert.equal(tracker.refresh(process, at(10)), true);
  assert.equal(tracker.refresh(process, at(13)), false);
  const child = tracker.fork(identity(11), identity(10));
  assert.equal(tracker.refresh(child, at(13)), false);
  assert.equal(tracker.refresh(process, at(14)), true);
});

test('a program whose mappings are not collected does not get those of one before it', () => {
  const { tracker } = machine();
  const pid = hostPid(10);
  tracker.beginExec(pid);
  tracker.map(pid, raw('/bin/never-told', 0x400000));
  tracker.skipExec(pid);
  tracker.map(pid, raw('/bin/b', 0x500000));
  const process = tracker.exec(identity(10));
  assert.deepEqual([process.complete, process.mappings], [false, []]);
});

test('what is mapped: files apart, memory without a file as such', () => {
  const { tracker, run } = machine();
  run(10, '/bin/a');
  const process = tracker.lookup(identity(10));
  const names = ['//anon', '', '/dev/zero (deleted)', '/SYSV0052e2c1 (deleted)', '/anon_hugepage'];
  for (const [i, name] of names.entries()) {
    tracker.map(hostPid(10), raw(name, 0x10000000 + i * 0x10000));
  }
  tracker.map(hostPid(10), raw('[heap]', 0x20000000, 0n));
  tracker.map(hostPid(10), raw('/lib/x.so', 0x30000000, 9n));
  tracker.map(hostPid(10), raw('/lib/x.so', 0x40000000, 9n));
  tracker.map(hostPid(10), { ...raw('/lib/x.so', 0x50000000, 9n), generation: 2 });
  tracker.map(hostPid(10), raw('[vdso]', 0x60000000, 0n));
  const things = process.mappings.map(({ what }) => (what === 'anonymous' ? what : what.path));
  assert.deepEqual(things, [
    '/bin/a',
    ...names.map(() => 'anonymous'),
    'anonymous',
    '/lib/x.so',
    '/lib/x.so',
    '/lib/x.so',
    '[vdso]',
  ]);
  const [first, second, reused] = process.mappings.slice(-4);
  assert.equal(first!.what, second!.what);
  // An inode number in use again is another file.
  assert.notEqual(second!.what, reused!.what);
  assert.equal(tracker.map(hostPid(99), raw('/lib/x.so', 0x1000)), undefined);
});
