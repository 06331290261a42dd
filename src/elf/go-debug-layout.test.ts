import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import fc from 'fast-check';
import { goDebugLayout } from './go-debug-layout.ts';
import { GoMemory } from './go-memory.ts';
import { openGoBytes, temporaryDirectory } from './go-testing.ts';
import { goThreadLayout, runtimeLayout } from './go-thread.ts';
import { goVersion } from './go-version.ts';
import { ElfImage } from './image.ts';
import { MemorySource, ParseError } from './source.ts';

let directory: string;
before(() => {
  directory = temporaryDirectory();
});

interface Build {
  /** From the module proxy; undefined = the installed one. */
  readonly release?: string;
  readonly flags?: string;
  readonly external?: boolean;
  readonly program?: string;
}

/** Programs that do next to nothing, so that their own part is the smallest. */
const PLAIN = 'package main\n\nfunc main() { println() }\n';
const LABELLED = `package main

import (
	"context"
	"runtime/pprof"
)

func main() {
	pprof.Do(context.Background(), pprof.Labels("key", "value"), func(context.Context) {})
}
`;

function build({ release = 'local', flags = '', ...others }: Build = {}): Buffer {
  const { external = false, program = LABELLED } = others;
  const source = join(directory, 'nothing');
  mkdirSync(source, { recursive: true });
  writeFileSync(join(source, 'go.mod'), 'module nothing\n\ngo 1.17\n');
  writeFileSync(join(source, 'main.go'), program);
  const path = join(directory, 'program');
  const env = {
    ...process.env,
    CGO_ENABLED: external ? '1' : '0',
    GOFLAGS: '-buildvcs=false',
    GOTOOLCHAIN: release,
  };
  const ldflags = `${flags} ${external ? '-linkmode=external' : ''}`;
  execFileSync('go', ['build', `-ldflags=${ldflags}`, '-o', path], {
    cwd: source,
    env,
    stdio: 'pipe',
  });
  return readFileSync(path);
}

const imageOf = (bytes: Uint8Array): ElfImage => ElfImage.parse(new MemorySource(bytes));

/** The program as if a release that nobody knows had built it. */
function ofUnknownRelease(original: Buffer): Buffer {
  const image = imageOf(original);
  const version = /^go1\.\d\d/.exec(goVersion(image, new GoMemory(image))!)![0];
  const bytes = Buffer.from(original);
  for (let at = bytes.indexOf(version); at >= 0; at = bytes.indexOf(version, at)) {
    bytes.write('go1.99', at, 'latin1');
  }
  return bytes;
}

const uncompressed = (): Buffer => build({ flags: '-compressdwarf=false' });

const BUILDS: Readonly<Record<string, Build>> = {
  'the installed Go': {},
  'uncompressed sections': { flags: '-compressdwarf=false' },
  'linked by the C linker': { external: true },
  'DWARF 4': { release: 'go1.21.13' },
};

for (const [what, options] of Object.entries(BUILDS)) {
  test(`debug information says what the table says: ${what}`, () => {
    const image = imageOf(build(options));
    const layout = goDebugLayout(image);
    assert.deepEqual(layout, runtimeLayout(goVersion(image, new GoMemory(image))!));
  });
}

test('a release that nobody knows is told by its debug information; without, it is unknown', () => {
  const original = build();
  const { image, functions } = openGoBytes(original);
  const unknown = openGoBytes(ofUnknownRelease(original));
  assert.match(goVersion(unknown.image, new GoMemory(unknown.image))!, /^go1\.99/);
  const layout = goThreadLayout(unknown.image, unknown.functions);
  assert.ok(typeof layout === 'object');
  assert.deepEqual(layout, goThreadLayout(image, functions));
  const stripped = openGoBytes(ofUnknownRelease(build({ flags: '-s -w' })));
  assert.equal(goThreadLayout(stripped.image, stripped.functions), 'go_version_unknown');
});

test('labels: a program may have none; those of a release that nobody knows may be out of reach', () => {
  const plain = goDebugLayout(imageOf(build({ program: PLAIN })));
  assert.ok(typeof plain === 'object');
  assert.equal(plain.labels, 'go_labels_unused');
  const bytes = uncompressed();
  const image = imageOf(bytes);
  const { offset } = image.section('.debug_info')!;
  const map = Buffer.from('runtime/pprof.labelMap\0');
  const end = bytes.indexOf(map, offset) - offset;
  const limits = { compressed: end, decompressed: end };
  const layout = goDebugLayout(image, limits);
  assert.ok(typeof layout === 'object');
  assert.deepEqual(layout, {
    ...runtimeLayout(goVersion(image, new GoMemory(image))!),
    labels: 'go_labels_unknown',
  });
  // The pair of strings as the debug information of 1.26 and later has it.
  const set = bytes.indexOf('runtime/pprof/label.Set\0', offset);
  if (set < 0) return;
  const changed = Buffer.from(bytes);
  changed[bytes.indexOf('\0', set) + 1]! += 8;
  const refused = goDebugLayout(imageOf(changed));
  assert.ok(typeof refused === 'object');
  assert.equal(refused.labels, 'go_labels_unknown', 'of another size');
});

