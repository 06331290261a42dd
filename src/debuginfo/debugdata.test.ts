import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { MemorySource, ParseError } from '../elf/source.ts';
import { compile, openImage, scratchDirectory } from '../elf/testdata/programs.ts';
import { ElfSymbols } from '../symbolize/elf-symbols.ts';
import { virtualAddress } from '../units/units.ts';
import { decompressXz } from './lzma.ts';
import { SECTION_LIMITS } from './section-file.ts';
import { hostRoot, run, searchAll } from './testing.ts';

const scratch = scratchDirectory();
after(() => scratch.remove());

const xz = (content: Uint8Array, ...options: string[]): Buffer =>
  execFileSync('xz', ['-c', ...options], { input: content, maxBuffer: 256 << 20 });
const decompress = (bytes: Uint8Array, maximum = 1 << 20): Uint8Array =>
  decompressXz(new MemorySource(bytes), maximum);
const refusal = (reason: string) => (error: unknown) =>
  error instanceof ParseError && error.reason === reason;

/** As Fedora's find-debuginfo does: the symbols that .dynsym has not, compressed, in a section. */
function withDebugdata(
  name: string,
  change: (compressed: Buffer) => Buffer = (same) => same,
): string {
  const source = `${Array.from(
    { length: 50 },
    (_, i) => `static __attribute__((noinline)) int hidden_${i}(int x) { return x * ${i}; }`,
  ).join('\n')}
int main(int n, char **v) { return ${Array.from({ length: 50 }, (_, i) => `hidden_${i}(n)`).join('+')}; }`;
  const program = compile(scratch.path, name, source, ['-g', '-O1']);
  const mini = join(scratch.path, `${name}.mini`);
  run(
    'objcopy',
    '-S',
    '--remove-section',
    '.gdb_index',
    '--remove-section',
    '.comment',
    '--only-keep-debug',
    program,
    `${mini}.debug`,
  );
  run('strip', '--keep-file-symbols', '-g', '-o', mini, program);
  const data = join(scratch.path, `${name}.xz`);
  writeFileSync(data, change(xz(readFileSync(mini))));
  run('strip', '--strip-all', program);
  run('objcopy', '--add-section', `.gnu_debugdata=${data}`, program);
  return program;
}

describe('.gnu_debugdata', () => {
  test('the embedded symbols name every function of a stripped program', async () => {
    const program = withDebugdata('mini');
    const { search, candidates, problems } = await searchAll(program, program, hostRoot());
    assert.deepEqual(
      candidates.map(({ kind, sections }) => [kind, sections]),
      [
        ['symbols', undefined],
        ['debugdata', undefined],
      ],
    );
    assert.deepEqual(problems, {});
    assert.equal(openImage(program).section('.symtab'), undefined);
    const symbols = ElfSymbols.read(candidates[1]!.image, () => '');
    const listing = execFileSync('nm', [join(scratch.path, 'mini.mini')]).toString();
    const functions = [...listing.matchAll(/^(\w+) t (hidden_\d+)$/gm)];
    assert.equal(functions.length, 50);
    for (const [, address, name] of functions) {
      const lines = symbols.lookup(virtualAddress(Number.parseInt(address!, 16) + 1));
      assert.equal(lines?.[0]?.name, name);
    }
    search.close();
  });

  test('broken contents are counted, and the program is searched on', async () => {
    const cases: [string, (compressed: Buffer) => Buffer, string][] = [
      ['cut', (data) => data.subarray(0, data.length - 50), 'xz_data'],
      ['flipped', (data) => Buffer.from(data).fill(0xff, 2000, 2010), 'xz_data'],
      ['no-elf', () => xz(Buffer.alloc(5000, 'no elf')), 'not_elf'],
      ['empty', () => xz(Buffer.alloc(0)), 'not_elf'],
      ['bomb', () => xz(Buffer.alloc(80 << 20)), 'xz_too_big'],
    ];
    for (const [name, change, reason] of cases) {
      const program = withDebugdata(name, change);
      const { search, candidates, problems } = await searchAll(program, program, hostRoot());
      assert.deepEqual(
        candidates.map(({ kind }) => kind),
        ['symbols'],
        name,
      );
      assert.deepEqual(problems, { [reason]: 1 }, name);
      search.close();
    }
  });

  test('its size is limited', async () => {
    const program = withDebugdata('limited');
    const limits = { sections: SECTION_LIMITS, debugdataBytes: 10_000 };
    const { search, problems } = await searchAll(program, program, hostRoot(), undefined, limits);
    assert.deepEqual(problems, { xz_too_big: 1 });
    search.close();
  });
});

