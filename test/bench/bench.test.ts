import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { execute } from '../harness/record.ts';
import { counterNames } from './meter.ts';
import { type Figure, fitLine, formatTable, verdict } from './table.ts';
import { timed } from './timed-command.ts';

// Aims in both directions, and figures that could not be taken.
test('verdicts', () => {
  const cost: Figure = { what: 'w', unit: 'µs', atMost: 6.5, stretch: 5 };
  assert.equal(verdict({ ...cost, ours: 4.9 }), 'stretch');
  assert.equal(verdict({ ...cost, ours: 6 }), 'yes');
  assert.equal(verdict({ ...cost, ours: 7 }), 'NO');
  assert.equal(verdict(cost), '');
  const share: Figure = { what: 'w', unit: '%', atLeast: 99, stretch: 100, ours: 99.5 };
  assert.equal(verdict(share), 'yes');
  assert.equal(verdict({ ...share, ours: 98 }), 'NO');
  const table = formatTable([{ ...cost, ours: 6, peer: 12, peerName: 'other' }]);
  assert.match(table, /w +µs +6\.00 +≤ 6\.50 +5\.00 +yes +12\.0 other +0\.50/);
});

// A line through exact points is found again.
test('the slope is fitted', () => {
  const line = fitLine([30, 60, 90].map((x) => ({ x, y: 1800 + 32 * x })))!;
  assert.ok(Math.abs(line.slope - 32) < 1e-9 && Math.abs(line.fixed - 1800) < 1e-6);
  assert.equal(fitLine([{ x: 1, y: 1 }]), undefined);
});

// The counters are read by the names that the kernel side gives them.
test('counter names come from the header', () => {
  const names = counterNames();
  assert.deepEqual(names.slice(0, 5), ['ticks', 'idle', 'out_of_scope', 'sent', 'deferred']);
  assert.ok(names.includes('user_frames') && names.includes('ring_full'));
});

// CPU time of children is counted, not wall time.
test('commands are timed', async () => {
  const busy = await timed("i=0; sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'");
  assert.ok(busy.cpuSeconds >= 0.05, `${busy.cpuSeconds} s`);
  const asleep = await timed('sleep 0.3; false');
  assert.ok(asleep.cpuSeconds < 0.1 && asleep.wallSeconds >= 0.3);
  assert.equal(asleep.code, 1);
});

// One second of the real thing: the peers, which need nothing of ours.
test('a short run measures the peers', { timeout: 120_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'bench-test-'));
  try {
    const output = join(folder, 'bench.json');
    const options = ['--only', 'peers-alone', '--seconds', '1', '--output', output];
    const main = join(import.meta.dirname, 'main.ts');
    const run = await execute([process.execPath, main, ...options]);
    assert.equal(run.code, 0, run.stderr);
    const { figures } = JSON.parse(readFileSync(output, 'utf8')) as { figures: Figure[] };
    assert.equal(figures.length, 6);
    const perSample = figures[0]!.peer!;
    assert.ok(perSample > 0.2 && perSample < 100, `${perSample} µs`);
    assert.match(run.stdout, /bpf_get_stack/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
