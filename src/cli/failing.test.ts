/** An agent that cannot go on, and warnings of Node. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';

const main = join(import.meta.dirname, 'stand-in-main.test-support.ts');

async function agent(context: TestContext, behaviour: string, isTime: (text: string) => boolean) {
  const folder = mkdtempSync(join(tmpdir(), 'flametap-failing-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const child = spawn(
    process.execPath,
    [main, 'agent', '--listen', '127.0.0.1:0', '--interval', '1h', '--write-pprof', folder],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, FLAMETAP_STAND_IN: behaviour } },
  );
  let text = '';
  let isTold = false;
  child.stderr.setEncoding('utf8').on('data', (data: string) => {
    text += data;
    // A second one could come when nobody listens any more.
    if (!isTold && isTime(text)) isTold = child.kill('SIGTERM');
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, lines: text.trimEnd().split('\n'), files: readdirSync(folder) };
}

for (const [behaviour, words] of [
  ['throw', /nobody expected this/],
  ['fail', /the rings are gone/],
] as const) {
  test(`an agent that cannot go on (${behaviour}) delivers what it has, says why, and exits with 1`, async (context) => {
    const { code, lines, files } = await agent(context, behaviour, () => false);
    assert.equal(code, 1, lines.join('\n'));
    const told = lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
    const why = told.find(({ msg }) => msg === 'the agent cannot go on: stopping');
    assert.match(why?.error ?? '', words);
    assert.ok(files.length >= 1, 'the last profile was written');
    assert.match(lines.join('\n'), /flametap: the agent could not go on/);
  });
}

test("Node's warnings are lines of the log", async (context) => {
  const { code, lines } = await agent(context, 'warn', (text) => text.includes('a name is'));
  assert.equal(code, 0);
  const told = lines.map((line) => JSON.parse(line));
  const warning = told.find(({ msg }) => msg === 'Node.js warns: a name is an address');
  assert.deepEqual(
    [warning?.level, warning?.name, warning?.code],
    [40, 'DeprecationWarning', 'DEP0123'],
  );
});
