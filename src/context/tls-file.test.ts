/** Files and memory of strangers: wrong and huge numbers, cut and mutated tables. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { ElfImage, type Section, type Segment, SegmentType } from '../elf/image.ts';
import { MemorySource, ParseError } from '../elf/source.ts';
import type { TlsPlace } from './carrier-layout.ts';
import { type TlsFile, type TlsSlot, tlsFile } from './tls-file.ts';
import { GLIBC_STEP, type MappedTls, tlsPlace } from './tls-place.ts';

const folder = mkdtempSync(join(tmpdir(), 'flametap-tls-file-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const VARIABLE = join(import.meta.dirname, 'testdata/variable.c');
const SEED = 2026;

function build(name: string, args: readonly string[]): Uint8Array {
  const path = join(folder, name);
  execFileSync('gcc', ['-O2', '-o', path, ...args, VARIABLE], { stdio: 'pipe' });
  return readFileSync(path);
}

const library = build('library.so', ['-shared', '-fPIC', '-mtls-dialect=gnu2']);
const old = build('old.so', ['-shared', '-fPIC', '-Wl,--hash-style=sysv', '-nostdlib']);
const movable = build('movable', ['-fPIE', '-pie', '-nostdlib', '-Wl,-e,place']);

const parse = (bytes: Uint8Array): ElfImage => ElfImage.parse(new MemorySource(bytes));

/** What makes sense at most; whether the variable was found. */
function exercise(bytes: Uint8Array): boolean {
  let file: TlsFile | undefined;
  try {
    file = tlsFile(parse(bytes));
  } catch (error) {
    assert.ok(error instanceof ParseError, String(error));
    return false;
  }
  if (file === undefined) return false;
  assert.ok(file.slots.length <= 128 && file.variables.size <= 5);
  for (const { address, addend } of file.slots) {
    assert.ok(Number.isSafeInteger(address) && address >= 0 && Number.isSafeInteger(addend));
  }
  for (const value of file.variables.values()) assert.ok(Number.isSafeInteger(value) && value >= 0);
  expectSane(tlsPlace('otel_thread_ctx_v1', [{ file, slide: 0 }], GLIBC_STEP, () => undefined));
  return file.variables.has('otel_thread_ctx_v1');
}

function expectSane(place: TlsPlace | undefined): void {
  if (place === undefined || place.kind === 'none') return;
  const { kind, offset, module, generation } = place;
  assert.ok(Number.isInteger(offset) && Math.abs(offset) < 2 ** 31);
  assert.ok(kind === 'static' ? offset < 0 && module === 0 : offset >= 0 && module > 0);
  assert.ok(Number.isInteger(module) && module < 2 ** 16);
  assert.ok(Number.isInteger(generation) && generation >= 0 && generation < 2 ** 32);
}

describe('real files', () => {
  test('what they have', () => {
    const found = tlsFile(parse(library))!;
    assert.deepEqual([found.isProgram, found.labelsVersion], [false, 1]);
    assert.deepEqual([...found.variables.keys()].sort(), [
      'custom_labels_current_set',
      'otel_thread_ctx_v1',
    ]);
    assert.ok(found.slots.every(({ kind }) => kind === 'descriptor'));
    assert.ok(tlsFile(parse(old))!.slots.some(({ kind }) => kind === 'module'));
    assert.ok(tlsFile(parse(movable))!.isProgram);
  });

  // Looked at for each binary of the machine: nothing may be read but its table of symbols.
  test('a file without any of the variables costs a look at its symbols', () => {
    const libc = readFileSync('/lib/x86_64-linux-gnu/libc.so.6');
    let bytes = 0;
    const source = new MemorySource(libc);
    const image = ElfImage.parse({
      size: source.size,
      read: (offset, length) => {
        bytes += length;
        return source.read(offset, length);
      },
    });
    bytes = 0;
    assert.equal(tlsFile(image), undefined);
    const symbols = image.section('.dynsym')!.size;
    assert.ok(bytes < symbols + 4096, `${bytes} bytes read, ${symbols} of symbols`);
  });
});

