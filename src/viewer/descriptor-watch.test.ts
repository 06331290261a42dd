import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ask } from './ask.test-support.ts';

const MAIN = fileURLToPath(new URL('./out-of-descriptors-main.test-support.ts', import.meta.url));
/** Lower than what is open: nothing can be opened, not even in place of what is closed. */
const FEWEST = 3;

const nofile = (pid: number, ...args: string[]): string =>
  execFileSync('prlimit', [`--pid=${pid}`, ...args], { encoding: 'utf8' }).trim();

test('without a free descriptor the loop rests and that is told; with one the page answers again', async () => {
  const child = spawn(process.execPath, [MAIN], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await lines.next()).value!);
  try {
    const { port } = await next();
    const before = nofile(child.pid!, '--nofile', '--noheadings', '--output=SOFT');
    nofile(child.pid!, `--nofile=${FEWEST}:`);
    const waiting = connect(port, '127.0.0.1');
    waiting.on('error', () => {});
    await once(waiting, 'connect');
    child.stdin.write('go\n');
    const { told, turns } = await next();
    assert.deepEqual(told, [
      'a connection could not be accepted: no descriptor is free (EMFILE): raise the limit of open files',
    ]);
    // Without rest it turns some 10,000 times even on a busy machine.
    assert.ok(turns < 1_000, `its loop turned ${turns} times`);
    nofile(child.pid!, `--nofile=${before}:`);
    const url = `http://127.0.0.1:${port}/`;
    assert.equal((await ask(url, '/healthz')).status, 200);
    const { body } = await ask(url, '/metrics');
    assert.equal(JSON.parse(body.toString()).no_descriptor, 1);
    waiting.destroy();
  } finally {
    child.stdin.end();
    const [code] = await ended;
    assert.equal(code, 0);
  }
});
