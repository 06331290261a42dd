import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { readGoBuildInfo } from './go-buildinfo.ts';
import { GoMemory } from './go-memory.ts';
import { buildGoSelf, openGo, openGoBytes, temporaryDirectory } from './go-testing.ts';
import { goThreadLayout, runtimeLayout } from './go-thread.ts';
import { goVersion } from './go-version.ts';
import { ElfImage } from './image.ts';
import { MemorySource } from './source.ts';

let directory: string;
before(() => {
  directory = temporaryDirectory();
});

test('the offsets are those of the debug information', () => {
  const path = buildGoSelf(directory);
  const { image, functions } = openGo(path);
  const layout = goThreadLayout(image, functions);
  assert.ok(typeof layout === 'object');
  const [m, curg, g0, sched, sp, pc, bp, goid, status, gopc, startpc, gsignal, inC, labels] =
    execFileSync(path, ['layout'], { encoding: 'utf8' }).trim().split(' ').map(Number);
  assert.deepEqual(layout, {
    gOffset: -8,
    gSlot: 0,
    m,
    curg,
    g0,
    schedSp: sched! + sp!,
    schedPc: sched! + pc!,
    schedBp: sched! + bp!,
    goid,
    gopc,
    gsignal,
    inC,
    labels: { offset: labels, form: 'slice' },
  });
  assert.deepEqual([status, startpc], [goid! - 8, gopc! + 16], 'as the kernel side takes them');
});

/** By minor version, as DWARF says of the first and last releases from Go's module proxy. */
const MEASURED: Readonly<Record<string, readonly number[]>> = {
  // curg, sched.bp, goid, gopc, gsignal, isExtraInC, labels
  'go1.16.15': [192, 104, 152, 280, 80, 0, 344],
  'go1.17.13': [192, 104, 152, 296, 80, 0, 360],
  'go1.18.10': [192, 104, 152, 296, 80, 0, 360],
  'go1.19.13': [192, 104, 152, 296, 80, 0, 360],
  'go1.20.14': [192, 104, 152, 296, 80, 0, 360],
  'go1.21': [192, 104, 152, 280, 80, 282, 344],
  'go1.21.13': [192, 104, 152, 280, 80, 282, 344],
  'go1.22.0': [192, 104, 152, 280, 80, 282, 344],
  'go1.22.12': [192, 104, 152, 280, 80, 282, 344],
  'go1.23.4': [192, 104, 160, 288, 80, 282, 352],
  'go1.23.12 X:nocoverageredesign': [192, 104, 160, 288, 80, 282, 352],
  'go1.24.11': [192, 104, 160, 288, 80, 282, 352],
  'go1.25.1': [184, 96, 152, 280, 72, 274, 344],
  'go1.25.5': [184, 96, 152, 280, 72, 274, 344],
  'go1.26.8': [184, 96, 152, 288, 72, 282, 352],
  'go1.27rc2': [184, 96, 152, 288, 72, 282, 352],
  'go1.27.0': [184, 96, 152, 288, 72, 282, 352],
};

test('releases are told apart, and what is none of them is not guessed', () => {
  for (const [version, offsets] of Object.entries(MEASURED)) {
    const layout = runtimeLayout(version);
    assert.ok(layout, version);
    const { curg, schedBp, goid, gopc, gsignal, inC, labels } = layout;
    assert.ok(typeof labels === 'object');
    const found = [curg, schedBp, goid, gopc, gsignal, inC, labels.offset];
    assert.deepEqual(found, offsets, version);
    assert.equal(labels.form, /^go1\.(1|2[0-3])/.test(version) ? 'map' : 'slice', version);
    assert.deepEqual([layout.m, layout.g0, layout.schedSp, layout.schedPc], [48, 0, 56, 64]);
  }
  for (const version of [
    'go1.15.15',
    'go1.28',
    'go2.0',
    '',
    'devel go1.27-0123456789 Thu Jan 1',
    'go1.27-devel_0123456789',
    'go1.270',
    'unknown',
  ]) {
    assert.equal(runtimeLayout(version), undefined, version);
  }
});

test('a binary without build information is told by the runtime\u2019s own variable', () => {
  const image = ElfImage.parse(new MemorySource(withoutBuildInfo(buildGoSelf(directory))));
  assert.equal(readGoBuildInfo(image), undefined);
  const version = execFileSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' }).trim();
  assert.equal(goVersion(image, new GoMemory(image)), version);
  const stripped = buildGoSelf(directory, { stripped: true });
  const silent = openGoBytes(withoutBuildInfo(stripped));
  assert.equal(goThreadLayout(silent.image, silent.functions), 'go_version_unknown');
});

/** The file with its build information overwritten. */
function withoutBuildInfo(path: string): Uint8Array {
  const bytes = readFileSync(path);
  const magic = Buffer.from('\xff Go buildinf:', 'latin1');
  for (let at = bytes.indexOf(magic); at >= 0; at = bytes.indexOf(magic, at))
    bytes.fill(0, at, at + 14);
  return bytes;
}

test('g is found in position-independent and C-linked programs; in libraries where the loader says it', () => {
  for (const build of [
    { mode: 'pie', stripped: true },
    { external: true },
    { external: true, mode: 'pie' },
  ] as const) {
    const { image, functions } = openGo(buildGoSelf(directory, build));
    const layout = goThreadLayout(image, functions);
    assert.ok(typeof layout === 'object' && layout.gOffset === -8, JSON.stringify(build));
  }
  const library = openGo(buildGoSelf(directory, { mode: 'c-shared' }));
  const layout = goThreadLayout(library.image, library.functions);
  assert.ok(typeof layout === 'object' && layout.gOffset === 0);
  const relocation = new GoMemory(library.image).threadRelocation(layout.gSlot);
  assert.ok(relocation, 'no word that the loader fills');
});

test('release and module are what `go version -m` prints', () => {
  for (const build of [{}, { mode: 'pie', stripped: true }] as const) {
    const path = buildGoSelf(directory, build);
    const info = readGoBuildInfo(openGo(path).image);
    const [head, ...lines] = execFileSync('go', ['version', '-m', path], { encoding: 'utf8' })
      .trimEnd()
      .split('\n');
    assert.equal(`${path}: ${info?.version}`, head);
    assert.equal(info?.modules.trimEnd(), lines.map((line) => line.slice(1)).join('\n'));
    assert.equal(info?.minor, Number(/go1\.(\d+)/.exec(head!)![1]));
  }
});
