/** Records of fork, exec and exit that were lost: what they left wrong is found and mended. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LiveProfiler } from '../../src/agent/profiler.ts';
import { loadAddon } from '../../src/capture/addon.ts';
import { parseCpuList } from '../../src/capture/cpus.ts';
import { ProcessValue } from '../../src/capture/record.ts';
import { LiveHost } from '../../src/process/host.ts';
import { TICK_NS } from '../../src/process/process.ts';
import { PATIENT_WAIT_LIMITS } from '../../src/process/wait-budget.ts';
import type { Profile } from '../../src/profile/model.ts';
import { hostPid } from '../../src/units/units.ts';
import { profileChildren, userNames } from '../harness/live-stacks.ts';
import { buildProgram } from '../harness/programs.ts';

const addon = loadAddon();
const host = new LiveHost(addon, undefined, PATIENT_WAIT_LIMITS);
/** Of waits for what comes within a few seconds, also on a busy machine. */
const PATIENCE = 960;
const PERF_RECORD_LOST = 2;

let program: ChildProcess | undefined;
after(() => program?.kill('SIGKILL'));

/** Entries of the kernel side by pid. */
function entries(profiler: LiveProfiler): Map<number, { start: bigint; layout: number }> {
  const bytes = addon.mapEntries(profiler.capture.maps.processes);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const found = new Map<number, { start: bigint; layout: number }>();
  for (let at = 0; at < bytes.length; at += 4 + ProcessValue.size) {
    const value = at + 4;
    found.set(view.getUint32(at, true), {
      start: view.getBigUint64(value + ProcessValue.start, true),
      layout: view.getUint32(value + ProcessValue.layout, true),
    });
  }
  return found;
}

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < PATIENCE; i++) {
    if (await isSo()) return;
    await sleep(250);
  }
  assert.fail(`waited in vain until ${what}`);
}

const SECOND_MS = 1_000;
const never = new Int32Array(new SharedArrayBuffer(4));
/** Nothing of this process runs meanwhile. */
const standStill = (ms: number): void => void Atomics.wait(never, 0, 0, ms);

/** Forks and exits on some CPUs until something is so, while nothing else of this process runs. */
function stormUntil(what: string, isSo: () => boolean, where: string): void {
  for (let i = 0; i < PATIENCE; i++) {
    if (isSo()) return;
    const storm = ['sh', '-c', 'for i in $(seq 250); do (:); done'];
    spawnSync('taskset', ['-c', where, ...storm], { stdio: 'inherit' });
  }
  assert.fail(`a storm in vain until ${what}`);
}

/**
 * While nothing is drained the side band of mappings fills up too, with the same forks. Of that
 * nothing is told: all processes would be looked up anew, which mends what lost forks and exits leave.
 */
function hideLostMappings({ capture }: LiveProfiler): void {
  const drain = capture.drainSideband.bind(capture);
  capture.drainSideband = (into) => {
    const length = drain(into);
    const view = new DataView(into.buffer, into.byteOffset, length);
    let kept = 0;
    for (let at = 0; at < length; ) {
      const size = view.getUint16(at + 6, true);
      if (view.getUint32(at, true) !== PERF_RECORD_LOST) {
        into.copyWithin(kept, at, at + size);
        kept += size;
      }
      at += size;
    }
    return kept;
  };
}

/** User stacks of a process, leaf first, with how often each was met. */
function stacks(profile: Profile, pid: number): { names: string[]; count: number }[] {
  const { samples } = profile;
  const found: { names: string[]; count: number }[] = [];
  for (let row = 0; row < samples.length; row++) {
    if (profile.processes[samples.process[row]!]!.pid !== pid) continue;
    found.push({ names: userNames(profile, row), count: samples.count[row]! });
  }
  return found;
}

/** How many samples of a child have whole stacks; what others show is cut and not wrong. */
function wholeStacks(profile: Profile, pid: number): number {
  let whole = 0;
  for (const { names, count } of stacks(profile, pid)) {
    const shown = names.join(' < ');
    assert.doesNotMatch(shown, /before/, `${pid} has what only its parent ran`);
    if (shown.includes('[stack cut')) continue;
    assert.match(shown, /(^|< )after < main( <|$)/, `${pid} is a child of a lost fork`);
    whole += count;
  }
  return whole;
}

test('forks, execs and exits lost while nobody drains: right again within seconds', async () => {
  const profiler = await profileChildren();
  try {
    hideLostMappings(profiler);
    program = spawn(buildProgram('late-forks'), ['3'], { stdio: ['pipe', 'pipe', 'inherit'] });
    const { pid: parent } = program;
    await until('the kernel side knows the program', () => entries(profiler).has(parent!));
    // No turn of the event loop, no drain: rings fill, then the program forks and becomes another.
    const lost = () => profiler.capture.counters().event_ring_full ?? 0;
    // Each CPU has a ring of its own, and the program may be on any of them.
    const online = parseCpuList(readFileSync('/sys/devices/system/cpu/online', 'utf8'));
    for (const cpu of online) {
      const before = lost();
      stormUntil(`records of CPU ${cpu} are lost`, () => lost() > before + 100, `${cpu}`);
    }
    const copied = entries(profiler).get(parent!)!.layout;
    // The kernel side tells of so many forks a second. Of those beyond it nobody has a copy to repair.
    standStill(2 * SECOND_MS);
    program.stdin!.write('go\n');
    for (let i = 0; readFileSync(`/proc/${parent}/comm`, 'utf8') !== 'cat\n'; i++) {
      assert.ok(i < PATIENCE * 50, 'the program is another');
      standStill(5);
    }
    const [text] = (await once(program.stdout!, 'data')) as [Buffer];
    const children = text.toString().trim().split('\n').map(Number);
    assert.equal(children.length, 3);
    // Nobody but the kernel side knew of them: their entries are copies of their parent's.
    await until('the children are known on their own', () => {
      const known = entries(profiler);
      return children.every((pid) => (known.get(pid)?.layout ?? 0) > copied);
    });
    await until('no entry is of a process that is gone', () =>
      [...entries(profiler)].every(([pid, { start }]) => {
        const started = host.startTime(hostPid(pid));
        return started !== undefined && start >= started && start < started + TICK_NS;
      }),
    );
    const first = await profiler.flush();
    const { eventsLost, problems } = first.tally;
    assert.ok(eventsLost.event_ring_full! > 100, JSON.stringify(eventsLost));
    assert.ok(problems.process_entries_repaired! > 0, JSON.stringify(problems));
    // A machine so busy that the resolver is behind loses mappings there.
    if (!eventsLost.resolver_behind) assert.equal(problems.mappings_distrusted, undefined);
    const whole = new Map<number, number>(children.map((pid) => [pid, wholeStacks(first, pid)]));
    await until('each child has whole stacks with its own names', async () => {
      const profile = await profiler.flush();
      for (const pid of children) whole.set(pid, whole.get(pid)! + wholeStacks(profile, pid));
      return [...whole.values()].every((count) => count >= 20);
    });
  } finally {
    program?.kill('SIGKILL');
    await profiler.stop();
  }
});
