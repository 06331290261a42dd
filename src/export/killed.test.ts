import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { FolderRefused, openQueueFolder } from './queue-folder.ts';

const RUNS = 100;
const OTHER_USER = 65534;
const scratch = mkdtempSync(join(tmpdir(), 'flametap-queue-'));
after(() => rmSync(scratch, { recursive: true }));

/** An agent's lines, until it ends or is killed after so many of them. */
async function agent(
  folder: string,
  first: number,
  mode: string,
  lines: number,
): Promise<string[]> {
  const script = join(import.meta.dirname, 'killed-main.test-support.ts');
  const child = spawn(process.execPath, [script, folder, String(first), mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // Starting is most of what a run takes: the second starts faster than the first.
    env: { ...process.env, NODE_COMPILE_CACHE: join(scratch, 'compiled') },
  });
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  let text = '';
  let isDoomed = false;
  for await (const chunk of child.stdout.setEncoding('utf8')) {
    text += chunk;
    if (isDoomed || text.split('\n').length <= lines) continue;
    isDoomed = true;
    setTimeout(() => child.kill('SIGKILL'), Math.random() * 3);
  }
  const [code, signal] = await ended;
  assert.deepEqual([code, signal], isDoomed ? [null, 'SIGKILL'] : [0, null]);
  return text.split('\n').slice(0, -1);
}

function numbers(lines: readonly string[], word: string): number[] {
  const found = lines.filter((line) => line.startsWith(word));
  return found.map((line) => Number(line.slice(word.length)));
}

test(`agents killed at any point, ${RUNS} times: everything accepted arrives, in order`, async () => {
  const folder = join(scratch, 'killed');
  mkdirSync(folder);
  // Only one that ends by itself leaves what it compiled.
  assert.deepEqual(await agent(folder, 0, 'drain', Number.POSITIVE_INFINITY), []);
  const accepted: number[] = [];
  const arrived: number[] = [];
  const damaged: string[] = [];
  let first = 0;
  for (let run = 0; run <= RUNS; run++) {
    const mode = run === RUNS ? 'drain' : String(run % 2 === 1);
    const most = run === RUNS ? Number.POSITIVE_INFINITY : 5 + ((run * 37) % 60);
    const lines = await agent(folder, first, mode, most);
    accepted.push(...numbers(lines, 'accepted '));
    arrived.push(...numbers(lines, 'arrived '));
    damaged.push(...lines.filter((line) => line.startsWith('queue')));
    first = Math.max(first, ...accepted) + 10;
  }
  const different = new Set(arrived);
  const inOrder = [...different].toSorted((a, b) => a - b);
  assert.deepEqual([...different], inOrder);
  const missing = accepted.filter((number) => !different.has(number));
  assert.deepEqual(missing, [], damaged.join('\n'));
  assert.ok(accepted.length > RUNS);
  assert.ok(arrived.length - different.size <= RUNS, 'one repeat for each death, at most');
});

describe('the folder of a queue', () => {
  test('is one agent’s; the next has it as soon as that one is gone', () => {
    const path = join(scratch, 'shared');
    const folder = openQueueFolder(path);
    assert.throws(() => openQueueFolder(path), { message: new RegExp(`process ${process.pid}`) });
    folder.close();
    openQueueFolder(path).close();
  });

  test('is refused when it belongs to somebody else, or others can write to it', () => {
    const path = join(scratch, 'foreign');
    mkdirSync(path);
    chownSync(path, OTHER_USER, OTHER_USER);
    assert.throws(() => openQueueFolder(path), /belongs to user 65534/);
    assert.throws(() => openQueueFolder(join(path, 'below')), /belongs to user 65534/);
    chownSync(path, process.getuid!(), process.getgid!());
    chmodSync(path, 0o777);
    assert.throws(() => openQueueFolder(path), /others can write/);
  });

  test('that cannot be made is refused in words', () => {
    writeFileSync(join(scratch, 'file'), '');
    assert.throws(() => openQueueFolder(join(scratch, 'file', 'queue')), FolderRefused);
    assert.throws(() => openQueueFolder('/proc/flametap/queue'), FolderRefused);
  });
});
