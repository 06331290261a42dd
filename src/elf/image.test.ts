import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { deflateSync, zstdCompressSync } from 'node:zlib';
import { fileOffset, virtualAddress } from '../units/units.ts';
import { ElfImage } from './image.ts';
import { MemorySource, ParseError } from './source.ts';
import { compile, openImage, scratchDirectory } from './testdata/programs.ts';

const scratch = scratchDirectory();
after(() => scratch.remove());

const SOURCE = 'int main(void) { return 0; }';
const parse = (bytes: Uint8Array): ElfImage => ElfImage.parse(new MemorySource(bytes));
const refusal = (reason: string) => (error: unknown) =>
  error instanceof ParseError && error.reason === reason;

describe('ElfImage of real files', () => {
  for (const file of [
    realpathSync('/lib/x86_64-linux-gnu/libc.so.6'),
    realpathSync('/usr/lib/x86_64-linux-gnu/libcrypto.so.3'),
    process.execPath,
  ]) {
    test(`${file}: segments, sections and build id are those of readelf`, () => {
      const image = openImage(file);
      const output = execFileSync('readelf', ['-lSnW', file], {
        maxBuffer: 64 << 20,
        stdio: ['ignore', 'pipe', 'ignore'],
      }).toString();
      assert.equal(image.buildId, /Build ID: ([0-9a-f]+)/.exec(output)?.[1] ?? '');
      const loads = [...output.matchAll(/^ +LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x(\w+)/gm)];
      assert.deepEqual(
        image.segments
          .filter(({ type }) => type === 1)
          .map(({ offset, address, fileSize, memorySize }) => [
            offset,
            address,
            fileSize,
            memorySize,
          ]),
        loads.map((match) => match.slice(1, 5).map((text) => Number.parseInt(text, 16))),
      );
      const sections = [
        ...output.matchAll(/^ +\[ *\d+\] (\S+) +\S+ +([0-9a-f]{16}) (\w+) (\w+) (\w+)/gm),
      ];
      assert.ok(sections.length > 20);
      for (const [, name, address, offset, size] of sections) {
        const section = image.sections.find((one) => one.name === name)!;
        assert.equal(section.address, Number.parseInt(address!, 16), name);
        assert.equal(section.offset, Number.parseInt(offset!, 16), name);
        assert.equal(section.size, Number.parseInt(size!, 16), name);
      }
    });
  }

  test('types: position-dependent, position-independent, object', () => {
    const types = (['-no-pie', '-pie', '-c'] as const).map((option) => {
      const image = openImage(compile(scratch.path, `type${option}`, SOURCE, [option]));
      return [image.type, image.textBase % 4096, image.textSize > 0, image.interpreter];
    });
    const linker = '/lib64/ld-linux-x86-64.so.2';
    assert.deepEqual(types, [
      ['executable', 0, true, linker],
      ['shared', 0, true, linker],
      ['relocatable', 0, false, ''],
    ]);
  });

  test('build ids of other lengths, and none', () => {
    const id = (option: string): string =>
      openImage(compile(scratch.path, 'build-id', SOURCE, [`-Wl,--build-id=${option}`])).buildId;
    assert.equal(id('0x0123456789'), '0123456789');
    assert.match(id('md5'), /^[0-9a-f]{32}$/);
    assert.equal(id('none'), '');
  });

  test('a Go build id is read from its note', () => {
    const assembly = `
      __asm__(".section .note.go.buildid,\\"a\\",@note; .balign 4;"
              ".long 4; .long 11; .long 4; .asciz \\"Go\\"; .balign 4;"
              ".ascii \\"abc/def-_12\\"; .balign 4; .text");
      ${SOURCE}`;
    const image = openImage(compile(scratch.path, 'go-note', assembly, []));
    assert.equal(image.goBuildId, 'abc/def-_12');
    assert.notEqual(image.buildId, '');
  });

  test('addresses and offsets belong together in every executable segment', () => {
    const image = openImage(process.execPath);
    for (const segment of image.segments) {
      if (segment.type !== 1 || (segment.flags & 1) === 0) continue;
      for (const distance of [0, 1, Math.floor(segment.fileSize / 2), segment.fileSize - 1]) {
        const offset = fileOffset(segment.offset + distance);
        const address = virtualAddress(segment.address + distance);
        assert.equal(image.offsetToAddress(offset), address);
        assert.equal(image.addressToOffset(address), offset);
      }
    }
    assert.equal(image.offsetToAddress(fileOffset(0x7fff_ffff_ffff)), undefined);
    assert.equal(image.addressToOffset(virtualAddress(0x7fff_ffff_ffff)), undefined);
  });

  test('the rest of the first page of a segment is mapped with it', () => {
    const image = openImage(process.execPath);
    const segment = image.segments.find(({ type, flags }) => type === 1 && (flags & 1) !== 0)!;
    const pageStart = fileOffset(segment.offset - (segment.offset % 4096));
    const mapped = image.offsetToAddress(pageStart);
    assert.equal(mapped, segment.address - (segment.offset % 4096));
    assert.ok(mapped! >= image.textBase);
  });
});

