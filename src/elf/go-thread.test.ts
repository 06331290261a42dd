import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { before, test } from 'node:test';
import { readGoBuildInfo } from './go-buildinfo.ts';
import { buildGoSelf, openGo, temporaryDirectory } from './go-testing.ts';
import { goThreadLayout } from './go-thread.ts';

let directory: string;
before(() => {
  directory = temporaryDirectory();
});

test('the offsets are those of the debug information', () => {
  const path = buildGoSelf(directory);
  const { image, functions } = openGo(path);
  const layout = goThreadLayout(image, functions);
  assert.ok(typeof layout === 'object');
  const [m, curg, g0, sched, sp, pc, bp] = execFileSync(path, ['layout'], { encoding: 'utf8' })
    .trim()
    .split(' ')
    .map(Number);
  assert.deepEqual(layout, {
    gOffset: -8,
    m,
    curg,
    g0,
    schedSp: sched! + sp!,
    schedPc: sched! + pc!,
    schedBp: sched! + bp!,
  });
});

test('g is found in position-independent and C-linked programs, never guessed in libraries', () => {
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
  assert.equal(goThreadLayout(library.image, library.functions), 'go_tls_dynamic');
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
