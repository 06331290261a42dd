/** Ticks during which the kernel leaves our program out, as another one is at work, are known. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { expectTally } from '../harness/expect.ts';
import { buildProgram } from '../harness/programs.ts';
import { record } from '../harness/record.ts';

const folder = mkdtempSync(join(tmpdir(), 'swallowed-'));
after(() => rmSync(folder, { recursive: true, force: true }));

async function swallowed(
  ...more: string[]
): Promise<{ share: number; time: number; text: string }> {
  const file = join(folder, 'share');
  const command = [buildProgram('swallow'), '2', file, ...more];
  const recording = await record({ hz: 997, command });
  expectTally(recording);
  const { taken, lost } = recording.tally;
  const text = `${JSON.stringify(recording.tally)}, ${readFileSync(file, 'utf8')}`;
  assert.ok(taken > 1_000, text);
  return { share: (lost.swallowed ?? 0) / taken, time: Number(readFileSync(file, 'utf8')), text };
}

// 2,000 ticks, half of them swallowed: a standard deviation of 1.1 %.
test('a slow BPF program of others swallows as many ticks as it takes time', async () => {
  const { share, time, text } = await swallowed();
  assert.ok(time > 0.3, text);
  assert.ok(Math.abs(share - time) < 0.1, text);
});

test('without such a program none are swallowed', async () => {
  const { share, text } = await swallowed('bare');
  assert.ok(share < 0.01, text);
});