describe('mutated files', () => {
  type Mutation = readonly [where: number, kind: number, value: number];
  const mutation: fc.Arbitrary<Mutation> = fc.tuple(
    fc.nat(0xffffffff).map((value) => value / 2 ** 32),
    fc.nat(3),
    fc.nat(0xffffffff),
  );
  const EXTREMES = [2n ** 64n - 1n, 2n ** 63n, 2n ** 53n, 2n ** 31n, 0n];

  function mutated(original: Uint8Array, mutations: readonly Mutation[], part: Part): Buffer {
    const bytes = Buffer.from(original);
    for (const [where, kind, value] of mutations) {
      const at = part.start + Math.floor(where * Math.max(part.size - 8, 1));
      if (at + 8 > bytes.length) continue;
      if (kind === 0) bytes[at]! ^= 1 << (value & 7);
      else if (kind === 1) bytes.writeUInt32LE(value, at);
      else if (kind === 2) bytes.writeBigUInt64LE(EXTREMES[value % EXTREMES.length]!, at & ~7);
      else bytes.copyWithin(at, part.start + (value % part.size), part.start + part.size);
    }
    return bytes;
  }

  interface Part {
    readonly start: number;
    readonly size: number;
  }
  const range = ({ offset, ...part }: Section | Segment): Part => ({
    start: offset,
    size: 'size' in part ? part.size : part.fileSize,
  });
  const headers: Part = { start: 0, size: 64 + 56 * 11 };
  for (const [name, original] of Object.entries({ library, old, movable })) {
    const image = parse(original);
    const parts: [string, Part][] = [
      ['headers', headers],
      ...['.dynamic', '.dynsym', '.dynstr', '.rela.dyn', '.rela.plt', '.symtab', '.strtab']
        .map((part) => image.section(part))
        .filter((section) => section !== undefined)
        .map((section): [string, Part] => [section.name, range(section)]),
      ['anywhere', { start: 0, size: original.length }],
    ];
    for (const [part, place] of parts) {
      test(`${name}, ${part}: only ParseErrors, numbers that can be`, () => {
        let found = 0;
        fc.assert(
          fc.property(fc.array(mutation, { minLength: 1, maxLength: 6 }), (mutations) => {
            if (exercise(mutated(original, mutations, place))) found++;
          }),
          { seed: SEED, numRuns: 300 },
        );
        assert.ok(part === 'headers' || found > 10, `${found} of 300 files still say something`);
      });
    }
  }

  test('cut anywhere', () => {
    for (let length = 0; length < library.length; length += 61) {
      exercise(library.subarray(0, length));
    }
  });

  // 100,000 thread-local variables, whose names have no end.
  test('made to be slow', () => {
    const symbol = Buffer.alloc(24);
    symbol.writeUInt32LE(1, 0);
    symbol[4] = 0x16;
    symbol[6] = 1;
    const symbols = Buffer.concat(Array.from({ length: 100_000 }, () => symbol));
    const names = Buffer.alloc(1 << 20, 'otel_thread_ctx_');
    const long = Buffer.concat([Buffer.from(library), symbols, names]);
    const dynamic = parse(library).section('.dynamic')!;
    const first = parse(library).segments.find(({ type }) => type === SegmentType.Load)!;
    assert.equal(first.address, 0);
    for (let at: number = dynamic.offset; at < dynamic.offset + dynamic.size; at += 16) {
      const tag = Number(long.readBigUInt64LE(at));
      // What follows the library is in its first segment, which is made that long.
      const value = { 5: library.length + symbols.length, 6: library.length, 10: names.length }[
        tag
      ];
      if (value !== undefined) long.writeBigUInt64LE(BigInt(value), at + 8);
    }
    for (let at = 64; at < 64 + 56 * 11; at += 56) {
      if (long.readUInt32LE(at) === 1 && long.readBigUInt64LE(at + 8) === 0n) {
        long.writeBigUInt64LE(BigInt(long.length), at + 32);
      }
    }
    const before = process.cpuUsage();
    exercise(long);
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 2e6, `${user + system} µs`);
  });
});

