import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MappingKind, MappingValue, PROCESS_GO_UNKNOWN, ProcessValue } from '../capture/record.ts';
import { bootTime } from '../units/units.ts';
import { type KernelMapping, KernelProcesses, notGo } from './kernel-processes.ts';
import { MemoryMaps } from './testing.ts';

const mapping = (start: number, bias = start - 64): KernelMapping => ({
  start,
  end: start + 4096,
  bias,
  file: start % 7,
  kind: 0,
});

const list = (seed: number, count: number): KernelMapping[] =>
  Array.from({ length: count }, (_, i) => mapping(seed * 2 ** 24 + i * 8192));

const identity = (pid: number, execId = 1) => ({
  pid,
  execId,
  startNs: bootTime((1n << 62n) + BigInt(pid)),
});

/** Entry of a process as the kernel sees it: identity, layout and the starts of its mappings. */
function entry(maps: MemoryMaps, pid: number) {
  const value = maps.processes.get(pid);
  if (!value) return undefined;
  const array = maps.arrays.get(maps.maps.mappings)!;
  const first = value.getUint32(ProcessValue.first, true);
  const count = value.getUint32(ProcessValue.count, true);
  return {
    pid: value.getUint32(ProcessValue.pid, true),
    execId: value.getUint32(ProcessValue.execId, true),
    startNs: value.getBigUint64(ProcessValue.start, true),
    layout: value.getUint32(ProcessValue.layout, true),
    starts: Array.from({ length: count }, (_, i) =>
      Number(array.getBigUint64((first + i) * MappingValue.size + MappingValue.start, true)),
    ),
  };
}

const starts = (mappings: readonly KernelMapping[]) => mappings.map(({ start }) => start);

test('a process and its mappings, field by field', () => {
  const maps = new MemoryMaps({});
  const kernel = new KernelProcesses(maps.maps, maps);
  const high: KernelMapping = {
    start: 2 ** 47 - 8192,
    end: 2 ** 47 - 4096,
    bias: -4096,
    file: 3,
    kind: 1,
  };
  const go = {
    gOffset: 8,
    m: 48,
    curg: 192,
    schedBp: 104,
    goid: 152,
    gopc: 280,
    gsignal: 80,
    inC: 282,
    unknown: true,
  };
  assert.ok(kernel.publish(identity(5), 9, [mapping(4096), high], go));
  assert.deepEqual(entry(maps, 5), { ...identity(5), layout: 9, starts: [4096, high.start] });
  const value = maps.processes.get(5)!;
  const { goGOffset, goM, goCurg, goSchedBp, goGoid, goGopc, goGsignal, goInC } = ProcessValue;
  assert.deepEqual(
    [goGOffset, goM, goCurg, goSchedBp, goGoid, goGopc, goGsignal, goInC].map((at) =>
      value.getUint16(at, true),
    ),
    [8, 48, 192, 104, 152, 280, 80, 282],
  );
  assert.equal(value.getUint32(ProcessValue.flags, true), PROCESS_GO_UNKNOWN);
  const first = value.getUint32(ProcessValue.first, true);
  const at = (first + 1) * MappingValue.size;
  const array = maps.arrays.get(maps.maps.mappings)!;
  assert.equal(array.getBigUint64(at + MappingValue.end, true), 2n ** 47n - 4096n);
  // Text offset = address - bias, modulo 2^64 as the kernel computes.
  assert.equal(array.getBigInt64(at + MappingValue.bias, true), -4096n);
  assert.equal(array.getUint32(at + MappingValue.file, true), 3);
  assert.equal(array.getUint32(at + MappingValue.kind, true), 1);
});

test('the end of a process takes its entry away, also one written after the kernel dropped it', () => {
  const maps = new MemoryMaps({});
  const kernel = new KernelProcesses(maps.maps, maps);
  // The process has ended in the kernel before this; its exit record comes later.
  kernel.publish(identity(5), 1, list(1, 3), notGo);
  kernel.forget(5);
  assert.equal(maps.processes.size, 0);
  kernel.forget(5);
  assert.equal(kernel.size, 0);
});

