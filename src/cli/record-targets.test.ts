import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkTargets, missingTarget } from './record-targets.ts';

const none = { pid: [], comm: undefined, cgroup: undefined };

test('a name that nothing has: the nearest one is told, and what else a program is called', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'flametap-targets-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const program = join(folder, 'zebra-server');
  copyFileSync('/bin/sleep', program);
  const child = spawn(program, ['60']);
  context.after(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  // The name comes with exec(2).
  while (readFileSync(`/proc/${child.pid}/comm`, 'utf8') !== 'zebra-server\n')
    await new Promise(setImmediate);
  assert.equal(missingTarget({ ...none, comm: 'zebra-server' }), undefined);
  assert.equal(
    missingTarget({ ...none, comm: 'zebra-sever' }),
    "--comm: no process is named 'zebra-sever'; did you mean 'zebra-server'?",
  );
  assert.equal(
    missingTarget({ ...none, comm: 'zebra' }),
    "--comm: no process is named 'zebra'; did you mean 'zebra-server'?",
  );
  const other = missingTarget({ ...none, comm: 'qqq' });
  assert.match(other ?? '', /^--comm: no process is named 'qqq'; there are '/);
});

test('a program under another name', async (context) => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], {
    argv0: 'giraffe',
  });
  context.after(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  const comm = () => readFileSync(`/proc/${child.pid}/comm`, 'utf8').trim();
  const named = () => readFileSync(`/proc/${child.pid}/cmdline`, 'utf8').startsWith('giraffe');
  while (!named()) await new Promise(setImmediate);
  const said = missingTarget({ ...none, comm: 'giraffe' });
  assert.match(said ?? '', /the program 'giraffe' runs under the name '/);
  assert.ok(comm() !== 'giraffe');
});

test('a process that has ended, and a cgroup that is not there', async () => {
  const child = spawn('/bin/true');
  await once(child, 'exit');
  const pid = [child.pid!];
  assert.throws(() => checkTargets({ ...none, pid }), {
    message: /^--pid: no process \d+ is running; pgrep finds one/,
  });
  assert.match(missingTarget({ ...none, pid }) ?? '', /ended before anything was sampled/);
  assert.equal(missingTarget({ ...none, pid: [process.pid] }), undefined);
  assert.equal(missingTarget(none), undefined);
  assert.throws(() => checkTargets({ ...none, cgroup: '/sys/fs/cgroup/nowhere' }), {
    message: /^--cgroup: there is no cgroup \/sys\/fs\/cgroup\/nowhere .*systemd-cgls/,
  });
});
