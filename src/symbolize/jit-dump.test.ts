import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { processAddress } from '../units/units.ts';
import { CodePages, pageOf } from './code-pages.ts';
import { JIT_CODE_LIMITS } from './jit-code.ts';
import { JitDump, type ReadDump } from './jit-dump.ts';

const SEED = 20261121;

const reader =
  (bytes: Uint8Array): ReadDump =>
  (position, length) =>
    bytes.subarray(position, position + length);

function dumpOf(bytes: Uint8Array, limits = JIT_CODE_LIMITS): JitDump {
  const dump = new JitDump(limits);
  dump.advance(reader(bytes), bytes.length);
  return dump;
}

const u32 = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer);
const u64 = (...values: number[]) => Buffer.from(BigUint64Array.from(values.map(BigInt)).buffer);
const header = Buffer.concat([u32(0x4a695444, 1, 40, 62, 0, 77), u64(0, 0)]);
const record = (id: number, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([u32(id, 16 + body.length), u64(1), body]);
};
const load = (address: number, size: number, name: string, index = 1): Buffer =>
  record(
    0,
    u32(77, 77),
    u64(address, address, size, index),
    Buffer.from(`${name}\0`),
    Buffer.alloc(size),
  );
const move = (from: number, to: number, size: number, index = 1): Buffer =>
  record(1, u32(77, 77), u64(to, from, to, size, index));
const lines = (address: number, rows: [offset: number, line: number, file: string][]): Buffer =>
  record(
    2,
    u64(address, rows.length),
    ...rows.flatMap(([offset, line, file]) => [
      u64(address + offset),
      u32(line, 0),
      Buffer.from(`${file}\0`, 'latin1'),
    ]),
  );
const at = (dump: JitDump, address: number) => dump.lookup(processAddress(address))?.line;

test('functions are found by address, with the line of the row before it', () => {
  const dump = dumpOf(
    Buffer.concat([
      header,
      lines(0x1000, [
        [0, 5, '/src/a.java'],
        [8, 7, '\xff'],
        [4, 6, '/src/b.java'],
      ]),
      load(0x1000, 16, 'Lcom/example/A;.run'),
      load(0x2000, 16, 'Lcom/example/B;.run'),
    ]),
  );
  assert.equal(at(dump, 0xfff), undefined);
  const rows = [0x1000, 0x1003, 0x1004, 0x100f].map((address) => {
    const { name, file, line } = at(dump, address)!;
    return [name, file, line];
  });
  assert.deepEqual(rows, [
    ['Lcom/example/A;.run', '/src/a.java', 5],
    ['Lcom/example/A;.run', '/src/a.java', 5],
    ['Lcom/example/A;.run', '/src/b.java', 6],
    ['Lcom/example/A;.run', '/src/a.java', 7],
  ]);
  assert.deepEqual([at(dump, 0x2000)!.line, at(dump, 0x2000)!.file], [0, '']);
  assert.equal(at(dump, 0x1010), undefined);
  assert.equal(dump.problems.size, 0);
});

test('optimized V8 code has no lines, as they may be those of inlined calls', () => {
  const rows: [number, number, string][] = [[0x40, 3, '/w.js']];
  const dump = dumpOf(
    Buffer.concat([
      header,
      ...['^', '*', '+'].flatMap((tier, index) => [
        lines(0x1000 * (index + 1), rows),
        load(0x1000 * (index + 1), 16, `JS:${tier}outer /w.js:8:1`),
      ]),
    ]),
  );
  const shown = [0x1000, 0x2000, 0x3000].map((address) => at(dump, address)!.line);
  assert.deepEqual(shown, [3, 8, 8]);
});

test('code that moved or was replaced has the name that was written last', () => {
  const dump = dumpOf(
    Buffer.concat([
      header,
      load(0x1000, 16, 'old'),
      move(0x1000, 0x5000, 16),
      load(0x1000, 16, 'new', 2),
      record(3),
      record(4, Buffer.alloc(40)),
    ]),
  );
  assert.deepEqual([at(dump, 0x1008)!.name, at(dump, 0x5008)!.name], ['new', 'old']);
  assert.equal(dump.problems.size, 0);
});