test('10,000 processes that end while they are published leave the map empty', () => {
  const maps = new MemoryMaps({ processes: 4 });
  const kernel = new KernelProcesses(maps.maps, maps);
  for (let pid = 1; pid <= 10_000; pid++) {
    assert.ok(kernel.publish(identity(pid), pid, list(pid, 3), notGo));
    kernel.forget(pid);
    kernel.settle();
  }
  assert.equal(maps.processes.size, 0);
});

test('a fork that was copied before its parent changed is mended; until it is seen the slice stays', () => {
  const maps = new MemoryMaps({});
  let now = 1e9;
  const kernel = new KernelProcesses(maps.maps, maps, () => now);
  kernel.publish(identity(1), 1, list(1, 3), notGo);
  // The kernel copies at 2 s …
  const copy = new DataView(maps.processes.get(1)!.buffer.slice(0));
  copy.setUint32(ProcessValue.pid, 2, true);
  maps.processes.set(2, copy);
  // … the parent changes at 3 s, before the fork is seen.
  now = 3e9;
  kernel.publish(identity(1), 2, list(2, 3), notGo);
  kernel.settle(1.9e9);
  kernel.publish(identity(9), 3, list(9, 3), notGo);
  assert.deepEqual(entry(maps, 2)!.starts, starts(list(1, 3)), 'its slice was given away');
  now = 4e9;
  kernel.inherit(identity(2), 1, 2e9);
  assert.deepEqual(entry(maps, 2), { ...identity(2), layout: 2, starts: starts(list(2, 3)) });
  // Now nobody can have the old one: its place is used again.
  kernel.settle(3.2e9);
  const before = maps.processes.get(9)!.getUint32(ProcessValue.first, true);
  kernel.publish(identity(10), 4, list(10, 3), notGo);
  assert.ok(maps.processes.get(10)!.getUint32(ProcessValue.first, true) < before);
  // A fork after the parent's last change needs no mending.
  maps.processes.delete(3);
  kernel.inherit(identity(3), 1, 5e9);
  assert.equal(maps.processes.has(3), false);
});

test('the copy of a parent that has lost its entry goes as well', () => {
  const maps = new MemoryMaps({});
  const kernel = new KernelProcesses(maps.maps, maps);
  kernel.publish(identity(1), 1, list(1, 3), notGo);
  maps.processes.set(2, maps.processes.get(1)!);
  kernel.forget(1);
  kernel.inherit(identity(2), 1);
  assert.equal(maps.processes.size, 0);
});

/** As the kernel side does at a sample. */
const sample = (maps: MemoryMaps, pid: number, at: bigint) =>
  maps.processes.get(pid)!.setBigUint64(ProcessValue.used, at, true);

test('room for mappings is made by those whose last sample is oldest, from the next settling on', () => {
  const maps = new MemoryMaps({ mappings: 64, processes: 16 });
  const kernel = new KernelProcesses(maps.maps, maps, () => 5e9);
  for (let pid = 1; pid <= 8; pid++) {
    assert.ok(kernel.publish(identity(pid), pid, list(pid, 8), notGo));
    sample(maps, pid, BigInt(pid === 1 ? 100 : pid));
  }
  assert.equal(kernel.publish(identity(9), 9, list(9, 8), notGo), false);
  // The first to be registered, but sampled last, stays.
  assert.deepEqual([...maps.processes.keys()], [1, 3, 4, 5, 6, 7, 8]);
  assert.equal(kernel.publish(identity(9), 9, list(9, 8), notGo), false, 'not settled yet');
  assert.equal(kernel.size, 7, 'what is on its way is enough');
  kernel.settle();
  assert.ok(kernel.publish(identity(9), 9, list(9, 8), notGo));
  assert.deepEqual(entry(maps, 1)!.starts, starts(list(1, 8)));
});

test('more mappings than one process may have: refused, and nobody else loses anything', () => {
  const maps = new MemoryMaps({ mappings: 64, processes: 16 });
  const kernel = new KernelProcesses(maps.maps, maps);
  for (let pid = 1; pid <= 8; pid++) kernel.publish(identity(pid), pid, list(pid, 8), notGo);
  for (const count of [9, 64, 65, 40_000]) {
    assert.equal(kernel.publish(identity(99), 9, list(99, count), notGo), false);
  }
  assert.equal(kernel.size, 8);
  assert.equal(maps.processes.size, 8);
});

