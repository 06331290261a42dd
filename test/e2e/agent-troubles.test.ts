/** An agent whose surroundings fail it goes on, says so, and is well again afterwards. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type LogLine, startAgent } from '../harness/agent.ts';
import { CLI, pause } from '../harness/record.ts';

const CONFIGURATION = { profile: { interval: '1s' } };

function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'flametap-troubles-'));
  context.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Waits for a line of a log that is being written. */
async function lineAfter(
  log: readonly LogLine[],
  from: number,
  wanted: (line: LogLine) => boolean,
): Promise<LogLine> {
  for (;;) {
    const found = log.slice(from).find(wanted);
    if (found) return found;
    await pause(50);
  }
}

const isProfile = ({ msg, taken }: LogLine): boolean => msg === 'profile' && Number(taken) > 0;

test('without a free descriptor the agent goes on, tells it, and recovers', async (context) => {
  const agent = await startAgent(temporaryFolder(context), CONFIGURATION);
  context.after(() => agent.stop());
  await lineAfter(agent.log, 0, isProfile);
  const limit = (files: string) =>
    execFileSync('prlimit', ['--pid', `${agent.pid}`, `--nofile=${files}`]);
  const usual = /Max open files +(\d+)/.exec(
    readFileSync(`/proc/${agent.pid}/limits`, 'latin1'),
  )![1];
  // The soft limit: whatever it closes, none of the numbers that become free is below it.
  limit('3:');
  const told = await lineAfter(agent.log, 0, ({ msg }) => msg.includes('is tried again'));
  assert.match(told.msg, /looking for CPUs that come and go failed.*EMFILE/);
  // Accepting a connection takes a descriptor too.
  for (let i = 0; i < 5; i++) {
    const socket = connect(Number(new URL(agent.url).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.destroy();
  }
  const during = agent.log.length;
  await lineAfter(agent.log, during, isProfile);
  await lineAfter(agent.log, during + 2, isProfile);
  limit(`${usual}:`);
  await lineAfter(agent.log, agent.log.length, isProfile);
  const metrics = await (await fetch(new URL('metrics', agent.url))).text();
  assert.match(metrics, /flametap_retries_total\{work="follow_cpus"\} [1-9]/);
  assert.match(metrics, /flametap_samples_lost_total\{reason="ring_full"\} 0/);
  assert.equal(await agent.stop(), 0);
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

/** Profiles made so far, as the agent's metrics have them; 0 while it does not answer. */
async function profiles(port: number): Promise<number> {
  try {
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return Number(/^flametap_profiles_total (\d+)/m.exec(metrics)?.[1] ?? 0);
  } catch {
    return 0;
  }
}

test('a log that nobody reads does not hold sampling up', async (context) => {
  const pipe = join(temporaryFolder(context), 'pipe');
  execFileSync('mkfifo', [pipe]);
  const end = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
  context.after(() => closeSync(end));
  // Full, but for less than a line.
  for (const size of [4096, 1]) {
    try {
      for (;;) writeSync(end, Buffer.alloc(size, '\n'));
    } catch {
      // No more room.
    }
  }
  const port = await freePort();
  const given = openSync(pipe, constants.O_WRONLY);
  const child: ChildProcess = spawn(
    CLI,
    ['agent', '--listen', `127.0.0.1:${port}`, '--interval', '500ms'],
    { stdio: ['ignore', 'ignore', given] },
  );
  closeSync(given);
  context.after(() => child.kill('SIGKILL'));
  const closed = once(child, 'exit');
  while ((await profiles(port)) < 5) await pause(100);
  // Somebody reads again: nothing that waited is missing.
  let text = '';
  let isTold = false;
  const chunk = Buffer.alloc(1 << 16);
  while (!text.includes('SIGTERM: stopping')) {
    try {
      text += chunk.toString('latin1', 0, readSync(end, chunk));
    } catch {
      // A second one would end it at once.
      if (!isTold && (text.match(/"profile"/g) ?? []).length >= 5) isTold = child.kill('SIGTERM');
      await pause(50);
    }
  }
  assert.match(text, /sampling at 99 Hz/);
  assert.doesNotMatch(text, /dropped/);
  assert.equal((await closed)[0], 0);
});
