import assert from 'node:assert/strict';
import { readFileSync, realpathSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { fileOffset, textOffset, virtualAddress } from '../units/units.ts';
import { Rule } from '../unwind/rule.ts';
import { type CfiRules, cfiRules } from './eh-frame.ts';
import { ElfImage } from './image.ts';
import { MemorySource, ParseError } from './source.ts';
import { compile, scratchDirectory } from './testdata/programs.ts';

const scratch = scratchDirectory();
after(() => scratch.remove());

/**
 * Everything that a stranger's file can make us do; only ParseErrors may come
 * of it. Whether it got as far as the unwind rules.
 */
function exercise(bytes: Uint8Array): boolean {
  let image: ElfImage;
  try {
    image = ElfImage.parse(new MemorySource(bytes));
  } catch (error) {
    assert.ok(error instanceof ParseError, String(error));
    return false;
  }
  assert.ok(Number.isSafeInteger(image.textBase) && image.textBase % 4096 === 0);
  assert.ok(image.textSize >= 0 && image.textSize < 2 ** 32);
  for (const part of [...image.segments, ...image.sections]) {
    try {
      const view = image.view(part);
      if (view.size > 0) view.read(view.size - 1, 1);
    } catch (error) {
      assert.ok(error instanceof ParseError, String(error));
    }
  }
  image.addressToOffset(virtualAddress(image.textBase + 100));
  image.offsetToAddress(fileOffset(4096));
  const rules = cfiRules(image);
  if (rules === undefined) return false;
  exerciseRules(rules, image.textSize);
  return true;
}

function exerciseRules(rules: CfiRules, textSize: number): void {
  const end = Math.min(textSize, 1 << 20);
  for (const [from, to] of [
    [0, end],
    [end >> 1, (end >> 1) + 100],
    [textSize - 10, textSize + 10],
  ] as const) {
    if (from < 0 || to <= from) continue;
    let last = -1;
    rules.rows(textOffset(from), textOffset(to), (start, rule) => {
      if (last < 0) assert.equal(start, from);
      assert.ok(Number.isInteger(start) && start > last && start < to);
      assert.ok(rule >= 0 && rule <= 0xffffffff && (rule & 15) <= Rule.Complex);
      last = start;
    });
    assert.ok(last >= 0);
  }
  const registers = new BigUint64Array(17).fill(0x7fff_0000n);
  for (let offset = 0; offset < end; offset += Math.max(1, end >> 6)) {
    const bounds = rules.functionBounds(textOffset(offset));
    assert.ok(bounds === undefined || (bounds.start <= offset && offset < bounds.end));
    const step = rules.step(textOffset(offset), registers, (address) => address);
    assert.ok(step.kind !== 'error' || step.reason.length > 0);
  }
}

type Mutation = readonly [where: number, kind: number, value: number];
const mutation: fc.Arbitrary<Mutation> = fc.tuple(
  // Not fc.double: it prefers the ends, which are the magic number of the file.
  fc.nat(0xffffffff).map((value) => value / 2 ** 32),
  fc.nat(5),
  fc.nat(0xffffffff),
);

/** Flips bits, writes absurd words, repeats stretches; within [start, start + size). */
function mutated(
  original: Uint8Array,
  mutations: readonly Mutation[],
  start: number,
  size: number,
): Buffer {
  const bytes = Buffer.from(original);
  for (const [where, kind, value] of mutations) {
    const at = start + Math.floor(where * Math.max(size - 8, 1));
    if (at + 8 > bytes.length) continue;
    if (kind === 0) bytes[at]! ^= 1 << (value & 7);
    else if (kind === 1) bytes[at] = value & 0xff;
    else if (kind === 2) bytes.writeUInt32LE(value, at);
    else if (kind === 3)
      bytes.writeUInt32LE([0, 0xffffffff, 0x7fffffff, 0x80000000, 1][value % 5]!, at);
    else if (kind === 4)
      bytes.writeBigUInt64LE([2n ** 64n - 1n, 2n ** 63n, 2n ** 53n][value % 3]!, at);
    else bytes.copyWithin(at, start + (value % size), start + (value % size) + 64);
  }
  return bytes;
}

describe('mutated files', () => {
  const source = `
    #include <stdio.h>
    #include <stdlib.h>
    typedef float vector __attribute__((vector_size(32)));
    static int compare(const void *a, const void *b) { return *(int *)a - *(int *)b; }
    int main(int argc, char **argv) {
      vector v __attribute__((aligned(64))) = {argc};
      __asm__ volatile("" :: "m"(v));
      qsort(argv, argc, 4, compare); return printf("%d", argc); }`;
  const small = readFileSync(
    compile(scratch.path, 'small', source, ['-O2', '-g', '-mavx2', '-gz']),
  );
  const debug = readFileSync(
    compile(scratch.path, 'debug', source, [
      '-O2',
      '-g',
      '-fno-asynchronous-unwind-tables',
      '-fno-unwind-tables',
    ]),
  );
  const linker = readFileSync(realpathSync('/lib64/ld-linux-x86-64.so.2'));

  const targets: [string, Uint8Array, (image: ElfImage) => [number, number], number][] = [
    ['headers', small, () => [0, 64 + 14 * 56], 1500],
    [
      'section headers',
      small,
      (image) => [small.length - image.sections.length * 64, image.sections.length * 64],
      600,
    ],
    ['anywhere', small, () => [0, small.length], 600],
    ['.eh_frame', small, (image) => part(image, '.eh_frame'), 2000],
    ['.eh_frame_hdr', small, (image) => part(image, '.eh_frame_hdr'), 1000],
    ['.debug_frame', debug, (image) => part(image, '.debug_frame'), 1500],
    ['.eh_frame of ld.so', linker, (image) => part(image, '.eh_frame'), 150],
    ['.eh_frame_hdr of ld.so', linker, (image) => part(image, '.eh_frame_hdr'), 100],
  ];
  for (const [name, bytes, locate, numRuns] of targets) {
    test(`${name}: only ParseErrors, ordered rows`, () => {
      const [start, size] = locate(ElfImage.parse(new MemorySource(bytes)));
      assert.ok(size > 0);
      let deep = 0;
      fc.assert(
        fc.property(fc.array(mutation, { minLength: 1, maxLength: 12 }), (mutations) => {
          if (exercise(mutated(bytes, mutations, start, size))) deep++;
        }),
        { seed: 2026, numRuns },
      );
      assert.ok(deep > numRuns / 20, `${deep} of ${numRuns} files were not refused at once`);
    });
  }

  test('files cut anywhere', () => {
    fc.assert(
      fc.property(fc.nat(small.length), (length) => {
        exercise(small.subarray(0, length));
      }),
      { seed: 2026, numRuns: 600 },
    );
  });

  function part(image: ElfImage, name: string): [number, number] {
    const section = image.section(name)!;
    return [section.offset, section.size];
  }
});

/** A file of one executable segment and one `.eh_frame`, as its author likes. */
function imageWith(frame: Uint8Array, textSize: number, searchTable?: Uint8Array): ElfImage {
  const FRAME_AT = 0x1000 + textSize;
  const tableAt = FRAME_AT + frame.length;
  const table = searchTable ?? new Uint8Array();
  const file = Buffer.alloc(tableAt + table.length);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  file.writeUInt16LE(3, 16);
  file.writeUInt16LE(62, 18);
  file.writeUInt32LE(64, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(3, 56);
  const segments: [number, number, number, number][] = [
    [1, 5, 0x1000, textSize],
    [1, 4, FRAME_AT, frame.length + table.length],
    [0x6474e550, 4, tableAt, table.length],
  ];
  for (const [index, [type, flags, at, size]] of segments.entries()) {
    const header = 64 + index * 56;
    file.writeUInt32LE(type, header);
    file.writeUInt32LE(flags, header + 4);
    for (const [field, value] of [
      [8, at],
      [16, at],
      [24, at],
      [32, size],
      [40, size],
    ] as const) {
      file.writeBigUInt64LE(BigInt(value), header + field);
    }
  }
  file.set(frame, FRAME_AT);
  file.set(table, tableAt);
  return ElfImage.parse(new MemorySource(file));
}

/** The sorted table for FDEs given as [function's address, position in .eh_frame]. */
function searchTable(
  frame: Uint8Array,
  textSize: number,
  fdes: readonly [number, number][],
): Buffer {
  const frameAt = 0x1000 + textSize;
  const tableAt = frameAt + frame.length;
  const table = Buffer.alloc(12 + fdes.length * 8);
  table.set([1, 0x1b, 3, 0x3b]);
  table.writeInt32LE(frameAt - (tableAt + 4), 4);
  table.writeUInt32LE(fdes.length, 8);
  for (const [index, [address, position]] of fdes.entries()) {
    table.writeInt32LE(address - tableAt, 12 + index * 8);
    table.writeInt32LE(frameAt + position - tableAt, 16 + index * 8);
  }
  return table;
}

/** CIE "zR" with absolute udata4 addresses: CFA = rsp + 8, return address at CFA - 8. */
const CIE = Buffer.from([
  20, 0, 0, 0, 0, 0, 0, 0, 1, 0x7a, 0x52, 0, 1, 0x78, 16, 1, 0x03, 12, 7, 8, 0x90, 1, 0, 0,
]);

function fde(position: number, start: number, size: number, instructions: Uint8Array): Buffer {
  const bytes = Buffer.alloc(17 + instructions.length);
  bytes.writeUInt32LE(bytes.length - 4, 0);
  bytes.writeUInt32LE(position + 4, 4);
  bytes.writeUInt32LE(start, 8);
  bytes.writeUInt32LE(size, 12);
  bytes.set(instructions, 17);
  return bytes;
}

function withinSeconds(limit: number, work: () => void): void {
  const before = process.cpuUsage();
  const memory = process.memoryUsage().rss;
  work();
  const { user, system } = process.cpuUsage(before);
  assert.ok((user + system) / 1e6 < limit, `${(user + system) / 1e6} s`);
  assert.ok(process.memoryUsage().rss - memory < 300 << 20, 'memory');
}

describe('made to be slow', () => {
  const collect = (image: ElfImage): { rows: [number, number][]; rules: CfiRules } => {
    const rules = cfiRules(image)!;
    const rows: [number, number][] = [];
    rules.rows(textOffset(0), textOffset(image.textSize), (start, rule) =>
      rows.push([start, rule]),
    );
    return { rows, rules };
  };

  test('the hand-made file is understood at all', () => {
    const frame = Buffer.concat([CIE, fde(CIE.length, 0x1000, 64, Buffer.of(0x44, 14, 16))]);
    const table = searchTable(frame, 4096, [[0x1000, CIE.length]]);
    const { rows, rules } = collect(imageWith(frame, 4096, table));
    assert.deepEqual(rows, [
      [0, 0x1001],
      [4, 0x2001],
      [64, Rule.None],
    ]);
    assert.deepEqual([...rules.problems], []);
  });

  test('a million instructions that do nothing, and a million remembered states', () => {
    for (const opcode of [0x40, 0x0a, 0x00]) {
      const instructions = Buffer.alloc(3_000_000, opcode);
      const frame = Buffer.concat([CIE, fde(CIE.length, 0x1000, 64, instructions)]);
      const image = imageWith(frame, 4096, searchTable(frame, 4096, [[0x1000, CIE.length]]));
      withinSeconds(1, () => {
        const { rows } = collect(image);
        assert.equal(rows[0]![1], opcode === 0x0a ? Rule.None : 0x1001);
      });
    }
  });

  test('thousands of functions that share one huge entry run into the work limit', () => {
    const frame = Buffer.concat([CIE, fde(CIE.length, 0x1000, 64, Buffer.alloc(3_000_000, 0x40))]);
    const fdes = Array.from({ length: 60_000 }, (_, n): [number, number] => [
      0x1000 + n,
      CIE.length,
    ]);
    const image = imageWith(frame, 65_536, searchTable(frame, 65_536, fdes));
    withinSeconds(2, () => {
      const { rules } = collect(image);
      assert.ok((rules.problems.get('search_table') ?? 0) > 0);
    });
    // Entries of their own for each function, but all within one another's instructions.
    const nested: Buffer[] = [CIE];
    let position = CIE.length;
    const own: [number, number][] = [];
    for (let n = 0; n < 2000; n++) {
      const entry = fde(position, 0x1000 + 2 * n, 2, new Uint8Array());
      entry.writeUInt32LE(60_000 - (position - CIE.length), 0);
      own.push([0x1000 + 2 * n, position]);
      nested.push(entry);
      position += entry.length;
    }
    nested.push(Buffer.alloc(4_000_000));
    const overlapping = Buffer.concat(nested);
    const second = imageWith(overlapping, 4096, searchTable(overlapping, 4096, own));
    withinSeconds(2, () => {
      const { rules } = collect(second);
      assert.ok((rules.problems.get('work_limit') ?? 0) > 0);
    });
  });

  test('a hundred thousand entries with one start are nonsense', () => {
    const frame = Buffer.concat([CIE, fde(CIE.length, 0x1000, 64, new Uint8Array())]);
    const fdes = Array.from({ length: 100_000 }, (): [number, number] => [0x1000, CIE.length]);
    const image = imageWith(frame, 4096, searchTable(frame, 4096, fdes));
    withinSeconds(1, () => {
      const { rows, rules } = collect(image);
      assert.deepEqual(rows, [
        [0, 0x1001],
        [64, Rule.None],
      ]);
      assert.equal(rules.problems.get('search_table'), 1);
    });
  });

  test('an entry that is its own CIE, and 64-bit lengths without end', () => {
    const own = fde(0, 0x1000, 64, new Uint8Array());
    own.writeUInt32LE(4, 4);
    const endless = Buffer.alloc(40, 0xff);
    for (const frame of [
      own,
      endless,
      Buffer.alloc(1 << 20),
      Buffer.from([4, 0, 0, 0, 1, 0, 0, 0]),
    ]) {
      const image = imageWith(frame, 4096, searchTable(frame, 4096, [[0x1000, 0]]));
      withinSeconds(1, () => {
        const { rows } = collect(image);
        assert.ok(rows.every(([, rule]) => rule === Rule.None));
      });
    }
  });

  test('overlapping functions: the one that begins later holds, then nothing', () => {
    const first = fde(CIE.length, 0x1000, 1000, new Uint8Array());
    const second = fde(CIE.length + first.length, 0x1010, 0x30, Buffer.of(14, 16));
    const frame = Buffer.concat([CIE, first, second]);
    const table = searchTable(frame, 4096, [
      [0x1000, CIE.length],
      [0x1010, CIE.length + first.length],
    ]);
    const { rows, rules } = collect(imageWith(frame, 4096, table));
    assert.deepEqual(rows, [
      [0, 0x1001],
      [0x10, 0x2001],
      [0x40, Rule.None],
    ]);
    assert.deepEqual(rules.functionBounds(textOffset(0x20)), { start: 0x10, end: 0x40 });
    assert.equal(rules.functionBounds(textOffset(0x50)), undefined);
  });

  test('empty functions and several at one address: the longest holds', () => {
    const entries: [number, number, Uint8Array][] = [
      [0x1000, 0, new Uint8Array()],
      [0x1000, 0x40, Buffer.of(14, 16)],
      [0x1000, 0x20, new Uint8Array()],
      [0x1010, 0, Buffer.of(14, 32)],
      [0x1010, 0, Buffer.of(14, 48)],
    ];
    let position = CIE.length;
    const fdes: [number, number][] = [];
    const parts: Uint8Array[] = [CIE];
    for (const [start, size, instructions] of entries) {
      const entry = fde(position, start, size, instructions);
      fdes.push([start, position]);
      parts.push(entry);
      position += entry.length;
    }
    const frame = Buffer.concat(parts);
    const image = imageWith(frame, 4096, searchTable(frame, 4096, fdes));
    const { rows, rules } = collect(image);
    assert.deepEqual(rows, [
      [0, 0x2001],
      [0x40, Rule.None],
    ]);
    for (const offset of [0, 0x0f, 0x10, 0x3f]) {
      assert.deepEqual(rules.functionBounds(textOffset(offset)), { start: 0, end: 0x40 });
    }
    assert.deepEqual([...rules.problems], []);
  });

  test('a malformed function is a hole and is counted, its neighbours are not touched', () => {
    const parts = [
      fde(CIE.length, 0x1000, 0x20, new Uint8Array()),
      fde(CIE.length + 17, 0x1020, 0x20, Buffer.of(14, 16, 0x3f)),
      fde(CIE.length + 37, 0x1040, 0x20, Buffer.of(14, 24)),
    ];
    const frame = Buffer.concat([CIE, ...parts]);
    const table = searchTable(frame, 4096, [
      [0x1000, CIE.length],
      [0x1020, CIE.length + 17],
      [0x1040, CIE.length + 37],
    ]);
    const { rows, rules } = collect(imageWith(frame, 4096, table));
    assert.deepEqual(rows, [
      [0, 0x1001],
      [0x20, Rule.None],
      [0x40, 0x3001],
      [0x60, Rule.None],
    ]);
    assert.deepEqual([...rules.problems], [['cfi_opcode', 1]]);
  });
});