test('whoever changes all the time waits for its own old mappings, and others find room', () => {
  const maps = new MemoryMaps({ mappings: 64 });
  const kernel = new KernelProcesses(maps.maps, maps);
  for (let i = 0; i < 20; i++) kernel.publish(identity(1), i, list(i, 8), notGo);
  for (let pid = 2; pid < 8; pid++) {
    assert.ok(kernel.publish(identity(pid), pid, list(pid, 8), notGo), `process ${pid}`);
  }
  kernel.settle();
  assert.ok(kernel.publish(identity(1), 99, list(99, 8), notGo));
});

test('a full map of processes drops children that never had a sample, not the busy', () => {
  const maps = new MemoryMaps({ processes: 32 });
  const kernel = new KernelProcesses(maps.maps, maps);
  kernel.publish(identity(1), 1, list(1, 3), notGo);
  sample(maps, 1, 50n);
  // A fork bomb: the kernel side copies, user space has not seen any of it.
  for (let pid = 100; maps.processes.size < 32; pid++) {
    const copy = new DataView(maps.processes.get(1)!.buffer.slice(0));
    copy.setUint32(ProcessValue.pid, pid, true);
    copy.setBigUint64(ProcessValue.used, 0n, true);
    maps.processes.set(pid, copy);
  }
  assert.ok(kernel.publish(identity(2), 2, list(2, 3), notGo));
  assert.ok(maps.processes.has(1));
  assert.deepEqual(entry(maps, 2)!.starts, starts(list(2, 3)));
});

test('after lost forks no slice is given away before entries that nobody knows are gone', () => {
  const maps = new MemoryMaps({ mappings: 64 });
  let now = 1e9;
  const kernel = new KernelProcesses(maps.maps, maps, () => now);
  kernel.publish(identity(1), 1, list(1, 8), notGo);
  kernel.publish(identity(3), 3, list(3, 8), notGo);
  const copy = new DataView(maps.processes.get(1)!.buffer.slice(0));
  copy.setUint32(ProcessValue.pid, 2, true);
  maps.processes.set(2, copy);
  // The parent ends, and so does 3; the record of the fork and of 3's end are lost.
  maps.processes.delete(3);
  kernel.forget(1);
  kernel.doubt();
  now = 9e9;
  kernel.settle(8e9);
  for (let pid = 10; kernel.publish(identity(pid), pid, list(pid, 8), notGo); pid++);
  assert.deepEqual(entry(maps, 2)!.starts, starts(list(1, 8)), 'its slice was given away');
  kernel.repair();
  assert.equal(maps.processes.has(2), false);
  assert.equal(kernel.has(3), false);
  assert.equal(kernel.problems.get('process_entries_repaired'), 1);
  now = 20e9;
  kernel.settle(19e9);
  assert.ok(kernel.publish(identity(4), 4, list(4, 8), notGo));
});

test('a repair leaves what is as it was registered, sampled or not', () => {
  const maps = new MemoryMaps({});
  const kernel = new KernelProcesses(maps.maps, maps);
  kernel.publish(identity(1), 1, list(1, 3), notGo);
  kernel.publish(identity(2), 2, list(2, 3), notGo);
  sample(maps, 1, 77n);
  // Another program has the pid: the kernel side has dropped the entry and copied a parent's.
  const copy = new DataView(maps.processes.get(1)!.buffer.slice(0));
  copy.setBigUint64(ProcessValue.start, 12345n, true);
  maps.processes.set(2, copy);
  kernel.doubt();
  kernel.repair();
  assert.deepEqual([...maps.processes.keys()], [1]);
  assert.deepEqual([kernel.has(1), kernel.has(2)], [true, false]);
});

test('after lost mappings all are forgotten, which is not counted as a repair', () => {
  const maps = new MemoryMaps({});
  const kernel = new KernelProcesses(maps.maps, maps);
  kernel.publish(identity(1), 1, list(1, 3), notGo);
  kernel.publish(identity(2), 2, list(2, 3), notGo);
  kernel.forgetAll();
  assert.deepEqual([kernel.size, maps.processes.size], [0, 0]);
  kernel.repair();
  assert.deepEqual([...kernel.problems], [['mappings_distrusted', 2]]);
});

