import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { loadAddon } from '../capture/addon.ts';
import { LiveCapture } from '../capture/live.ts';
import { MappingValue, ProcessValue } from '../capture/record.ts';
import { bootTime } from '../units/units.ts';
import { KernelProcesses, notGo } from './kernel-processes.ts';
import { KernelMapWriter } from './map-writer.ts';
import { TableStore } from './table-store.ts';

const addon = loadAddon();
let capture: LiveCapture;
const writer = new KernelMapWriter(addon);

before(() => {
  // Loaded, but nothing is sampled: only we write to the maps.
  capture = new LiveCapture(addon, {
    hz: 99,
    maxDepth: 64,
    kernelStacks: false,
    // Nobody forks into the maps either.
    pids: [1],
    followChildren: false,
    comm: undefined,
    cgroup: undefined,
    excluded: { pids: [], comms: [], cgroups: [] },
    ringBytes: 64 << 10,
    tableBytes: 1 << 20,
    copyEverySample: false,
    wantedKeys: [],
    idKeys: 0,
  });
});

after(() => capture.close());

/** An element as bpftool reads it from the kernel; undefined when there is none. */
function element(fd: number, key: number): Buffer | undefined {
  const id = /^map_id:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))![1]!;
  const bytes = [...new Uint8Array(Uint32Array.of(key).buffer)].map(String);
  try {
    const text = execFileSync('bpftool', ['-j', 'map', 'lookup', 'id', id, 'key', ...bytes], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const { value } = JSON.parse(text) as { value: string[] };
    return Buffer.from(value.map((byte) => Number.parseInt(byte, 16)));
  } catch {
    return undefined;
  }
}

test('ranges of any length and place arrive in an array map, and nothing beside them', () => {
  const { tables, tableCount } = capture.maps;
  for (const [first, count] of [
    [0, 1],
    [511, 2],
    [500, 1500],
    [tableCount - 3, 3],
  ] as const) {
    const words = BigUint64Array.from({ length: count }, (_, i) => BigInt(first * 1000 + i + 1));
    writer.write(tables, first * 8, new Uint8Array(words.buffer));
    for (const at of [0, count - 1]) {
      assert.equal(element(tables, first + at)!.readBigUInt64LE(), words[at], `${first} + ${at}`);
    }
    writer.write(tables, first * 8, new Uint8Array(count * 8));
    assert.equal(element(tables, first)!.readBigUInt64LE(), 0n);
  }
  assert.throws(() => writer.write(tables, tableCount * 8 - 4, new Uint8Array(8)), RangeError);
  writer.put(tables, 5, new Uint8Array(8).fill(7));
  assert.deepEqual(element(tables, 5), Buffer.alloc(8, 7));
  assert.deepEqual(element(tables, 4), Buffer.alloc(8));
  assert.deepEqual(element(tables, 6), Buffer.alloc(8));
});

test('processes come and go, and a full map makes room', () => {
  const { maps } = capture;
  const kernel = new KernelProcesses(maps, writer);
  const mapping = { start: 0x1000, end: 0x2000, bias: -4096, file: 3, kind: 0 } as const;
  const identity = (pid: number) => ({ pid, execId: 2, startNs: bootTime(1n << 45n) });
  const base = 5_000_000;
  for (let i = 0; i < 9000; i++) {
    assert.ok(kernel.publish(identity(base + i), i + 1, [mapping], notGo), `process ${i}`);
    kernel.settle();
  }
  // 8,192 fit, and a sixteenth makes room at once: the first ones have left, the last one is there.
  assert.ok(kernel.size > 7600 && kernel.size <= 8192, `${kernel.size}`);
  assert.equal(element(maps.processes, base), undefined);
  const value = element(maps.processes, base + 8999)!;
  assert.equal(value.readUInt32LE(ProcessValue.layout), 9000);
  assert.equal(value.readBigUInt64LE(ProcessValue.start), 2n ** 45n);
  const slice = element(maps.mappings, value.readUInt32LE(ProcessValue.first))!;
  assert.equal(slice.readBigInt64LE(MappingValue.bias), -4096n);
  assert.equal(slice.readUInt32LE(MappingValue.file), 3);
  // What nobody has registered is found among all of them.
  const { size } = kernel;
  writer.put(maps.processes, 7_000_000, new Uint8Array(ProcessValue.size));
  writer.remove(maps.processes, base + 8998);
  kernel.repair();
  assert.equal(element(maps.processes, 7_000_000), undefined);
  assert.equal(kernel.size, size - 1);
  assert.equal(writer.entries(maps.processes).length, (size - 1) * (4 + ProcessValue.size));
  for (let i = 0; i < 9000; i++) kernel.forget(base + i);
  assert.equal(element(maps.processes, base + 8999), undefined);
});

test('a file and its rows are where the kernel looks for them', () => {
  const { maps } = capture;
  const store = new TableStore(maps, writer);
  const place = store.addFile(1, 2)!;
  const rows = { offsets: Uint32Array.of(65_536, 65_600), rules: Uint32Array.of(11, 22) };
  assert.ok(store.load(place, place.fullDirectory + 1, 65_536, 10, rows, () => {}));
  const file = element(maps.files, place.index)!;
  assert.equal(file.readUInt32LE(8), place.fullDirectory);
  const block = element(maps.tables, place.fullDirectory + 1)!.readUInt32LE(0);
  const entry = element(maps.tables, block)!;
  assert.deepEqual([entry.readUInt32LE(4), entry.readUInt32LE(0)], [2, block + 64]);
  const row = element(maps.tables, block + 65)!;
  assert.deepEqual([row.readUInt32LE(0), row.readUInt32LE(4)], [65_600, 22]);
  store.removeFile(place);
  assert.deepEqual(element(maps.files, place.index), Buffer.alloc(16));
});