describe('memory of strangers', () => {
  const slot = fc.record<TlsSlot>({
    kind: fc.constantFrom('descriptor', 'module', 'offset'),
    address: fc.constantFrom(0, 0x1000, 0x2000),
    name: fc.constantFrom('otel_thread_ctx_v1', ''),
    addend: fc.constantFrom(0, 16, -8, Number.MAX_SAFE_INTEGER),
  });
  const file = fc.record<TlsFile>({
    isProgram: fc.boolean(),
    blockToPointer: fc.constantFrom(0, 64, 2 ** 40),
    variables: fc
      .constantFrom(0, 8, 2 ** 50)
      .map((value) => new Map([['otel_thread_ctx_v1' as const, value]])),
    slots: fc.array(slot, { maxLength: 4 }),
    labelsVersion: fc.constant(0),
  });
  const words = fc.array(
    fc.oneof(
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.constantFrom(0n, 1n, 8n, 0x1000n, 2n ** 64n - 8n, 2n ** 63n),
    ),
    { minLength: 1, maxLength: 6 },
  );

  test('any words: a place that can be, or none', () => {
    let found = 0;
    fc.assert(
      fc.property(fc.array(file, { maxLength: 3 }), words, (files, memory) => {
        let at = 0;
        const read = (_address: number, length: number): Uint8Array | undefined => {
          const bytes = new BigUint64Array(length / 8);
          for (let i = 0; i < bytes.length; i++) bytes[i] = memory[at++ % memory.length]!;
          return at % 7 === 6 ? undefined : new Uint8Array(bytes.buffer);
        };
        const mapped = files.map((each): MappedTls => ({ file: each, slide: 0x1000 }));
        const place = tlsPlace('otel_thread_ctx_v1', mapped, GLIBC_STEP, read);
        expectSane(place);
        if (place !== undefined && place.kind !== 'none') found++;
      }),
      { seed: SEED, numRuns: 3000 },
    );
    assert.ok(found > 300, `${found} places`);
  });

  const made = (...contents: bigint[]) => new Uint8Array(BigUint64Array.from(contents).buffer);
  const offering = (kind: TlsSlot['kind']): MappedTls => ({
    slide: 0,
    file: {
      isProgram: false,
      blockToPointer: 0,
      variables: new Map([['otel_thread_ctx_v1', 24]]),
      slots: [{ kind, address: 0x1000, name: 'otel_thread_ctx_v1', addend: 0 }],
      labelsVersion: 0,
    },
  });
  const placeWith = (kind: TlsSlot['kind'], memory: Record<number, Uint8Array>) =>
    tlsPlace('otel_thread_ctx_v1', [offering(kind)], GLIBC_STEP, (address) => memory[address]);

  test('words that the loader has not filled in are looked at again later', () => {
    for (const kind of ['descriptor', 'module', 'offset'] as const) {
      assert.equal(placeWith(kind, { 4096: made(0n, 0n) }), undefined);
      assert.equal(placeWith(kind, {}), undefined);
    }
  });

  // glibc before 2.34: until the first call the argument is the relocation's address.
  test('a descriptor that is bound at its first use, before and after', () => {
    const lazy = { 4096: made(0x7000n, 0x5000n), 20480: made(0x1000n, (3n << 32n) | 36n, 0n) };
    assert.equal(placeWith('descriptor', lazy), undefined);
    const bound = { 4096: made(0x7100n, 0x6000n), 24576: made(5n, 24n, 9n) };
    const { kind, module, offset, generation } = placeWith('descriptor', bound)!;
    assert.deepEqual([kind, module, offset, generation], ['dynamic', 5, 24, 9]);
  });
});
