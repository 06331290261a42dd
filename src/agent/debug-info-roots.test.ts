import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { loadAddon } from '../capture/addon.ts';
import { noContexts } from '../context/no-contexts.test-support.ts';
import { run } from '../debuginfo/testing.ts';
import { compile, scratchDirectory } from '../elf/testdata/programs.ts';
import { LiveHost } from '../process/host.ts';
import type { Process } from '../process/process.ts';
import { PATIENT_WAIT_LIMITS } from '../process/wait-budget.ts';
import type { AddressQueries } from '../profile/address-collection.ts';
import { noDemangler } from '../symbolize/demangle.ts';
import { KernelNames } from '../symbolize/kernel-names.ts';
import { hostPid, monotonicTime, virtualAddress } from '../units/units.ts';
import type { Binary } from './binary.ts';
import { DebugInfoClient } from './debug-info-client.ts';
import { JitMaps } from './jit-maps.ts';
import { Naming } from './naming.ts';
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

function newResolver(clock?: () => number): Resolver {
  return new Resolver({
    host: new LiveHost(loadAddon(), undefined, PATIENT_WAIT_LIMITS),
    contexts: noContexts(),
    demangle: noDemangler,
    kernel: undefined,
    maxDepth: 127,
    hasServers: false,
    ...(clock && { clock }),
  });
}

/** Starts the program in a root, and lets the resolver find it as it does a process that was there before. */
async function started(resolver: Resolver, root: string) {
  const child: ChildProcess = spawn('chroot', [root, PATH]);
  endings.push(() => child.kill('SIGKILL'));
  await once(child.stdout!, 'data');
  const pid = hostPid(child.pid!);
  const startNs = new LiveHost(loadAddon(), undefined, PATIENT_WAIT_LIMITS).startTime(pid)!;
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

test('A debug file that is installed later is noticed, and names given before are replaced, once', async () => {
  const { root, main, debug } = newRoot();
  renameSync(debug, `${debug}.away`);
  let now = 1000;
  const resolver = newResolver(() => now);
  const { process } = await started(resolver, root);
  const host = new LiveHost(loadAddon(), undefined, PATIENT_WAIT_LIMITS);
  const kernelNames = new KernelNames({ kallsyms: () => [], modules: nothing, now: () => 0 });
  const naming = new Naming(resolver, kernelNames, new JitMaps(host));
  const queries: AddressQueries = {
    length: 1,
    instance: new Uint32Array(1),
    layout: new Uint32Array(1),
    low: Uint32Array.of(main),
    // Exact: no return address.
    high: Uint32Array.of(2 ** 31),
    samples: Float64Array.of(1),
  };
  const flush = async () => {
    const located = naming.locate(queries, [{ ...process.identity, comm: 0 }]);
    const client = new DebugInfoClient();
    endings.push(() => client.close());
    await client.ask([...located.files]);
    const { fresh } = naming.name(located);
    return fresh.map(({ lines }) => `${lines[0]?.name}:${lines[0]?.line}`);
  };
  assert.match((await flush()).join(), /^sleeper\+0x[0-9a-f]+:0$/);
  renameSync(`${debug}.away`, debug);
  assert.deepEqual(await flush(), [], 'not looked for at each flush');
  now += 121_000;
  assert.deepEqual(await flush(), ['main:2']);
  assert.deepEqual(await flush(), []);
  now += 1_000_000;
  assert.deepEqual(await flush(), []);
});

const nothing = (): Uint8Array => new Uint8Array();
