import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { copyWithNewBuildId } from './new-binary.ts';
import { buildProgram, programNames, readReports } from './programs.ts';
import { execute } from './record.ts';

const folder = mkdtempSync(join(tmpdir(), 'programs-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

// Programs in other languages leave their chains to the tests; a sleeper has none worth telling.
const SILENT = new Set([
  'crab',
  'deep-go',
  'fake-v8',
  'inlined',
  'inlined-rs',
  'process-context',
  'sleeper',
  'self-dump',
]);

// These do what their tests tell them: they need lines on stdin, a file system
// or a folder of their own.
const LED_BY_THEIR_TESTS = new Set(['faulty-fs', 'late-forks', 'swallow', 'vfork-loop']);

for (const name of programNames()) {
  // Every program builds; all but those led by their tests end by themselves and tell their
  // chain and CPU time.
  test(`program ${name}`, async () => {
    const path = buildProgram(name);
    assert.equal(buildProgram(name), path, 'built once');
    if (LED_BY_THEIR_TESTS.has(name)) return;
    const reports = join(folder, name);
    const first = name === 'self-dump' ? join(folder, 'dump') : name === 'brief' ? '100' : '0.1';
    const run = await execute([path, first], { TEST_REPORT: reports });
    assert.equal(run.code, 0, run.stderr);
    const [report] = readReports(reports);
    assert.equal(report === undefined, SILENT.has(name));
    if (report === undefined) return;
    assert.ok(report.chains.length > 0 && report.chains.every((chain) => chain.length > 0));
    assert.ok(report.cpuNs > 50e6 && report.cpuNs < 2e9, `${report.cpuNs} ns`);
  });
}

// A copy with another build id runs, and differs from the original in nothing else.
test('new binaries', () => {
  const original = buildProgram('brief');
  const copies = [1, 2].map((seed) => join(folder, `copy${seed}`));
  const ids = [original, ...copies].map((path, seed) => {
    if (seed > 0) copyWithNewBuildId(original, path, seed);
    execFileSync(path, ['1']);
    return /Build ID: ([0-9a-f]{40})/.exec(execFileSync('readelf', ['-n', path]).toString())?.[1];
  });
  assert.equal(new Set(ids).size, 3);
  const [before, after] = [readFileSync(original), readFileSync(copies[0]!)];
  const changed = before.reduce((sum, byte, at) => sum + (byte === after[at] ? 0 : 1), 0);
  assert.ok(changed <= 20, `${changed} bytes differ`);
});

// A program that does not build says why.
test('compiler errors are shown', () => {
  assert.throws(
    () =>
      buildProgram('frames', { optimize: 7 as 3, libc: 'no-such' as 'static' }) &&
      buildProgram('nothing'),
    /no test program is called nothing/,
  );
});