test('what lies behind the part that is read is too big', () => {
  const compressed = imageOf(build());
  for (const limits of [
    { compressed: 4 << 10, decompressed: 6 << 20 },
    { compressed: 512 << 10, decompressed: 4 << 10 },
  ]) {
    assert.equal(goDebugLayout(compressed, limits), 'go_layout_too_big');
  }
  const plain = imageOf(uncompressed());
  const limits = { compressed: 1, decompressed: 4 << 10 };
  assert.equal(goDebugLayout(plain, limits), 'go_layout_too_big');
});

test('structures that cannot be so, or that the kernel side cannot follow, are refused', () => {
  const original = uncompressed();
  const { offset } = imageOf(original).section('.debug_info')!;
  // Behind the type of pointers to it.
  const type = original.indexOf('runtime.g\0', original.indexOf('*runtime.g\0', offset) + 2);
  const goid = original.indexOf('goid\0', type);
  const atomicstatus = original.indexOf('atomicstatus\0', type);
  const stated = original.readUInt8(goid + 5);
  const changed = (...changes: readonly (readonly [at: number, value: number])[]) => {
    const bytes = Buffer.from(original);
    for (const [at, value] of changes) bytes[at] = value;
    return goDebugLayout(imageOf(bytes));
  };
  assert.ok(typeof changed([goid + 5, stated]) === 'object');
  assert.equal(changed([goid + 5, stated + 1]), 'go_layout_dwarf', 'not aligned');
  assert.equal(changed([goid + 6, 0x7f]), 'go_layout_dwarf', 'not in the structure');
  assert.equal(changed([goid, 0x47]), 'go_layout_dwarf', 'of another name');
  assert.equal(changed([type, 0x52]), 'go_layout_dwarf', 'no such structure');
  assert.equal(changed([goid + 5, stated + 8]), 'go_layout_unsupported', 'away from its status');
  const status = atomicstatus + 'atomicstatus\0'.length;
  // 2 * 128 + 72 = 328: the kernel side copies 320 bytes.
  const far = changed([goid + 5, 0xc8], [goid + 6, 2], [status, 0xc0], [status + 1, 2]);
  assert.equal(far, 'go_layout_unsupported', 'beyond what is copied');
});

const REASONS: readonly unknown[] = [
  undefined,
  'go_layout_dwarf',
  'go_layout_too_big',
  'go_layout_unsupported',
];

test('damaged debug information gives a reason or offsets that can be so, in bounded time', () => {
  let [refused, slowest] = [0, 0];
  for (const original of [build(), uncompressed()]) {
    const bytes = Buffer.from(original);
    const image = imageOf(original);
    const info = image.section('.debug_info')!;
    const table = image.section('.debug_abbrev')!;
    const type = original.indexOf('runtime.g\0', info.offset);
    const inside = ({ offset, size }: { offset: number; size: number }) =>
      fc.integer({ min: offset, max: offset + size - 1 });
    const change = fc.record({
      at: fc.oneof(
        inside(info),
        inside(table),
        // Headers: of compression, or of the first unit.
        inside({ offset: info.offset, size: 32 }),
        inside(type < 0 ? table : { offset: type - 32, size: 4096 }),
      ),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
    });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), (changes) => {
        original.copy(bytes);
        for (const { at, bytes: put } of changes) bytes.set(put, at);
        const damaged = imageOf(bytes);
        const start = performance.now();
        const layout = goDebugLayout(damaged);
        slowest = Math.max(slowest, performance.now() - start);
        if (typeof layout === 'object') {
          const { goid, gopc, inC, labels, ...rest } = layout;
          const words = [goid, gopc, ...Object.values(rest)];
          assert.ok(words.every((offset) => offset >= 0 && offset <= 312 && offset % 8 === 0));
          if (typeof labels === 'object') {
            assert.ok(labels.offset > 0 && labels.offset <= 368 && labels.offset % 8 === 0);
          }
          assert.ok(goid >= 8 && gopc + 24 <= 320 && inC > 0 && inC < 65536);
        } else {
          assert.ok(REASONS.includes(layout), layout);
          refused++;
        }
      }),
      { seed: 20261121, numRuns: 150 },
    );
  }
  assert.ok(refused > 50, `only ${refused} refused`);
  assert.ok(slowest < 2000, `one took ${slowest} ms`);
});

test('a file that cannot be read any more is not called broken', () => {
  const bytes = uncompressed();
  let isGone = false;
  const image = ElfImage.parse({
    size: bytes.length,
    read(offset, length) {
      if (isGone) throw new ParseError('file_changed', 'gone');
      return bytes.subarray(offset, offset + length);
    },
  });
  isGone = true;
  assert.throws(() => goDebugLayout(image), { reason: 'file_changed' });
});
