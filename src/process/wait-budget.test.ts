import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NativeBoundedCalls } from '../capture/addon.ts';
import { DeadFileSystem } from '../elf/file-access.ts';
import { type HostPid, hostPid } from '../units/units.ts';
import { BoundedFiles } from './bounded-files.ts';
import { WAIT_LIMITS } from './wait-budget.ts';

/** A file system that takes so long for each call, by path; one that hangs does so until it is let go. */
class Slow implements NativeBoundedCalls {
  limit = 0;
  now = 0;
  readonly #take: (path: string) => number;
  readonly #hanging = new Set<number>();
  #next = 1;

  constructor(take: (path: string) => number) {
    this.#take = take;
  }

  readonly clock = (): number => this.now;

  letGo(): void {
    this.#hanging.clear();
  }

  #call(path: string): void {
    if (this.limit === 0) throw Object.assign(new Error('busy'), { code: 'EBUSY' });
    const ms = this.#take(path);
    this.now += Math.min(ms, this.limit);
    if (ms <= this.limit) return;
    this.#hanging.add(this.#next);
    throw Object.assign(new Error('late'), { code: 'ETIMEDOUT', call: this.#next++ });
  }

  open(path: string): number {
    this.#call(path);
    return 1000;
  }
  state(): BigUint64Array {
    return new BigUint64Array(8);
  }
  read(_fd: number, into: Uint8Array): number {
    this.#call('read');
    return into.length;
  }
  readMemory(pid: number): number {
    this.#call(`process ${pid}`);
    return 0;
  }
  close(): void {}
  cpuTime(): number {
    return 0;
  }
  isOver(call: number): boolean {
    return !this.#hanging.has(call);
  }
}

const NEVER = Number.POSITIVE_INFINITY;
const HOSTILE = hostPid(100);
const HONEST = hostPid(7);
const userOf = (pid: HostPid): string => (pid >= HOSTILE ? 'hostile' : 'honest');

function refusal(call: () => unknown): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    assert.ok(error instanceof DeadFileSystem, String(error));
    return error.reason;
  }
}

test('a hundred devices and processes that hang one after the other cost what their owner has', () => {
  const slow = new Slow(() => NEVER);
  const files = new BoundedFiles(slow, userOf, slow.clock);
  const reasons = new Set<string | undefined>();
  for (let n = 0; n < 100; n++) {
    const pid = hostPid(HOSTILE + n);
    reasons.add(refusal(() => files.open(`/dead/${n}`, `device ${n}`, pid)));
    reasons.add(refusal(() => files.readMemory(pid, 4096, new Uint8Array(8))));
    // Ended calls make room for the next.
    if (n % 2 === 0) slow.letGo();
  }
  assert.deepEqual(reasons, new Set(['file_system_dead', 'file_wait_refused']));
  assert.ok(slow.now <= 2 * WAIT_LIMITS.ownerMs, `${slow.now} ms`);
});

test('calls that hang keep few threads each', () => {
  const slow = new Slow((path) => (path.startsWith('/dead') ? NEVER : 1));
  const files = new BoundedFiles(slow, userOf, slow.clock);
  const open = (n: number) => files.open(`/dead/${n}`, `device ${n}`, HOSTILE);
  let dead = 0;
  for (let n = 0; n < 100; n++) {
    if (refusal(() => open(n)) === 'file_system_dead') dead++;
    slow.now += 3_600_000;
  }
  assert.equal(dead, 8);
  slow.letGo();
  assert.equal(
    refusal(() => open(200)),
    'file_system_dead',
  );
});

test('many owners together cost what all have, and the thread is free for most of the time', () => {
  const slow = new Slow(() => NEVER);
  const files = new BoundedFiles(slow, (pid) => `user ${pid}`, slow.clock);
  for (let n = 0; n < 100; n++) refusal(() => files.open(`/${n}`, `device ${n}`, hostPid(n + 1)));
  const most = (2 * WAIT_LIMITS.allMs) / (1 - WAIT_LIMITS.allShare);
  assert.ok(slow.now <= most, `${slow.now} ms`);
  const [from, waitedFrom] = [slow.now, slow.now];
  let idle = 0;
  for (let n = 100; n < 10_100; n++) {
    refusal(() => files.open(`/${n}`, `device ${n}`, hostPid(n + 1)));
    if (n % 4 === 0) slow.letGo();
    slow.now += 10;
    idle += 10;
  }
  const passed = slow.now - from;
  assert.ok(slow.now - waitedFrom - idle <= passed * WAIT_LIMITS.allShare + 2 * WAIT_LIMITS.allMs);
});

test('of what is root’s too, the rest is read beside what hangs', () => {
  const slow = new Slow((path) => (path.startsWith('/dead') ? NEVER : 12));
  const files = new BoundedFiles(slow, () => 'user 0', slow.clock);
  for (let n = 0; n < 10; n++) {
    for (let again = 0; again < 10; again++)
      refusal(() => files.open('/dead', 'device 2', HOSTILE));
    assert.equal(
      refusal(() => files.close(files.open('/disk/file', 'device 1:1', HONEST))),
      undefined,
    );
  }
});

test('beside them a slow disk is read, and what is in memory too', () => {
  const slow = new Slow((path) => (path.startsWith('/dead') ? NEVER : 12));
  const files = new BoundedFiles(slow, userOf, slow.clock);
  for (let n = 0; n < 100; n++) {
    assert.notEqual(
      refusal(() => files.open(`/dead/${n}`, `device ${n}`, HOSTILE)),
      undefined,
    );
    assert.equal(
      refusal(() => files.close(files.open('/disk/file', 'device 1:1', HONEST))),
      undefined,
    );
  }
});

test('a disk that takes half a second for the first of it is waited for', () => {
  let first = true;
  const slow = new Slow(() => {
    const ms = first ? 500 : 12;
    first = false;
    return ms;
  });
  const files = new BoundedFiles(slow, userOf, slow.clock);
  for (let n = 0; n < 100; n++) {
    const fd = files.open(`/disk/${n}`, 'device 1:1', HONEST);
    assert.equal(files.read(fd, new Uint8Array(8), 0), 8);
    files.close(fd);
  }
});

test('after a while whoever has cost too much has something again', () => {
  const slow = new Slow((path) => (path.startsWith('/dead') ? NEVER : 1));
  const files = new BoundedFiles(slow, userOf, slow.clock);
  for (let n = 0; n < 100; n++) {
    refusal(() => files.open(`/dead/${n}`, `device ${n}`, HOSTILE));
    slow.letGo();
  }
  const open = () => files.open('/good', 'device 1:1', HOSTILE);
  assert.equal(refusal(open), 'file_wait_refused');
  slow.now += (2 * WAIT_LIMITS.ownerMs) / WAIT_LIMITS.ownerShare;
  assert.equal(refusal(open), undefined);
});
