import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MappingValue, PROCESS_GO_UNKNOWN, ProcessValue } from '../capture/record.ts';
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
  fc.nat(20),
) as fc.Arbitrary<Step>;

test('any course of events: each entry shows the mappings it was given, whoever else came and went', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (script) => {
      const maps = new MemoryMaps({ mappings: 40, processes: 6 });
      const kernel = new KernelProcesses(maps.maps, maps);
      const expected = new Map<number, { layout: number; starts: number[] }>();
      let serial = 0;
      for (const [what, pid, other, count] of script) {
        serial++;
        if (what === 'publish') {
          const mappings = list(serial, count);
          if (kernel.publish(identity(pid), serial, mappings, notGo)) {
            expected.set(pid, { layout: serial, starts: starts(mappings) });
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
      assert.ok(kernel.publish(identity(99), 1, list(1, 40), notGo), 'all room is free again');
    }),
    { seed: 17, numRuns: 400 },
  );
});