describe('liblzma', () => {
  test('gives back what xz compressed, whatever the size and preset', () => {
    for (const size of [0, 1, 4096, 300_001]) {
      const content = Buffer.from(Array.from({ length: size }, (_, i) => (i * i) % 251));
      for (const preset of ['-0', '-6', '-9e', '--block-size=1000', '--check=sha256']) {
        assert.ok(content.equals(decompress(xz(content, preset))), `${size} ${preset}`);
      }
    }
  });

  test('a file that needs much memory, or holds more than its index says, is refused', () => {
    const content = Buffer.alloc(1000, 'text');
    assert.throws(() => decompress(xz(content, '--lzma2=dict=512MiB')), refusal('xz_memory'));
    assert.throws(() => decompress(xz(content), 999), refusal('xz_too_big'));
    // The index of a smaller file at the end of a larger one.
    const large = xz(Buffer.alloc(100_000));
    const small = xz(Buffer.alloc(10));
    const lying = Buffer.concat([large.subarray(0, -36), small.subarray(-36)]);
    assert.throws(() => decompress(lying), refusal('xz_data'));
  });

  test('a damaged file without contents is refused too', () => {
    const bytes = xz(Buffer.alloc(0));
    assert.equal(decompress(bytes).length, 0);
    bytes[8]! ^= 1;
    assert.throws(() => decompress(bytes), refusal('xz_data'));
  });

  test('damaged files do nothing but be refused', () => {
    const whole = xz(
      Buffer.from('some text, again and again. '.repeat(3000)),
      '--block-size=20000',
    );
    let accepted = 0;
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, value, cut) => {
        const bytes = Buffer.from(whole);
        bytes[at] = value;
        for (const each of [bytes, bytes.subarray(cut), bytes.subarray(0, cut)]) {
          try {
            decompress(each);
            accepted++;
          } catch (error) {
            assert.ok(error instanceof ParseError, String(error));
          }
        }
      }),
      { seed: 4, numRuns: 500 },
    );
    assert.ok(accepted < 100, `${accepted} of 1500 were taken for good`);
  });

  test('threads that used it end without harm, as do those after them', () => {
    const script = `
      import { Worker } from 'node:worker_threads';
      for (let i = 0; i < 3; i++) {
        const source = \`
          const { decompressXz } = await import(${JSON.stringify(import.meta.resolve('./lzma.ts'))});
          const { MemorySource } = await import(${JSON.stringify(import.meta.resolve('../elf/source.ts'))});
          const { workerData } = await import('node:worker_threads');
          const bytes = Buffer.from(workerData, 'base64');
          for (let n = 0; n < 2; n++) {
            console.log(Buffer.from(decompressXz(new MemorySource(bytes), 1e6)).toString());
          }\`;
        const url = new URL('data:text/javascript,' + encodeURIComponent(source));
        const worker = new Worker(url, { workerData: process.argv[1] });
        await new Promise((resolve) => worker.once('exit', resolve));
      }`;
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      ['--input-type=module', '-e', script, xz(Buffer.from('text')).toString('base64')],
      { encoding: 'utf8' },
    );
    assert.equal(stdout, 'text\n'.repeat(6), stderr);
    assert.deepEqual([status, signal], [0, null]);
  });

  test('without the library, or without ffi-rs, there is a reason and no more', () => {
    const script = `
      import { registerHooks } from 'node:module';
      const { decompressXz } = await import(${JSON.stringify(import.meta.resolve('./lzma.ts'))});
      const { MemorySource } = await import(${JSON.stringify(import.meta.resolve('../elf/source.ts'))});
      const { readFileSync } = await import('node:fs');
      if (process.argv[1] === 'library') {
        const { createRequire } = await import('node:module');
        const ffi = createRequire(${JSON.stringify(import.meta.url)})('ffi-rs');
        const open = ffi.open;
        ffi.open = ({ library }) => open({ library, path: 'libmissing.so.5' });
      } else {
        registerHooks({ resolve: (name, context, next) => next(name === 'ffi-rs' ? 'gone-ffi' : name, context) });
      }
      try {
        decompressXz(new MemorySource(readFileSync(0)), 1e6);
      } catch (error) {
        console.log(error.name, error.reason);
      }`;
    for (const what of ['library', 'module']) {
      const { stdout, stderr } = spawnSync(
        process.execPath,
        ['--input-type=module', '-e', script, what],
        { input: xz(Buffer.from('text')) },
      );
      assert.equal(stdout.toString(), 'ParseError liblzma_missing\n', stderr.toString());
    }
  });
});
