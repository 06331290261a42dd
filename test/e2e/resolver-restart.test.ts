/** The thread that reads programs fails in the midst of sampling, and another one takes its place. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { LiveProfiler } from '../../src/agent/profiler.ts';
import type { Profile } from '../../src/profile/model.ts';
import { sumOf } from '../../src/profile/tally.ts';
import { buildProgram } from '../harness/programs.ts';
import { pause } from '../harness/record.ts';
import { CRASH_CHANNEL, MARKS } from './crashing-resolver-main.test-support.ts';

const HZ = 199;

function run(context: TestContext, program: string): ChildProcess {
  const child = spawn(program, ['600', '1'], { stdio: 'ignore' });
  context.after(() => child.kill());
  return child;
}

async function started(context: TestContext, others: readonly ChildProcess[] = []) {
  const child = run(context, buildProgram('chain'));
  const warnings: string[] = [];
  const failures: Error[] = [];
  const profiler = await LiveProfiler.start(
    {
      hz: HZ,
      scope: { pids: [child, ...others].map(({ pid }) => pid!), followChildren: true },
      threads: false,
      kernelStacks: true,
      maxDepth: 1024,
      labels: [],
      symbols: { debuginfodUrls: [], cacheDir: '', maxCacheBytes: 1 << 20 },
      steady: true,
      onWarning: (cause, fields, message) =>
        warnings.push(`${cause}: ${JSON.stringify(fields)} ${message}`),
      onFailure: (error) => failures.push(error),
    },
    {
      entry: new URL('./crashing-resolver-main.test-support.ts', import.meta.url),
      heapMib: 48,
    },
  );
  // Of a test that failed: it would hold files that the next one counts.
  context.after(() => profiler.stop().catch(() => undefined));
  const channel = new BroadcastChannel(CRASH_CHANNEL);
  context.after(() => channel.close());
  let restarts = 0;
  const crash = async (how: 'throw' | 'exhaust'): Promise<void> => {
    channel.postMessage(how);
    restarts++;
    for (;;) {
      const { resolver } = profiler.counts();
      if (resolver!.isUp && resolver!.restarts === restarts) return;
      await pause(10);
    }
  };
  return { profiler, child, crash, warnings, failures };
}

/** Samples of a process, and how many of them have a stack from the leaf to main. */
function stacksOf({ samples, stacks, locations, functions, processes }: Profile, pid: number) {
  let all = 0;
  let whole = 0;
  for (let row = 0; row < samples.length; row++) {
    if (processes[samples.process[row]!]!.pid !== pid) continue;
    const names = Array.from(stacks[samples.stack[row]!]!, (location) =>
      locations[location]!.lines.map((line) => functions[line.function]!.name).join(),
    );
    all += samples.count[row]!;
    if (names.includes('a1') && names.includes('a30')) whole += samples.count[row]!;
  }
  return { all, whole };
}

/** Profiles until one has whole stacks of the program again. @returns all of them */
async function untilNamed(profiler: LiveProfiler, pid: number): Promise<Profile[]> {
  const profiles: Profile[] = [];
  for (;;) {
    await pause(300);
    const profile = await profiler.flush();
    profiles.push(profile);
    const { all, whole } = stacksOf(profile, pid);
    if (all > 0 && whole > all * 0.9) return profiles;
  }
}

for (const how of ['throw', 'exhaust'] as const) {
  test(`sampling goes on when the resolver's thread fails (${how}), and nothing is lost uncounted`, async (context) => {
    const { profiler, child, crash, warnings, failures } = await started(context);
    const profiles = await untilNamed(profiler, child.pid!);
    for (let i = 0; i < 2; i++) {
      await crash(how);
      profiles.push(...(await untilNamed(profiler, child.pid!)));
    }
    profiles.push(await profiler.stop());
    for (const { tally } of profiles) {
      assert.equal(tally.taken, tally.exported + sumOf(tally.lost));
      const { resolver_restarted: _, ...others } = tally.lost;
      assert.deepEqual(others, {});
    }
    assert.deepEqual(failures, []);
    assert.match(
      warnings.join('\n'),
      /resolver restarted: .*(told to fail|memory limit).*starts again/,
    );
  });
}

for (const [stage, mark] of Object.entries(MARKS)) {
  test(`a file that ends the thread each time it is read (${stage}) is left alone, and others are whole`, async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'flametap-crashing-'));
    context.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'crashing');
    copyFileSync(buildProgram('chain'), file);
    appendFileSync(file, mark);
    const crashing = run(context, file);
    const { profiler, child, failures } = await started(context, [crashing]);
    const profiles: Profile[] = [];
    const isLeftAlone = () =>
      profiles.some(({ tally }) => (tally.problems.file_crashed_resolver ?? 0) > 0);
    while (!isLeftAlone()) profiles.push(...(await untilNamed(profiler, child.pid!)));
    const { restarts } = profiler.counts().resolver!;
    profiles.push(...(await untilNamed(profiler, child.pid!)));
    assert.ok(stacksOf(profiles.at(-1)!, crashing.pid!).all > 0, 'it is sampled all the same');
    // A thread that somebody else has held up for long is started again, too.
    assert.ok(restarts >= 2, `${restarts} restarts`);
    assert.equal(profiler.counts().resolver!.restarts, restarts);
    profiles.push(await profiler.stop());
    for (const { tally } of profiles) {
      assert.equal(tally.taken, tally.exported + sumOf(tally.lost));
    }
    assert.deepEqual(failures, []);
  });
}

test('threads that have failed leave no file open', async (context) => {
  const { profiler, child, crash } = await started(context);
  const program = readlinkSync(`/proc/${child.pid}/exe`);
  const links = (): string[] =>
    readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/self/fd/${fd}`)];
      } catch {
        // That of the folder itself.
        return [];
      }
    });
  const held = () => {
    const all = links();
    return {
      program: all.filter((link) => link === program).length,
      // Opened by the addon: openInRoot, openBelow, roots of processes.
      directories: all.filter((link) => link === '/').length,
    };
  };
  await untilNamed(profiler, child.pid!);
  const before = held();
  assert.equal(before.program, 1);
  for (let i = 0; i < 3; i++) {
    await crash('throw');
    await untilNamed(profiler, child.pid!);
  }
  assert.deepEqual(held(), before);
  await profiler.stop();
  assert.equal(held().program, 0);
});