test('a dump is read on as it grows, at whatever byte it was cut', () => {
  const bytes = Buffer.concat([
    header,
    lines(0x1000, [[0, 9, 'x.c']]),
    load(0x1000, 16, 'first'),
    load(0x2000, 16, 'second'),
  ]);
  for (let cut = 0; cut < bytes.length; cut++) {
    const dump = new JitDump();
    dump.advance(reader(bytes.subarray(0, cut)), cut);
    dump.advance(reader(bytes), bytes.length);
    assert.deepEqual([at(dump, 0x1000)!.line, at(dump, 0x2000)!.name], [9, 'second']);
    assert.equal(dump.problems.size, 0);
  }
});

test('what cannot be is refused with a reason, what came before stays', () => {
  const reasons = (...parts: Buffer[]) => {
    const dump = dumpOf(Buffer.concat(parts));
    return [...dump.problems.keys(), dump.size];
  };
  const good = load(0x1000, 16, 'good');
  assert.deepEqual(reasons(Buffer.alloc(64, 'x'), good), ['not_a_jitdump', 0]);
  assert.deepEqual(reasons(Buffer.from('JiTD'), Buffer.alloc(60), good), ['byte_order', 0]);
  assert.deepEqual(reasons(u32(0x4a695444, 9, 40), Buffer.alloc(60), good), ['version', 0]);
  assert.deepEqual(reasons(header, good, u32(0, 3), Buffer.alloc(60)), ['record_size', 1]);
  assert.deepEqual(reasons(header, good, record(9), good), ['record_unknown', 2]);
  assert.deepEqual(reasons(header, good, load(2 ** 50, 16, 'far')), ['record_malformed', 1]);
  assert.deepEqual(reasons(header, good, move(0x7777, 0x8888, 4)), ['move_unknown', 1]);
  const wrongLines = lines(0x2000, [[100_000, 1, 'x']]);
  assert.deepEqual(reasons(header, good, wrongLines, load(0x2000, 16, 'b')), [
    'lines_malformed',
    2,
  ]);
});

test('bounds are kept, the latest code stays, and what went is counted', () => {
  const records = Array.from({ length: 3000 }, (_, index) => {
    const address = 0x10_0000 + index * 64;
    return Buffer.concat([
      lines(address, [
        [0, index + 1, `f${index % 10}`],
        [8, index + 2, '\xff'],
      ]),
      load(address, 16, `function number ${index}`),
    ]);
  });
  const bytes = Buffer.concat([header, ...records]);
  for (const limits of [
    { ...JIT_CODE_LIMITS, maxEntries: 500 },
    { ...JIT_CODE_LIMITS, maxNameBytes: 10_000 },
    { ...JIT_CODE_LIMITS, maxLines: 600 },
  ]) {
    const dump = dumpOf(bytes, limits);
    assert.equal(at(dump, 0x10_0000 + 2999 * 64)!.line, 3000);
    assert.equal(at(dump, 0x10_0000), undefined);
    assert.ok(dump.size <= 600, `${dump.size}`);
    assert.equal(dump.problems.get('entries_forgotten')! + dump.size, 3000);
  }
});

test('only code in the pages that are asked for is kept, and where it was moved from is told', () => {
  const bytes = Buffer.concat([
    header,
    ...Array.from({ length: 100 }, (_, index) =>
      Buffer.concat([
        lines(0x10_0000 + index * 0x1000, [[0, index, 'x.c']]),
        load(0x10_0000 + index * 0x1000, 64, `f${index}`),
      ]),
    ),
    move(0x10_5000, 0x20_0000, 64),
    move(0x10_6000, 0x30_0000, 64),
  ]);
  const scan = (...addresses: number[]): JitDump => {
    const dump = new JitDump(JIT_CODE_LIMITS, CodePages.of(new Set(addresses.map(pageOf))));
    assert.ok(dump.advance(reader(bytes), bytes.length));
    assert.equal(dump.problems.size, 0);
    return dump;
  };
  const first = scan(0x20_0000, 0x10_7000);
  assert.deepEqual([first.size, at(first, 0x10_7000)?.line], [1, 7]);
  assert.deepEqual([...first.sources], [pageOf(0x10_5000)]);
  const second = scan(0x20_0000, ...[...first.sources].map((page) => page * 4096));
  assert.deepEqual([at(second, 0x20_0000)?.name, second.sources.size], ['f5', 0]);
});

