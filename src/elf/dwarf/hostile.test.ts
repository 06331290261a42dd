import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { ElfImage } from '../image.ts';
import { MemorySource, ParseError } from '../source.ts';
import { NO_COMPANIONS, randomAddresses, sectionsOf } from './debug-files.test-support.ts';
import { DebugInfo } from './debug-info.ts';
import type { DebugCompanions, DebugSections } from './sections.ts';

const scratch = mkdtempSync(join(tmpdir(), 'flametap-dwarf-hostile-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const source = join(import.meta.dirname, 'testdata', 'program.c');

type Bytes = ReadonlyMap<string, Uint8Array>;

const NAMES = [
  'info',
  'abbrev',
  'line',
  'str',
  'line_str',
  'str_offsets',
  'addr',
  'ranges',
  'rnglists',
  'aranges',
  'types',
  'cu_index',
];

/** The uncompressed debug sections of a file. */
function bytesOf(path: string, suffix = ''): Bytes {
  const sections = sectionsOf(ElfImage.parse(new MemorySource(readFileSync(path))));
  const bytes = new Map<string, Uint8Array>();
  for (const name of NAMES.flatMap((one) => [`.debug_${one}`, `.debug_${one}${suffix}`])) {
    const section = sections.section(name);
    if (section !== undefined) bytes.set(name, section.read(0, section.size).slice());
  }
  return bytes;
}

function sectionsFrom(bytes: Bytes): DebugSections {
  return {
    section: (name) => {
      const found = bytes.get(name);
      return found && new MemorySource(found);
    },
  };
}

function build(name: string, compiler: string, options: readonly string[]): string {
  const path = join(scratch, name);
  execFileSync(compiler, ['-O2', ...options, '-o', path, source], {
    cwd: scratch,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return path;
}

/** How many addresses still have names; only ParseErrors may come of opening. */
function exercise(bytes: Bytes, companions: DebugCompanions, addresses: Float64Array): number {
  let info: DebugInfo;
  try {
    info = DebugInfo.open(sectionsFrom(bytes), companions);
  } catch (error) {
    assert.ok(error instanceof ParseError, String(error));
    return 0;
  }
  const chains = info.lookup(addresses);
  assert.equal(chains.length, addresses.length);
  let named = 0;
  for (const chain of chains) {
    if (chain === undefined) continue;
    assert.ok(chain.length > 0);
    for (const { name, linkageName, file, line, column, startLine } of chain) {
      assert.ok([name, linkageName, file].every((text) => typeof text === 'string'));
      assert.ok([line, column, startLine].every((number) => number >= 0));
      if (name !== '') named++;
    }
  }
  for (const reason of info.problems.keys()) assert.match(reason, /^[a-z0-9_]+$/);
  return named;
}

type Mutation = readonly [where: number, kind: number, value: number];
const mutation: fc.Arbitrary<Mutation> = fc.tuple(
  fc.nat(0xffffffff).map((value) => value / 2 ** 32),
  fc.nat(5),
  fc.nat(0xffffffff),
);

/** Flips bits, writes absurd words, repeats stretches. */
function mutated(original: Uint8Array, mutations: readonly Mutation[]): Buffer {
  const bytes = Buffer.from(original);
  for (const [where, kind, value] of mutations) {
    const at = Math.floor(where * Math.max(bytes.length - 8, 1));
    if (at + 8 > bytes.length) continue;
    if (kind === 0) bytes[at]! ^= 1 << (value & 7);
    else if (kind === 1) bytes[at] = value & 0xff;
    else if (kind === 2) bytes.writeUInt32LE(value, at);
    else if (kind === 3) bytes.writeUInt32LE([0, 0xffffffff, 0x7fffffff, 1][value % 4]!, at);
    else if (kind === 4) {
      bytes.writeBigUInt64LE([2n ** 64n - 1n, 2n ** 63n, 2n ** 53n][value % 3]!, at);
    } else bytes.copyWithin(at, value % bytes.length, (value % bytes.length) + 32);
  }
  return bytes;
}

describe('mutated debug sections', () => {
  const programs = [
    ['gcc, DWARF 5', build('gcc5', 'gcc', ['-g'])],
    ['gcc, DWARF 2', build('gcc2', 'gcc', ['-gdwarf-2'])],
    ['clang, DWARF 5', build('clang5', 'clang', ['-gdwarf-5'])],
    ['clang, DWARF 4', build('clang4', 'clang', ['-gdwarf-4', '-ffunction-sections'])],
  ] as const;
  for (const [what, path] of programs) {
    const original = bytesOf(path);
    const addresses = randomAddresses(path, 5, 120);
    for (const [name, bytes] of original) {
      // Each has its own share of runs: the entries and shapes lead furthest.
      const numRuns = /info|abbrev|line$|rnglists/.test(name) ? 400 : 100;
      test(`${what}, ${name}`, () => {
        assert.ok(exercise(original, NO_COMPANIONS, addresses) > 50);
        let alive = 0;
        fc.assert(
          fc.property(fc.array(mutation, { minLength: 1, maxLength: 10 }), (mutations) => {
            const broken = new Map(original).set(name, mutated(bytes, mutations));
            if (exercise(broken, NO_COMPANIONS, addresses) > 0) alive++;
          }),
          { seed: 2026, numRuns },
        );
        assert.ok(alive > numRuns / 50, `${alive} of ${numRuns} still had names`);
      });
    }
  }

  test('split units and packages', () => {
    const options = ['-O2', '-gdwarf-5', '-gsplit-dwarf'];
    for (const args of [
      ['clang', ...options, '-c', '-o', 'split.o', source],
      ['clang', ...options, '-o', 'split', 'split.o'],
      ['llvm-dwp', 'split.dwo', '-o', 'split.dwp'],
    ] as const) {
      execFileSync(args[0], args.slice(1), { cwd: scratch, timeout: 60_000 });
    }
    const path = join(scratch, 'split');
    const dwo = join(scratch, 'split.dwo');
    const main = bytesOf(path);
    const split = bytesOf(dwo, '.dwo');
    const packaged = bytesOf(join(scratch, 'split.dwp'), '.dwo');
    const addresses = randomAddresses(path, 5, 120);
    const companions = (from: Bytes): DebugCompanions => ({
      ...NO_COMPANIONS,
      split: () =>
        from === split || !from.has('.debug_cu_index') ? sectionsFrom(from) : undefined,
      package: () => (from.has('.debug_cu_index') ? sectionsFrom(from) : undefined),
    });
    for (const from of [split, packaged]) {
      assert.ok(exercise(main, companions(from), addresses) > 50);
      for (const [name, bytes] of from) {
        fc.assert(
          fc.property(fc.array(mutation, { minLength: 1, maxLength: 6 }), (mutations) => {
            const broken = new Map(from).set(name, mutated(bytes, mutations));
            exercise(main, companions(broken), addresses);
          }),
          { seed: 2026, numRuns: 80 },
        );
      }
    }
  });

  test('sections cut anywhere, or missing', () => {
    const path = programs[0][1];
    const original = bytesOf(path);
    const addresses = randomAddresses(path, 5, 120);
    fc.assert(
      fc.property(fc.nat(original.size - 1), fc.nat(0xffffffff), (which, place) => {
        const [name, bytes] = [...original][which]!;
        const cut = bytes.subarray(0, Math.floor((place / 2 ** 32) * bytes.length));
        exercise(new Map(original).set(name, cut), NO_COMPANIONS, addresses);
      }),
      { seed: 2026, numRuns: 600 },
    );
    for (const name of original.keys()) {
      const without = new Map(original);
      without.delete(name);
      exercise(without, NO_COMPANIONS, addresses);
    }
  });
});

/** .debug_abbrev with a unit (1), a function with code (2), one with an origin (3) and a block (4). */
const ABBREVIATIONS = Buffer.from([
  ...[1, 0x11, 1, 0x11, 0x01, 0x12, 0x07, 0x13, 0x0b, 0, 0],
  ...[2, 0x2e, 1, 0x11, 0x01, 0x12, 0x07, 0x31, 0x13, 0, 0],
  ...[3, 0x2e, 0, 0x31, 0x13, 0, 0],
  ...[4, 0x0b, 1, 0, 0],
  0,
]);
const START = 0x1000;
const SIZE = 0x1000;

/** A version 4 unit of the entries, which begin at offset 29. */
function unit(entries: Uint8Array): Buffer {
  const bytes = Buffer.alloc(29);
  bytes.writeUInt32LE(bytes.length - 4 + entries.length, 0);
  bytes.writeUInt16LE(4, 4);
  bytes[10] = 8;
  bytes[11] = 1;
  bytes.writeUInt32LE(START, 12);
  bytes.writeUInt32LE(SIZE, 20);
  bytes[28] = 4;
  return Buffer.concat([bytes, entries]);
}

function functionEntry(origin: number): Buffer {
  const bytes = Buffer.alloc(1 + 8 + 8 + 4);
  bytes[0] = 2;
  bytes.writeUInt32LE(START, 1);
  bytes.writeUInt32LE(SIZE, 9);
  bytes.writeUInt32LE(origin, 17);
  return bytes;
}

const reference = (code: number, to: number): Buffer => {
  const bytes = Buffer.alloc(5);
  bytes[0] = code;
  bytes.writeUInt32LE(to, 1);
  return bytes;
};

function lookup(info: Uint8Array, more: Bytes = new Map()): DebugInfo {
  const bytes = new Map([...more, ['.debug_info', info], ['.debug_abbrev', ABBREVIATIONS]]);
  const opened = DebugInfo.open(sectionsFrom(bytes), NO_COMPANIONS);
  opened.lookup(Float64Array.from({ length: 1000 }, (_, n) => START + n * 4));
  return opened;
}

function withinSeconds(limit: number, work: () => void): void {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  assert.ok((user + system) / 1e6 < limit, `${(user + system) / 1e6} s`);
}

describe('made to be slow', () => {
  const FIRST = 29;

  test("an origin that is its own origin, and two that are each other's", () => {
    const second = FIRST + 21;
    for (const entries of [
      [functionEntry(FIRST), Buffer.of(0, 0)],
      [functionEntry(second), reference(3, FIRST), Buffer.of(0, 0)],
      [functionEntry(second), reference(3, second + 5), reference(3, second), Buffer.of(0, 0)],
    ]) {
      withinSeconds(2, () => {
        const { problems } = lookup(unit(Buffer.concat(entries)));
        assert.ok(problems.get('reference_cycle')! > 0);
      });
    }
  });

  test('a million blocks within one another', () => {
    withinSeconds(2, () => {
      const { problems } = lookup(
        unit(Buffer.concat([functionEntry(FIRST), Buffer.alloc(1_000_000, 4)])),
      );
      assert.ok(problems.get('depth')! > 0);
    });
  });

  test('more units than any program has, and units of length 0', () => {
    withinSeconds(20, () => {
      const many = Buffer.concat(new Array(300_000).fill(unit(new Uint8Array())));
      assert.equal(lookup(many).problems.get('too_many_units'), 1);
      lookup(Buffer.alloc(4_000_000));
    });
  });

  test('a shape that is not there spoils one unit only', () => {
    const good = unit(Buffer.concat([functionEntry(FIRST), Buffer.of(0, 0)]));
    const bad = Buffer.from(good);
    bad[11] = 77;
    const { problems } = lookup(Buffer.concat([bad, good, bad]));
    assert.equal(problems.get('abbreviation_missing'), 2);
    assert.ok(problems.get('reference_cycle')! > 0, 'the unit between them was read');
  });
});
