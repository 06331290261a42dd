/** What V8 says of itself: real releases of Node, a program that plays V8, strangers' files. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { BlockCache } from '../elf/block-cache.ts';
import { FileSource } from '../elf/file-source.ts';
import { GnuSymbols } from '../elf/gnu-symbols.ts';
import { ElfImage } from '../elf/image.ts';
import { MemorySource, ParseError } from '../elf/source.ts';
import { noTls, type TlsPlace } from './carrier-layout.ts';
import { type NodeRuntime, nodeRuntime } from './node-runtime.ts';
import { nodeCarrier } from './node-search.ts';

const SEED = 2026;
const folder = mkdtempSync(join(tmpdir(), 'flametap-node-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const FAKE = join(import.meta.dirname, '../../test/programs/node-context/fake-v8.c');

function build(name: string, flags: readonly string[]): Uint8Array {
  const path = join(folder, name);
  execFileSync('gcc', ['-O1', '-rdynamic', ...flags, '-o', path, FAKE], { stdio: 'pipe' });
  return readFileSync(path);
}

const parse = (bytes: Uint8Array): ElfImage => ElfImage.parse(new MemorySource(bytes));

test('this Node states its layout, and where a thread has its isolate', () => {
  const source = new FileSource(openSync(process.execPath, 'r'), new BlockCache(16));
  const image = ElfImage.parse(source);
  const runtime = nodeRuntime(image);
  assert.ok(typeof runtime === 'object');
  // JS_MAP_TYPE of V8 13.6; its header: kContinuationPreservedEmbedderDataOffset = 632.
  assert.equal(runtime.mapType, 2112);
  assert.equal(runtime.continuation, 632);
  const symbols = execFileSync('readelf', ['-sW', process.execPath], {
    encoding: 'latin1',
    maxBuffer: 1 << 28,
  });
  const [, value] = /([0-9a-f]{16}) +8 TLS .*_ZN2v88internal18g_current_isolate_E$/m.exec(symbols)!;
  const block = image.segments.find(({ type }) => type === 7)!;
  const size = Math.ceil(block.memorySize / block.align) * block.align;
  assert.equal(runtime.isolate, Number.parseInt(value!, 16) - size);
  source.close();
});

test('a program that states the same is read, one that states another layout is not', () => {
  const program = build('fake', []);
  assert.deepEqual(nodeRuntime(parse(program)), { mapType: 2112, isolate: 0, continuation: 0 });
  const { find, write } = dataOf(program);
  for (const [name, value] of [
    ['v8dbg_SmiShiftSize', 0], // compressed pointers
    ['v8dbg_class_JSObject__elements__Object', 8],
    ['v8dbg_type_JSMap__JS_MAP_TYPE', 0x10000],
  ] as const) {
    const changed = Uint8Array.from(program);
    write(changed, find(name), value);
    assert.equal(nodeRuntime(parse(changed)), 'v8_layout_foreign', name);
  }
});

test('other files are no Node', () => {
  const libc = execFileSync('gcc', ['-print-file-name=libc.so.6'], { encoding: 'utf8' }).trim();
  assert.equal(nodeRuntime(parse(readFileSync(libc))), undefined);
  assert.equal(nodeRuntime(parse(build('bare', ['-static']))), undefined);
});

test('mutated files end in an answer that makes sense, or a ParseError', () => {
  const program = build('fake', []);
  const { sections } = parse(program);
  const places = sections
    .filter(({ name }) => ['.gnu.hash', '.dynsym', '.dynstr', '.dynamic', '.data'].includes(name))
    .map(({ offset, size }) => ({ offset: Number(offset), size }));
  const mutation = fc.record({
    place: fc.constantFrom(...places),
    at: fc.oneof(fc.nat(64), fc.nat()),
    value: fc.oneof(fc.constantFrom(0, 0xff, 0x7f, 1), fc.nat(255)),
  });
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 16 }), (mutations) => {
      const bytes = Uint8Array.from(program);
      for (const { place, at, value } of mutations) bytes[place.offset + (at % place.size)] = value;
      try {
        expectSane(nodeRuntime(parse(bytes)));
      } catch (error) {
        assert.ok(error instanceof ParseError, String(error));
      }
    }),
    { seed: SEED, numRuns: 500 },
  );
});

test('of two libraries the one with ids is read; one that is not whole is not', () => {
  const runtime: NodeRuntime = { mapType: 2112, isolate: -160, continuation: 632 };
  const at = (offset: number): TlsPlace => ({ ...noTls, kind: 'static', offset });
  const context = nodeCarrier(runtime, at(-600), at(-32), at(-24));
  assert.ok(typeof context === 'object');
  assert.deepEqual([context.layout.form, context.place.offset], ['thread_context', -600]);
  const labels = nodeCarrier(runtime, noTls, at(-32), at(-24));
  assert.ok(typeof labels === 'object');
  assert.deepEqual(labels.layout, { form: 'custom_labels', ...runtime, hash: 8 });
  assert.equal(nodeCarrier(runtime, noTls, at(-32), undefined), 'node_labels_incomplete');
  const elsewhere: TlsPlace = { ...noTls, kind: 'dynamic', module: 5, offset: 8 };
  assert.equal(nodeCarrier(runtime, noTls, at(-32), elsewhere), 'node_labels_incomplete');
  const unknown = { ...runtime, continuation: 0 };
  assert.equal(nodeCarrier(unknown, noTls, at(-32), at(-24)), 'v8_isolate_unknown');
  assert.ok(typeof nodeCarrier(unknown, at(-600), noTls, undefined) === 'object');
});

function expectSane(runtime: ReturnType<typeof nodeRuntime>): void {
  if (typeof runtime !== 'object') return;
  assert.ok(runtime.mapType > 0 && runtime.mapType <= 0xffff);
  assert.ok(runtime.isolate <= 0 && runtime.isolate > -(2 ** 31));
  assert.ok(runtime.continuation >= 0 && runtime.continuation <= 0xffff);
}

/** Access to the numbers that a program exports. */
function dataOf(program: Uint8Array): {
  find: (name: string) => number;
  write: (bytes: Uint8Array, address: number, value: number) => void;
} {
  const image = parse(program);
  const symbols = GnuSymbols.of(image)!;
  return {
    find: (name) => symbols.find(name)!.value,
    write(bytes, address, value) {
      const segment = image.segments.find(
        (one) => one.type === 1 && address >= one.address && address < one.address + one.fileSize,
      )!;
      const offset = segment.offset + address - segment.address;
      new DataView(bytes.buffer).setInt32(offset, value, true);
    },
  };
}