test('reading stops when its time is over and goes on where it stopped', () => {
  const loads = Array.from({ length: 2000 }, (_, index) => load(0x1000 + index * 16, 16, 'f'));
  const bytes = Buffer.concat([header, ...loads]);
  const dump = new JitDump();
  let stops = 0;
  while (!dump.advance(reader(bytes), bytes.length, () => true)) stops++;
  assert.equal(dump.size, 2000);
  assert.ok(stops > 2 && stops < 20, `${stops} times`);
});

let directory = '';
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'flametap-jit-dump-'));
});
after(() => rmSync(directory, { recursive: true }));

const SCRIPT = `function flametapTarget(n) {
  let s = 0;
  for (let i = 0; i < n; i++) {
    s += i % 7;
    s ^= i;
  }
  return s;
}
for (let i = 0; i < 20000; i++) {
  flametapTarget(100);
}
`;

function realDump(): { bytes: Buffer; script: string } {
  const script = join(directory, 'work.mjs');
  writeFileSync(script, SCRIPT);
  // Baseline code always, because optimized code has no lines to show.
  execFileSync(process.execPath, ['--perf-prof', '--always-sparkplug', script], { cwd: directory });
  const name = readdirSync(directory).find((file) => /^jit-\d+\.dump$/.test(file))!;
  const bytes = readFileSync(join(directory, name));
  rmSync(join(directory, name));
  return { bytes, script };
}

/** Code addresses and sizes of the loads of a function, by an own walk over the records. */
function loadsOf(bytes: Buffer, name: string): { address: number; size: number }[] {
  const found: { address: number; size: number }[] = [];
  for (let at = 40; at + 16 <= bytes.length; at += bytes.readUInt32LE(at + 4)) {
    if (bytes.readUInt32LE(at) !== 0) continue;
    if (
      !bytes
        .toString('latin1', at + 56, at + 120)
        .split('\0')[0]!
        .includes(name)
    )
      continue;
    const [address, size] = [at + 32, at + 40].map((field) => Number(bytes.readBigUInt64LE(field)));
    found.push({ address: address!, size: size! });
  }
  return found;
}

test('a dump that node really wrote: functions, files, and only lines of the function', () => {
  const { bytes, script } = realDump();
  const dump = dumpOf(bytes);
  assert.ok(dump.size > 1000, `${dump.size} functions`);
  const lines = new Set<number>();
  const loads = loadsOf(bytes, 'flametapTarget ');
  assert.ok(loads.length > 0);
  for (const { address, size } of loads) {
    for (let offset = 0; offset < size; offset += 4) {
      const { type, line } = dump.lookup(processAddress(address + offset))!;
      assert.deepEqual([type, line.name, line.file], ['v8js', 'flametapTarget', script]);
      assert.equal(line.startLine, 1);
      lines.add(line.line);
    }
  }
  // Baseline code has a row for its first byte: its function's column is not shown for it.
  const [baseline] = loadsOf(bytes, 'JS:^flametapTarget ');
  assert.equal(at(dump, baseline!.address)!.column, 0);
  // Every line is the function's own, and those of the loop are among them.
  for (const line of lines) assert.ok(line >= 1 && line <= 8, `line ${line}`);
  assert.ok(lines.has(4) && lines.has(5), `${[...lines]}`);
  const { problems } = dump;
  assert.deepEqual(
    [...problems.keys()].filter((reason) => reason !== 'lines_malformed'),
    [],
  );
});

test('damaged dumps never throw and take bounded time', () => {
  const { bytes } = realDump();
  const part = bytes.subarray(0, 60_000);
  const loads = loadsOf(part, '');
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(fc.integer({ min: 0, max: part.length - 1 }), fc.integer({ min: 0, max: 255 })),
        { minLength: 1, maxLength: 12 },
      ),
      (changes) => {
        const damaged = Uint8Array.from(part);
        for (const [position, value] of changes) damaged[position] = value;
        const dump = dumpOf(damaged);
        for (const { address } of loads.slice(0, 20)) dump.lookup(processAddress(address));
      },
    ),
    { seed: SEED, numRuns: 1000 },
  );
});