test('a child that was published on its own keeps what it has', () => {
  const maps = new MemoryMaps({});
  const kernel = new KernelProcesses(maps.maps, maps);
  kernel.publish(identity(1), 1, list(1, 3), notGo);
  kernel.publish(identity(2), 2, list(2, 3), notGo);
  kernel.inherit(identity(2), 1);
  assert.equal(entry(maps, 2)!.layout, 2);
});

type Step = readonly ['publish' | 'inherit' | 'forget' | 'settle', number, number, number];
const step = fc.tuple(
  fc.constantFrom('publish', 'publish', 'inherit', 'forget', 'settle'),
  fc.integer({ min: 1, max: 12 }),
  fc.integer({ min: 1, max: 12 }),
  fc.nat(10),
) as fc.Arbitrary<Step>;

test('any course of events: each entry shows the mappings it was given, whoever else came and went', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (script) => {
      const maps = new MemoryMaps({ mappings: 64, processes: 6 });
      const kernel = new KernelProcesses(maps.maps, maps);
      const expected = new Map<number, { layout: number; starts: number[] }>();
      let serial = 0;
      for (const [what, pid, other, count] of script) {
        serial++;
        if (what === 'publish') {
          const mappings = list(serial, count);
          const before = kernel.size - Number(kernel.has(pid));
          if (kernel.publish(identity(pid), serial, mappings, notGo)) {
            expected.set(pid, { layout: serial, starts: starts(mappings) });
          } else if (count > kernel.maxMappings) {
            assert.equal(kernel.size, before, 'what cannot fit has cost others');
          }
        } else if (what === 'inherit' && pid !== other && !kernel.has(pid)) {
          const parent = expected.get(other);
          kernel.inherit(identity(pid), other);
          if (parent && kernel.has(pid)) expected.set(pid, parent);
        } else if (what === 'forget') {
          kernel.forget(pid);
          assert.equal(maps.processes.has(pid), false);
        } else if (what === 'settle') {
          kernel.settle();
        }
        // What made room for others has no entry; all else is as it was given.
        for (const known of expected.keys()) {
          assert.equal(kernel.has(known), maps.processes.has(known));
          if (!kernel.has(known)) expected.delete(known);
        }
        assert.equal(kernel.size, expected.size);
        assert.equal(maps.processes.size, expected.size);
        for (const [known, { layout, starts }] of expected) {
          assert.deepEqual(entry(maps, known), { ...identity(known), layout, starts });
        }
      }
      for (const known of [...expected.keys()]) kernel.forget(known);
      kernel.settle();
      for (let pid = 90; pid < 96; pid++) {
        const isThere = kernel.publish(identity(pid), 1, list(pid, 8), notGo);
        assert.ok(isThere, 'all room is free again');
      }
    }),
    { seed: 17, numRuns: 400 },
  );
});

test('which files are in use, and since when not: forks with the same mappings are one user', () => {
  const maps = new MemoryMaps({});
  const kernel = new KernelProcesses(maps.maps, maps, () => 5e9);
  const file = (index: number): KernelMapping => ({ ...mapping(index * 8192), file: index });
  kernel.publish(
    identity(1),
    1,
    [file(3), file(4), { ...file(5), kind: MappingKind.Anonymous }],
    notGo,
  );
  kernel.publish(identity(2), 2, [file(4)], notGo);
  kernel.inherit(identity(3), 1);
  maps.processes.get(1)!.setBigUint64(ProcessValue.used, 7n, true);
  maps.processes.get(3)!.setBigUint64(ProcessValue.used, 2n ** 63n + 1n, true);
  const all = () => kernel.uses().map(({ files, at }) => [[...files], at]);
  assert.deepEqual(all(), [
    [[3, 4], 2n ** 63n + 1n],
    [[4], 5_000_000_000n],
  ]);
  kernel.forget(3);
  kernel.forget(2);
  assert.deepEqual(all(), [[[3, 4], 7n]]);
});
