import assert from 'node:assert/strict';
import {
  closeSync,
  copyFileSync,
  fstatSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, describe, test } from 'node:test';
import { deflateSync, zstdCompressSync } from 'node:zlib';
import { BlockCache } from '../elf/block-cache.ts';
import { ParseError } from '../elf/source.ts';
import { compile, openImage, scratchDirectory } from '../elf/testdata/programs.ts';
import { DebugFile } from './debug-file.ts';
import { Problems } from './problems.ts';
import { SECTION_LIMITS, type SectionContext, type SectionLimits } from './section-file.ts';
import { SpoolWriter, spoolFile } from './spool.ts';
import { run } from './testing.ts';

const scratch = scratchDirectory();
after(() => scratch.remove());

/** Large enough that compression pays for every section. */
const SOURCE = `${Array.from(
  { length: 400 },
  (_, i) => `struct a_rather_long_name_${i} { int with_members_${i}; } value_${i};`,
).join('\n')}\nint main(void) { return 0; }`;
const plain = compile(scratch.path, 'plain', SOURCE, ['-g']);

function opened(file: string, limits: Partial<SectionLimits> = {}): [DebugFile, SectionContext] {
  const context: SectionContext = {
    problems: new Problems(),
    cache: new BlockCache(),
    limits: { ...SECTION_LIMITS, ...limits },
    used: { memory: 0, disk: 0 },
  };
  return [DebugFile.open(openSync(file, 'r'), file, context), context];
}

/** Contents of a section as objcopy gives them. */
function expected(name: string): Buffer {
  const image = openImage(plain);
  const { offset, size } = image.section(name)!;
  return readFileSync(plain).subarray(offset, offset + size);
}

function contents(file: DebugFile, name: string): Buffer | undefined {
  const source = file.sections.section(name);
  return source && Buffer.from(source.read(0, source.size));
}

const counts = ({ problems }: SectionContext) => Object.fromEntries(problems.counts);

/** The plain program with its .debug_info replaced by a compressed section that claims `size` bytes. */
function claiming(kind: number, size: number, payload: Uint8Array): string {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(kind, 0);
  header.writeBigUInt64LE(BigInt(size), 8);
  header.writeBigUInt64LE(1n, 16);
  const contents = join(scratch.path, 'contents');
  writeFileSync(contents, Buffer.concat([header, payload]));
  const file = join(scratch.path, `claiming-${kind}-${size}-${payload.length}`);
  run('objcopy', `--update-section=.debug_info=${contents}`, plain, file);
  const { sections } = openImage(file);
  const index = sections.findIndex(({ name }) => name === '.debug_info');
  const bytes = readFileSync(file);
  const at = Number(bytes.readBigUInt64LE(40)) + index * 64 + 8;
  bytes.writeBigUInt64LE(bytes.readBigUInt64LE(at) | 0x800n, at);
  writeFileSync(file, bytes);
  return file;
}

describe('sections of debug files', () => {
  for (const kind of ['none', 'zlib', 'zlib-gnu', 'zstd']) {
    for (const inMemoryBytes of [0, 1 << 30]) {
      const where = inMemoryBytes === 0 ? 'a file' : 'memory';
      test(`compressed by ${kind} they are the same as uncompressed, through ${where}`, async () => {
        const file = join(scratch.path, kind);
        copyFileSync(plain, file);
        if (kind !== 'none') {
          run('objcopy', `--compress-debug-sections=${kind}`, file);
          assert.ok(statSync(file).size < statSync(plain).size - 10_000);
        }
        const [debug, context] = opened(file, { inMemoryBytes });
        await debug.sections.prepare();
        for (const name of ['.debug_info', '.debug_str', '.debug_line', '.debug_abbrev']) {
          assert.ok(contents(debug, name)?.equals(expected(name)), name);
        }
        assert.equal(contents(debug, '.debug_nothing'), undefined);
        assert.deepEqual(counts(context), {});
        const { memory, disk } = context.used;
        assert.equal(disk > 0, kind !== 'none' && inMemoryBytes === 0);
        assert.equal(memory > 0, kind !== 'none' && inMemoryBytes > 0);
        debug.close();
      });
    }
  }

  test('without preparation a section above the limit of memory is refused, others are not', () => {
    const file = join(scratch.path, 'limited');
    run('objcopy', '--compress-debug-sections=zlib', plain, file);
    const size = expected('.debug_info').length;
    const [debug, context] = opened(file, { memoryBytes: size - 1 });
    assert.equal(contents(debug, '.debug_info'), undefined);
    assert.ok(contents(debug, '.debug_abbrev')?.equals(expected('.debug_abbrev')));
    assert.deepEqual(counts(context), { section_too_big: 1 });
    debug.close();
  });

  const big = Buffer.alloc(3 << 20, 'flametap');
  const lies: [string, number, number, Uint8Array, string][] = [
    [
      'zlib with more in it than claimed',
      1,
      big.length - 1,
      deflateSync(big),
      'section_compression',
    ],
    ['zlib with less', 1, big.length + 1, deflateSync(big), 'section_compression'],
    ['zstd with more', 2, big.length - 1, zstdCompressSync(big), 'section_compression'],
    ['zstd with less', 2, big.length + 1, zstdCompressSync(big), 'section_compression'],
    ['a cut stream', 1, big.length, deflateSync(big).subarray(0, 2000), 'section_compression'],
    ['no stream at all', 2, big.length, Buffer.alloc(5000, 1), 'section_compression'],
    ['an absurd size', 2, 2 ** 45, zstdCompressSync(big), 'section_too_big'],
    ['more than deflate can do', 1, 50 << 20, deflateSync(big), 'section_compression'],
    ['an unknown kind', 9, big.length, big, 'section_compression'],
    ['a bomb', 2, 1000, zstdCompressSync(Buffer.alloc(200 << 20)), 'section_compression'],
  ];
  for (const [what, kind, size, payload, reason] of lies) {
    test(`${what} is counted, whether it goes to memory or to a file`, async () => {
      const file = claiming(kind, size, payload);
      for (const inMemoryBytes of [0, 2 ** 46]) {
        const [debug, context] = opened(file, { inMemoryBytes });
        await debug.sections.prepare();
        assert.ok(contents(debug, '.debug_info') === undefined);
        assert.deepEqual(counts(context), { [reason]: 1 });
        assert.ok(contents(debug, '.debug_abbrev')?.equals(expected('.debug_abbrev')));
        debug.close();
      }
    });
  }

  test('a bomb takes no more room on the disk than it claimed', async () => {
    const fd = spoolFile([scratch.path], 1000);
    const chunks = Readable.from(Array.from({ length: 100 }, () => Buffer.alloc(300)));
    await assert.rejects(pipeline(chunks, new SpoolWriter(fd, 1000)), ParseError);
    assert.equal(fstatSync(fd).size, 900);
    closeSync(fd);
  });

  test('a folder without room, or that is not there, is no place for sections', async () => {
    const file = join(scratch.path, 'no-space');
    run('objcopy', '--compress-debug-sections=zlib', plain, file);
    const [debug, context] = opened(file, { inMemoryBytes: 0, folders: ['/nowhere', '/proc'] });
    await debug.sections.prepare();
    assert.equal(contents(debug, '.debug_info'), undefined);
    assert.deepEqual([...context.problems.counts.keys()], ['debug_no_space']);
    debug.close();
  });
});
