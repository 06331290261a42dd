import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pause } from '../harness/record.ts';

/** As `main.ts` of the zoo and of the soak do it: prints the pids. */
const RUN = `
  import { startAgent } from '${join(import.meta.dirname, '..', 'harness', 'agent.ts')}';
  import { Cages } from '${join(import.meta.dirname, 'cage.ts')}';
  const folder = process.argv[1];
  const cages = new Cages();
  const agent = await startAgent(folder, {});
  const load = cages.start(['sleep', '600'], { cwd: folder });
  console.log(agent.pid + ' ' + load.pid);
  setInterval(() => {}, 1000);
`;

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} to a run ends its agent and its programs`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'interrupted-'));
    const run = spawn(process.execPath, ['--input-type=module', '--eval', RUN, folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(run, 'exit');
    let printed = '';
    for await (const chunk of run.stdout) {
      printed += String(chunk);
      if (!printed.endsWith('\n')) continue;
      run.kill(signal);
      break;
    }
    await ended;
    const pids = printed.trim().split(' ').map(Number);
    assert.equal(pids.length, 2, printed);
    // A test that fails here is ended by the limit of all tests.
    for (const pid of pids) while (existsSync(`/proc/${pid}`)) await pause(50);
    rmSync(folder, { recursive: true });
  });
}
