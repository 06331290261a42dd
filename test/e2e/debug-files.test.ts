/**
 * Stripped programs get their names back, whatever way their debug information
 * can be found: by debug link, in .gnu_debugdata, on a debuginfod server behind
 * another that is down.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { markerOf } from '../harness/chains.ts';
import { countOf, ofPid, pause, record } from '../harness/record.ts';

const folder = mkdtempSync(join(tmpdir(), 'debug-files-'));
const running = new Set<ChildProcess>();
after(() => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

const SOURCE = `
static __attribute__((noinline)) unsigned innermost(unsigned x) {
  for (int i = 0; i < 1000; i++) __asm__ volatile("" : "+r"(x));
  return x;
}
static __attribute__((noinline)) unsigned outer(unsigned x) {
  unsigned y = innermost(x);
  return y + 1;
}
int main(void) {
  for (unsigned x = 1;; ) {
    x = outer(x);
  }
}
`;
const LINES = { outer: 7, main: 12 };

const run = (command: string, ...args: readonly string[]): Buffer =>
  execFileSync(command, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });

function start(command: string, ...args: readonly string[]): number {
  const child = spawn(command, args, { cwd: folder, stdio: 'ignore' });
  running.add(child);
  return child.pid!;
}

/** A stripped program and the file with its debug information, which is moved away. */
function stripped(name: string): { program: string; debug: string } {
  const program = join(folder, name);
  const debug = `${program}.debug`;
  // Another text makes another build id.
  writeFileSync(join(folder, `${name}.c`), `${SOURCE}\nchar name[] = "${name}";\n`);
  run('gcc', '-g', '-O1', '-Wl,--build-id', '-o', program, `${name}.c`);
  run('objcopy', '--only-keep-debug', program, debug);
  run('strip', '-g', '-o', `${name}.symbols`, program);
  run('strip', program);
  return { program, debug };
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** A server of elfutils that has the file, and its address. */
async function serving(debug: string): Promise<string> {
  const served = join(folder, 'served');
  mkdirSync(served);
  copyFileSync(debug, join(served, 'a.debug'));
  const url = `http://127.0.0.1:${await freePort()}`;
  const port = new URL(url).port;
  start('debuginfod', '-d', ':memory:', '-p', port, '-t', '1', '-g', '0', '-F', served);
  const [, buildId] = /Build ID: (\w+)/.exec(run('readelf', '-n', debug).toString())!;
  for (;;) {
    const answer = await fetch(`${url}/buildid/${buildId}/debuginfo`).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.ok) return url;
    await pause(100);
  }
}

test('functions and lines come from a debug link, .gnu_debugdata and a server', async () => {
  const linked = stripped('linked');
  mkdirSync(join(folder, '.debug'));
  run('objcopy', '--compress-debug-sections=zlib', 'linked.debug', '.debug/linked.debug');
  run('objcopy', '--add-gnu-debuglink=.debug/linked.debug', 'linked');
  rmSync(linked.debug);

  const embedded = stripped('embedded');
  run('xz', 'embedded.symbols');
  run('objcopy', '--add-section', '.gnu_debugdata=embedded.symbols.xz', 'embedded');
  rmSync(embedded.debug);

  const remote = stripped('remote');
  const server = await serving(remote.debug);
  rmSync(remote.debug);

  const environment = {
    DEBUGINFOD_URLS: `http://127.0.0.1:${await freePort()} ${server}`,
    XDG_CACHE_HOME: join(folder, 'cache'),
  };
  const pids = [linked, embedded, remote].map(({ program }) => start(program));
  await pause(300);
  const options = ['--duration', '3s', ...pids.flatMap((pid) => ['--pid', String(pid)])];
  const recording = await record({ hz: 499, options, environment });
  for (const [i, hasLines] of [true, false, true].entries()) {
    const samples = ofPid(recording, pids[i]!);
    assert.ok(countOf(samples) > 20, `${countOf(samples)} samples`);
    // A first sample on a busy machine may come without its stack, and says so.
    const whole = samples.filter((sample) => markerOf(sample) === undefined);
    assert.ok(countOf(whole) >= 0.98 * countOf(samples) - 1, `${countOf(whole)} whole`);
    for (const { stack } of whole) {
      const frames = stack.filter(({ module }) => module.startsWith(folder));
      const names = frames.map(({ name }) => name);
      // A sample may fall between two calls.
      const expected = ['innermost', 'outer', 'main', '_start'];
      assert.deepEqual(names, expected.slice(-names.length));
      for (const [at, name] of [
        [names.length - 3, 'outer'],
        [names.length - 2, 'main'],
      ] as const) {
        // Of the leaf any line of the function is right.
        if (at <= 0) continue;
        assert.equal(frames[at]!.line, hasLines ? LINES[name] : 0, JSON.stringify(frames[at]));
      }
    }
  }
  const cached = readdirSync(join(folder, 'cache/flametap/debuginfo'));
  assert.equal(cached.filter((name) => name.endsWith('.debug')).length, 1);
});