describe('compressed sections', () => {
  test('zlib and the older .zdebug form give what no compression gives', () => {
    // Long enough that the linker finds compression worth while.
    const types = Array.from({ length: 300 }, (_, n) => `struct s${n} { int a${n}; } v${n};`);
    const source = `${types.join('\n')}\n${SOURCE}`;
    const plain = compile(scratch.path, 'gz', source, ['-g']);
    const contents = (['none', 'zlib', 'zlib-gnu'] as const).map((kind) => {
      // One link, or the order of strings may differ.
      const file = `${plain}-${kind}`;
      execFileSync('objcopy', [`--compress-debug-sections=${kind}`, plain, file]);
      const image = openImage(file);
      const section = image.section('.debug_info')!;
      const view = image.view(section);
      return {
        name: section.name,
        stored: section.size,
        bytes: Uint8Array.from(view.read(0, view.size)),
      };
    });
    assert.deepEqual(
      contents.map(({ name }) => name),
      ['.debug_info', '.debug_info', '.zdebug_info'],
    );
    assert.ok(contents[1]!.stored < contents[0]!.stored / 2);
    assert.deepEqual(contents[1]!.bytes, contents[0]!.bytes);
    assert.deepEqual(contents[2]!.bytes, contents[0]!.bytes);
  });

  /** A file whose .comment holds `contents` with SHF_COMPRESSED of that kind and claimed size. */
  function withCompressed(kind: number, claimed: bigint, contents: Uint8Array): ElfImage {
    const bytes = readFileSync(compile(scratch.path, 'chdr', SOURCE, []));
    const original = parse(bytes);
    const index = original.sections.findIndex(({ name }) => name === '.comment');
    const header = Buffer.alloc(24);
    header.writeUInt32LE(kind, 0);
    header.writeBigUInt64LE(claimed, 8);
    const file = Buffer.concat([bytes, header, contents]);
    const at = Number(file.readBigUInt64LE(40)) + index * 64;
    file.writeBigUInt64LE(0x800n, at + 8);
    file.writeBigUInt64LE(BigInt(bytes.length), at + 24);
    file.writeBigUInt64LE(BigInt(24 + contents.length), at + 32);
    return parse(file);
  }

  test('zlib and zstd with an honest header', () => {
    const plain = Buffer.from('contents '.repeat(100));
    for (const [kind, packed] of [
      [1, deflateSync(plain)],
      [2, zstdCompressSync(plain)],
    ] as const) {
      const image = withCompressed(kind, BigInt(plain.length), packed);
      const view = image.view(image.section('.comment')!);
      assert.deepEqual(Buffer.from(view.read(0, view.size)), plain);
    }
  });

  test('lies about the size, unknown kinds and junk are refused without the memory they ask for', () => {
    const plain = Buffer.alloc(1 << 20);
    const cases: [number, bigint, Uint8Array, string][] = [
      [1, 1n << 40n, deflateSync(plain), 'section_too_big'],
      [2, 1n << 40n, zstdCompressSync(plain), 'section_too_big'],
      [1, 200n << 20n, deflateSync(Buffer.from('x')), 'section_compression'],
      [1, 10n, deflateSync(plain), 'section_compression'],
      [2, 10n, zstdCompressSync(plain), 'section_compression'],
      [1, 2n << 20n, deflateSync(plain), 'section_compression'],
      [3, 10n, plain, 'section_compression'],
      [1, 10n, Buffer.from('not deflated'), 'section_compression'],
    ];
    for (const [kind, claimed, contents, reason] of cases) {
      const image = withCompressed(kind, claimed, contents);
      assert.throws(() => image.view(image.section('.comment')!), refusal(reason));
    }
  });
});

describe('refusals', () => {
  const bytes = readFileSync(compile(scratch.path, 'refused', SOURCE, []));
  const changed = (at: number, ...values: number[]): Uint8Array => {
    const copy = Uint8Array.from(bytes);
    copy.set(values, at);
    return copy;
  };
  test('each with its own reason', () => {
    const cases: [string, Uint8Array][] = [
      ['not_elf', new Uint8Array()],
      ['not_elf', bytes.subarray(0, 63)],
      ['not_elf', changed(0, 0)],
      ['elf_class', changed(4, 1)],
      ['elf_byte_order', changed(5, 2)],
      ['elf_version', changed(6, 9)],
      ['elf_type', changed(16, 9)],
      ['elf_machine', changed(18, 3)],
      ['elf_segments', changed(32, 0xff, 0xff, 0xff, 0xff)],
      ['elf_segments', changed(54, 1)],
    ];
    for (const [reason, file] of cases) assert.throws(() => parse(file), refusal(reason), reason);
  });

  test('broken section headers leave the segments usable', () => {
    for (const file of [
      changed(40, 0xff, 0xff, 0xff, 0xff),
      changed(60, 0xff, 0xff),
      changed(58, 1),
    ]) {
      const image = parse(file);
      assert.equal(image.sections.length, 0);
      assert.notEqual(image.buildId, '');
      assert.ok(image.textSize > 0);
    }
  });

  test('notes that claim 4 GB end the search', () => {
    const image = parse(bytes);
    for (const { type, offset } of image.segments) {
      if (type !== 4) continue;
      const copy = Uint8Array.from(bytes);
      for (const other of image.segments) {
        if (other.type === 4) copy.fill(0xff, other.offset, other.offset + 8);
      }
      assert.ok(offset > 0);
      assert.equal(parse(copy).buildId, '');
    }
  });
});
