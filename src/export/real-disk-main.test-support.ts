/**
 * Scenarios on a real disk of 256 KiB, to be run in a mount namespace of its
 * own, as root. Arguments: folder to mount it on, scenario. Ends with 0 when it went as it should.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadAddon } from '../capture/addon.ts';
import {
  Backend,
  balanced,
  DELIVERED,
  DOWN,
  openExporter,
  profileOf,
  SETTINGS,
} from './backend.test-support.ts';
import type { Exporter } from './exporter.ts';
import { SimulatedClock } from './simulated-clock.test-support.ts';

const DISK_BYTES = 256 * 1024;
const REQUEST_BYTES = 10_000;
const FOLDER_RETRY_MS = 10_000;
const NOBODY = 65534;

const [disk = '', scenario = ''] = process.argv.slice(2);
const filler = join(disk, 'filler');
const mount = (options: string): void =>
  void execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', disk]);
const remount = (options: string): void =>
  void execFileSync('mount', ['-o', `remount,${options}`, disk]);

const clock = new SimulatedClock();
const backend = new Backend();
const warnings: string[] = [];

function open(): Exporter {
  const queue = {
    ...SETTINGS.queue,
    directory: join(disk, 'queues'),
    maxBytes: 1 << 20,
    memoryBytes: 20 * REQUEST_BYTES,
  };
  const warn = (cause: string, message: string) => void warnings.push(`${cause}: ${message}`);
  return openExporter(backend, { clock, warn }, { queue });
}

const request = (number: number): string => String(number).padEnd(REQUEST_BYTES, '.');
const requests = (first: number, count: number) =>
  profileOf(...Array.from({ length: count }, (_, index) => request(first + index)));
const numbers = (): number[] => backend.received.map((one) => Number.parseInt(one, 10));

/** Leaves no block for anybody else. */
function fill(): void {
  const { bavail, bsize } = statfsSync(disk);
  writeFileSync(filler, Buffer.alloc(bavail * bsize));
  assert.equal(statfsSync(disk).bavail, 0);
}

async function up(): Promise<void> {
  backend.answer = () => DELIVERED;
  await clock.advance(60_000);
}

const scenarios: Record<string, () => Promise<void>> = {
  async 'full of what waits'() {
    const exporter = open();
    exporter.accept(requests(0, 30));
    const { dropped, queueSize } = balanced(exporter.stats());
    assert.deepEqual({ dropped, queueSize }, { dropped: {}, queueSize: 30 });
    assert.match(warnings.join('\n'), /queue_disk_full: .*ENOSPC/);
    exporter.accept(requests(30, 70));
    const after = balanced(exporter.stats());
    assert.deepEqual(Object.keys(after.dropped), ['disk_full']);
    assert.equal(after.queueSize, 100 - after.dropped.disk_full!);
    assert.ok(after.queueSize >= 35, `${after.queueSize} wait`);
    await up();
    // The oldest gave way: what is there are the newest, in order.
    const arrived = numbers();
    const { sent, queueSize: left, dropped: lost } = balanced(exporter.stats());
    assert.deepEqual({ sent, left }, { sent: arrived.length, left: 0 });
    assert.equal(arrived.length + lost.disk_full!, 100);
    assert.deepEqual(
      arrived,
      arrived.toSorted((a, b) => a - b),
    );
    assert.equal(arrived.at(-1), 99);
    await exporter.close(0);
  },

  async 'full of what others wrote'() {
    const exporter = open();
    exporter.accept(requests(0, 2));
    fill();
    exporter.accept(requests(2, 10));
    assert.deepEqual(balanced(exporter.stats()).dropped, {});
    assert.match(warnings.join('\n'), /queue_disk_full/);
    rmSync(filler);
    exporter.accept(requests(12, 1));
    await exporter.close(0);
    assert.deepEqual(balanced(exporter.stats()).dropped, {}, 'all of it was on disk then');
    const next = open();
    assert.equal(next.stats().recovered, 13);
    await up();
    assert.deepEqual(
      numbers(),
      Array.from({ length: 13 }, (_, index) => index),
    );
    balanced(next.stats());
    await next.close(0);
  },

  async 'full at the start'() {
    fill();
    const exporter = open();
    exporter.accept(requests(0, 3));
    assert.deepEqual(balanced(exporter.stats()).dropped, {});
    rmSync(filler);
    await clock.advance(FOLDER_RETRY_MS);
    exporter.accept(requests(3, 1));
    await exporter.close(0);
    const next = open();
    assert.equal(next.stats().recovered, 4);
    await up();
    assert.deepEqual(numbers(), [0, 1, 2, 3]);
    await next.close(0);
  },

  async 'full at the end'() {
    const exporter = open();
    exporter.accept(requests(0, 1));
    fill();
    exporter.accept(requests(1, 3));
    await exporter.close(0);
    const { dropped, queueSize } = balanced(exporter.stats());
    assert.deepEqual({ dropped, queueSize }, { dropped: { disk_full: 3 }, queueSize: 1 });
    rmSync(filler);
    const next = open();
    await up();
    assert.deepEqual(numbers(), [0]);
    await next.close(0);
  },

  async 'read-only'() {
    remount('ro');
    const exporter = open();
    assert.match(warnings.join('\n'), /queue_in_memory: .*EROFS/);
    exporter.accept(requests(0, 3));
    await clock.advance(5 * FOLDER_RETRY_MS);
    assert.equal(exporter.stats().queueOnDisk, false);
    remount('rw');
    await clock.advance(FOLDER_RETRY_MS);
    assert.equal(balanced(exporter.stats()).queueOnDisk, true);
    await exporter.close(0);
    const next = open();
    assert.equal(next.stats().recovered, 3);
    await up();
    assert.deepEqual(numbers(), [0, 1, 2]);
    assert.deepEqual(balanced(next.stats()).dropped, {});
    await next.close(0);
  },

  async 'read-only until the end'() {
    const before = open();
    before.accept(requests(0, 2));
    await before.close(0);
    remount('ro');
    const exporter = open();
    exporter.accept(requests(2, 30));
    await exporter.close(0);
    const { dropped, queueSize } = balanced(exporter.stats());
    assert.equal(queueSize, 0);
    assert.equal(dropped.queue_full! + dropped.shutdown!, 30, JSON.stringify(dropped));
    remount('rw');
    const next = open();
    await up();
    assert.deepEqual(numbers(), [0, 1]);
    await next.close(0);
  },

  async 'not writable for its user'() {
    loadAddon();
    const queues = join(disk, 'queues');
    mkdirSync(queues);
    chownSync(queues, NOBODY, NOBODY);
    process.setuid!(NOBODY);
    chmodSync(queues, 0o500);
    const exporter = open();
    assert.match(warnings.join('\n'), /queue_in_memory: .*EACCES/);
    exporter.accept(requests(0, 2));
    chmodSync(queues, 0o700);
    await clock.advance(FOLDER_RETRY_MS);
    assert.equal(exporter.stats().queueOnDisk, true);
    await up();
    assert.deepEqual(numbers(), [0, 1]);
    assert.deepEqual(balanced(exporter.stats()).dropped, {});
    await exporter.close(0);
  },
};

backend.answer = () => DOWN;
// Before it is made private the namespace may pass mounts on to the one outside.
execFileSync('mount', ['--make-rprivate', '/']);
mount(`size=${DISK_BYTES},mode=755`);
await scenarios[scenario]!();
