import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, renameSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { compile, openImage, scratchDirectory } from '../elf/testdata/programs.ts';
import { DebugCache } from './debug-cache.ts';
import { Debuginfod, debuginfodServers } from './debuginfod.ts';
import { hostRoot, linkFile, run, searchAll, separate } from './testing.ts';

const scratch = scratchDirectory();
const served = join(scratch.path, 'served');
let server: ChildProcess;
let url: string;

/** debuginfod wants a number: one that was free a moment ago. */
async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** Waits until the server has found a file. */
async function indexed(buildId: string): Promise<void> {
  for (;;) {
    assert.equal(server.exitCode, null, 'debuginfod has ended');
    const answer = await fetch(`${url}/buildid/${buildId}/debuginfo`).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function idle(client: Debuginfod): Promise<void> {
  while (client.running > 0) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Searches until nothing is being downloaded any more. */
async function searchPatiently(program: string, client: Debuginfod) {
  for (let rounds = 1; ; rounds++) {
    const found = await searchAll(program, program, hostRoot(), client);
    if (found.search.awaited.size === 0) return { ...found, rounds };
    found.search.close();
    await idle(client);
  }
}

describe('a server of elfutils', () => {
  before(async () => {
    mkdirSync(served);
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const options = ['-d', ':memory:', '-p', String(port), '-t', '1', '-g', '0', '-F', served];
    server = spawn('debuginfod', options, { stdio: 'ignore' });
  });
  after(async () => {
    server.kill();
    if (server.exitCode === null) await new Promise((resolve) => server.once('exit', resolve));
    scratch.remove();
  });

  test('gives the debug file of a stripped program, and the supplement that dwz made of it', async () => {
    const types = Array.from(
      { length: 60 },
      (_, i) => `struct shared_${i} { int m_${i}; } v_${i};`,
    );
    const programs = ['a', 'b'].map((name) =>
      compile(
        scratch.path,
        name,
        [...types, `int main(void) { return sizeof "${name}"; }`].join('\n'),
        ['-g', '-gdwarf-4', '-Wl,--build-id'],
      ),
    );
    const common = join(scratch.path, 'common.debug');
    run('dwz', '-m', common, ...programs);
    const [program] = programs as [string, string];
    const { buildId } = openImage(program);
    const size = openImage(program).section('.debug_info')!.size;
    separate(program, join(scratch.path, 'a.debug'));
    for (const name of ['a.debug', 'common.debug'])
      renameSync(join(scratch.path, name), join(served, name));
    const supplementId = openImage(join(served, 'common.debug')).buildId;
    await indexed(buildId);
    await indexed(supplementId);

    const cache = new DebugCache(join(scratch.path, 'cache'), linkFile);
    const client = new Debuginfod(debuginfodServers([], url), cache, () => undefined);
    const { search, candidates, problems, rounds } = await searchPatiently(program, client);
    assert.deepEqual(
      candidates.map(({ kind, sections }) => [kind, sections?.section('.debug_info')?.size]),
      [
        ['symbols', undefined],
        ['debuginfod', size],
      ],
    );
    assert.ok(candidates[1]!.companions.supplement()?.section('.debug_str'));
    assert.deepEqual(problems, {});
    // The program's file is known to be wanted first, then that file's supplement.
    assert.equal(rounds, 3);
    search.close();

    assert.equal(client.request('00112233445566778899'), 'pending');
    await idle(client);
    assert.equal(client.request('00112233445566778899'), undefined);
    client.close();
    cache.close();
  });
});
