/** capture.scope.exclude: who is left out is not sampled, everybody else is. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { startProfiler } from '../../src/agent/profiler.ts';
import { unifiedMounts } from '../../src/capture/cgroup.ts';
import type { ProfilerOptions } from '../../src/cli/profiler-seam.ts';
import type { Profile } from '../../src/profile/model.ts';
import { whenUsed } from '../harness/cpu-time.ts';
import { buildProgram } from '../harness/programs.ts';
import { pause } from '../harness/record.ts';

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

function start(command: string, ...args: string[]): number {
  const child = spawn(command, args, { stdio: 'ignore' });
  children.push(child);
  return child.pid!;
}

type Exclude = NonNullable<ProfilerOptions['scope']['exclude']>;

async function profileWithout(
  exclude: Partial<Exclude>,
  during = async () => {},
): Promise<Profile> {
  const profiler = await startProfiler({
    hz: 199,
    scope: {
      // Ours only: what else the machine does would cost time.
      pids: children.map(({ pid }) => pid!),
      followChildren: true,
      exclude: { pids: [], comms: [], cgroupPaths: [], ...exclude },
    },
    threads: false,
    kernelStacks: true,
    maxDepth: 1024,
    ringBytes: 1 << 20,
    labels: [],
    symbols: { debuginfodUrls: [], cacheDir: '', maxCacheBytes: 1 << 20 },
    steady: true,
  });
  await during();
  // All that run would have had some 60 samples each.
  await whenUsed(running(), 0.3);
  return profiler.stop();
}

/** Those of ours that use the CPU. */
const running = (): number[] =>
  children.filter(({ spawnfile }) => spawnfile !== 'sh').map(({ pid }) => pid!);

/** Samples by process. */
function counts({ samples, processes, tally }: Profile): Map<number, number> {
  const found = new Map<number, number>();
  for (let row = 0; row < samples.length; row++) {
    const { pid } = processes[samples.process[row]!]!;
    found.set(pid, (found.get(pid) ?? 0) + samples.count[row]!);
  }
  const lost = Object.values(tally.lost).reduce((sum, count) => sum + count, 0);
  assert.equal(tally.taken, tally.exported + lost, 'what is left out is not taken');
  return found;
}

test('by name: several, and no longer or shorter ones', async () => {
  const chain = start(buildProgram('chain'), '300', '1');
  const recurse = start(buildProgram('recurse'), '300');
  const vdso = start(buildProgram('vdso'), '300');
  const found = counts(await profileWithout({ comms: ['recurse', 'vdso', 'chai', 'chain2'] }));
  assert.ok(found.get(chain)! > 10, `${found.get(chain)} samples`);
  assert.deepEqual([found.get(recurse), found.get(vdso)], [undefined, undefined]);
});

test('by process, with those that it starts', async () => {
  const chain = start(buildProgram('chain'), '300', '1');
  const starts = `read line; '${buildProgram('recurse')}' 300 & wait`;
  const shell = spawn('sh', ['-c', starts], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  children.push(shell);
  const outside = start(buildProgram('vdso'), '300');
  let child = 0;
  const profile = await profileWithout({ pids: [shell.pid!, outside] }, async () => {
    shell.stdin!.end('go\n');
    const list = `/proc/${shell.pid}/task/${shell.pid}/children`;
    while (readFileSync(list, 'latin1') === '') await pause(20);
    child = Number(readFileSync(list, 'latin1').trim());
    await whenUsed([child], 0.3);
  });
  process.kill(-shell.pid!, 'SIGKILL');
  const found = counts(profile);
  assert.ok(child > 0);
  assert.ok(found.get(chain)! > 10);
  assert.deepEqual(
    [found.get(child), found.get(shell.pid!), found.get(outside)],
    [undefined, undefined, undefined],
  );
});

test('by cgroup, with all below it', async () => {
  const [mount] = unifiedMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
  assert.ok(mount, 'the unified hierarchy is mounted');
  const above = join(mount, `flametap-test-${process.pid}`);
  const below = join(above, 'below');
  mkdirSync(below, { recursive: true });
  const chain = start(buildProgram('chain'), '300', '1');
  const recurse = start(buildProgram('recurse'), '300');
  try {
    writeFileSync(join(below, 'cgroup.procs'), String(recurse));
    const found = counts(await profileWithout({ cgroupPaths: [above] }));
    assert.ok(found.get(chain)! > 10);
    assert.equal(found.get(recurse), undefined);
  } finally {
    execFileSync('kill', ['-9', String(recurse)]);
    while (readFileSync(join(below, 'cgroup.procs'), 'latin1') !== '') await pause(20);
    rmdirSync(below);
    rmdirSync(above);
  }
});
