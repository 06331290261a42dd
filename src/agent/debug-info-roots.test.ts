import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { loadAddon } from '../capture/addon.ts';
import { run } from '../debuginfo/testing.ts';
import { compile, scratchDirectory } from '../elf/testdata/programs.ts';
import { LiveHost } from '../process/host.ts';
import type { Process } from '../process/process.ts';
import { noDemangler } from '../symbolize/demangle.ts';
import { hostPid, monotonicTime, virtualAddress } from '../units/units.ts';
import type { Binary } from './binary.ts';
import { DebugInfoClient } from './debug-info-client.ts';
import { Resolver } from './resolver.ts';

const SOURCE = `#include <unistd.h>
int main(void) {
  write(1, "", 1);
  for (;;) pause();
}
`;
const PATH = '/opt/x/sleeper';
const scratch = scratchDirectory();
after(() => scratch.remove());
const endings: (() => void)[] = [];
afterEach(() => {
  for (const end of endings.splice(0)) end();
});
let roots = 0;

/** A root with a stripped program whose debug file is below that root's /usr/lib/debug. */
function newRoot(): { root: string; main: number; debug: string } {
  const root = join(scratch.path, `root${roots++}`);
  const program = join(root, PATH);
  const debug = join(root, 'usr/lib/debug/opt/x/sleeper.debug');
  for (const file of [program, debug]) mkdirSync(dirname(file), { recursive: true });
  const options = ['-g', '-static', '-Wl,--build-id=none'];
  const whole = compile(scratch.path, `sleeper${roots}`, SOURCE, options);
  const symbols = execFileSync('nm', [whole], { encoding: 'latin1' });
  run('objcopy', '--only-keep-debug', whole, debug);
  run('objcopy', '--strip-all', `--add-gnu-debuglink=${debug}`, whole, program);
  return { root, main: Number.parseInt(/^(\w+) T main$/m.exec(symbols)![1]!, 16), debug };
}

function newResolver(): Resolver {
  return new Resolver({
    host: new LiveHost(loadAddon()),
    demangle: noDemangler,
    kernel: undefined,
    maxDepth: 127,
    hasServers: false,
  });
}

/** Starts the program in a root, and lets the resolver find it as it does a process that was there before. */
async function started(resolver: Resolver, root: string) {
  const child: ChildProcess = spawn('chroot', [root, PATH]);
  endings.push(() => child.kill('SIGKILL'));
  await once(child.stdout!, 'data');
  const pid = hostPid(child.pid!);
  const startNs = new LiveHost(loadAddon()).startTime(pid)! + 1;
  const process = resolver.tracker.lookup({ pid, startNs, execId: 0 });
  return {
    process,
    binary: () => binaryOf(resolver, process),
    async end() {
      child.kill('SIGKILL');
      await once(child, 'close');
      resolver.tracker.exit(process.identity, monotonicTime(1));
    },
  };
}

function binaryOf(resolver: Resolver, process: Process): Binary {
  const mapped = process.mappings.find(({ raw }) => raw.path.endsWith(PATH))!;
  return resolver.binary(process, mapped)!;
}

/** Function and line of an address, as the debug-info thread says. */
async function named(binary: Binary, address: number): Promise<string | undefined> {
  const file = binary.debugInfo;
  if (!file) return undefined;
  const client = new DebugInfoClient();
  endings.push(() => client.close());
  file.occurred(virtualAddress(address), false);
  await client.ask([file]);
  const line = file.take(virtualAddress(address))?.lines[0];
  return line && `${line.name}:${line.line}`;
}

test('Debug files in another root are found for a process that was there before', async () => {
  const { root, main } = newRoot();
  const resolver = newResolver();
  const { binary } = await started(resolver, root);
  assert.equal(await named(binary(), main), 'main:2');
});

test('They are found also when the process has ended, or one that never was looked at', async () => {
  const { root, main } = newRoot();
  for (const isLooked of [true, false]) {
    const resolver = newResolver();
    const first = await started(resolver, root);
    if (isLooked) first.binary();
    await first.end();
    if (isLooked) {
      assert.equal(await named(first.binary(), main), 'main:2');
      continue;
    }
    const binary = first.binary();
    assert.equal(binary.debugInfo, undefined, 'nobody knows the root');
    const second = await started(resolver, root);
    assert.equal(second.binary(), binary);
    assert.equal(await named(binary, main), 'main:2');
  }
});
