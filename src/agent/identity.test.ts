import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decode } from '../capture/decode.ts';
import { Header, ProcessEvent, ProcessValue, RecordType, Sample } from '../capture/record.ts';
import { drained } from '../capture/testing.ts';
import { sameIdentity, startsAt, TICK_NS } from '../process/process.ts';
import { Aggregator } from '../profile/aggregator.ts';
import { bootTime } from '../units/units.ts';
import { KernelProcesses, notGo } from '../unwind/kernel-processes.ts';
import type { MapWriter } from '../unwind/map-writer.ts';
import { readBatch } from './batch.ts';

const DAY_NS = 24n * 3600n * 1_000_000_000n;

/** Every width of number, with the neighbours that a double takes for the same. */
const word = fc
  .tuple(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.nat(63), fc.integer({ min: -3, max: 3 }))
  .map(([bits, shift, step]) => BigInt.asUintN(64, (bits >> BigInt(shift)) + BigInt(step)));

const instance = fc.record({
  pid: fc.integer({ min: 1, max: 2 ** 22 }),
  execId: fc.integer({ min: 0, max: 0xffff_ffff }),
  start: word,
});
type Instance = typeof instance extends fc.Arbitrary<infer Value> ? Value : never;

/** A record with nothing in it but whose it is. */
function record(type: number, size: number, { pid, execId, start }: Instance): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(Header.length, size, true);
  view.setUint16(Header.type, type, true);
  view.setUint32(Header.pid, pid, true);
  view.setUint32(Header.execId, execId, true);
  view.setBigUint64(Header.start, start, true);
  return bytes;
}

/** As the resolver reads it. */
function identityOf(made: Instance) {
  const bytes = record(RecordType.Exec, ProcessEvent.size, made);
  const { events } = readBatch(new DataView(bytes.buffer), new Uint8Array());
  const [event] = events;
  assert.ok(event?.kind === 'exec');
  return event.identity;
}

/** What the kernel side would find of it. */
function kernelEntry(made: Instance): Uint8Array {
  let entry: Uint8Array | undefined;
  const writer: MapWriter = {
    write() {},
    remove() {},
    entries: () => new Uint8Array(),
    put(_map, key, value) {
      assert.equal(key, made.pid);
      entry = value.slice();
    },
  };
  const maps = { processes: 0, mappings: 1, files: 2, tables: 3, nodeLayouts: 4 };
  const kernel = new KernelProcesses(
    { ...maps, mappingCount: 64, fileCount: 8, tableCount: 64 },
    writer,
  );
  assert.ok(kernel.publish(identityOf(made), 1, [], notGo));
  return entry!;
}

/** `is_of` of bpf/sampler.bpf.c: both words are compared bit by bit. */
function isOf(entry: Uint8Array, { execId, start }: Instance): boolean {
  const view = new DataView(entry.buffer, entry.byteOffset);
  return (
    view.getUint32(ProcessValue.execId, true) === execId &&
    view.getBigUint64(ProcessValue.start, true) === start
  );
}

test('the kernel side recognises what user space writes back, whenever it started', () => {
  fc.assert(
    fc.property(instance, (made) => {
      const entry = kernelEntry(made);
      assert.ok(isOf(entry, made));
      const written = record(RecordType.Exec, ProcessEvent.size, made).subarray(Header.pid);
      assert.deepEqual(entry.subarray(0, 16), written.subarray(0, 16));
    }),
    { numRuns: 2000 },
  );
});

test('after 105 and 500 days of uptime as on the first', () => {
  fc.assert(
    fc.property(fc.constantFrom(0n, 105n, 500n), fc.bigInt(0n, DAY_NS), (days, more) => {
      const made = { pid: 7, execId: 3, start: days * DAY_NS + more };
      assert.ok(isOf(kernelEntry(made), made));
    }),
    { numRuns: 2000 },
  );
});

test('identities are the same only when every bit is', () => {
  fc.assert(
    fc.property(instance, word, (made, other) => {
      const [a, b] = [identityOf(made), identityOf({ ...made, start: other })];
      assert.equal(sameIdentity(a, b), made.start === other);
      assert.equal(a.startNs < b.startNs, made.start < other);
    }),
    { numRuns: 2000 },
  );
});

test('instances of samples are told apart by every bit of their start', () => {
  fc.assert(
    fc.property(fc.uniqueArray(word, { minLength: 1, maxLength: 8 }), (starts) => {
      const made = starts.map((start) => ({ pid: 7, execId: 1, start }));
      const { buffer, length } = drained(
        ...made.map((each) => record(RecordType.Sample, Sample.size, each)),
      );
      const aggregator = new Aggregator({ maxBytes: 1 << 20, maxGoroutines: 8, maxContexts: 8 });
      assert.equal(decode(buffer, length, aggregator, { threads: false }).samples, starts.length);
      const { instances } = aggregator.drain();
      assert.deepEqual(
        instances.map(({ startNs }) => startNs),
        starts,
      );
    }),
  );
});

test('a start from /proc is that of its clock tick and of no other', () => {
  fc.assert(
    fc.property(word, fc.bigInt(-3n, 3n), (start, ticks) => {
      const started = (start / TICK_NS + ticks) * TICK_NS;
      const identity = identityOf({ pid: 7, execId: 1, start });
      assert.equal(startsAt(identity, bootTime(started)), ticks === 0n);
    }),
    { numRuns: 1000 },
  );
});
