import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { directAccess } from '../elf/file-access.ts';
import type { ProcessHost } from '../process/host.ts';
import { parseMaps } from '../process/maps.ts';
import type { Process } from '../process/process.ts';
import { bootTime, hostPid, namespacePid, processAddress } from '../units/units.ts';
import { JitMaps } from './jit-maps.ts';
import { ReadingBudget } from './reading-budget.ts';

let directory = '';
let child: ChildProcess;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'flametap-jit-maps-'));
});
after(() => {
  rmSync(directory, { recursive: true });
});

const SCRIPT = `function flametapTarget(n) {
  let s = 0;
  for (let i = 0; i < n; i++) s += i % 7;
  return s;
}
for (let i = 0; i < 20000; i++) flametapTarget(100);
console.log('ready');
process.stdin.resume();
`;

/** A real process that waits, with its code compiled. */
async function startNode(...flags: string[]): Promise<number> {
  const script = join(directory, 'work.mjs');
  writeFileSync(script, SCRIPT);
  child = spawn(process.execPath, [...flags, script], {
    cwd: directory,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout!, 'data');
  return child.pid!;
}

async function stop(): Promise<void> {
  child.stdin!.end();
  await once(child, 'exit');
}

/** As much of the machine as is asked for here. */
const host = {
  files: directAccess,
  openOnHost: (path) => openSync(path, 'r'),
  openMapped: (_pid, { path }) => openSync(path, 'r'),
  openInRoot: (_pid, path) => openSync(path, 'r'),
  innermostPid: (pid) => namespacePid(pid),
  startTime: () => bootTime(1n),
  userIds: () => [process.getuid!()],
} satisfies Partial<ProcessHost> as unknown as ProcessHost;

function processOf(pid: number): Process {
  const { mappings } = parseMaps(readFileSync(`/proc/${pid}/maps`, 'latin1'));
  return {
    identity: { pid: hostPid(pid), startNs: bootTime(1n), execId: 1 },
    mappings: mappings.map((raw) => ({ ...raw, raw, what: 'anonymous' })),
  } as unknown as Process;
}

/** Where a function's code begins, by the loads in a dump or the lines of a map. */
function addressIn(text: string): number {
  const at = text.lastIndexOf('flametapTarget file:');
  assert.ok(at > 0, 'the function was compiled');
  const bytes = Buffer.from(text, 'latin1');
  const name = text.lastIndexOf('JS:', at);
  return Number(bytes.readBigUInt64LE(name - 24));
}

test('a jitdump is found by its mapping and names code with lines', async () => {
  const pid = await startNode('--perf-prof');
  try {
    const dump = readFileSync(join(directory, `jit-${pid}.dump`), 'latin1');
    const jit = new JitMaps(host);
    jit.refresh();
    const address = addressIn(dump);
    const found = jit.lookup(processOf(pid), processAddress(address + 100));
    assert.equal(found?.line.name, 'flametapTarget');
    assert.equal(found.line.file, join(directory, 'work.mjs'));
    assert.ok(found.line.line >= 1 && found.line.line <= 5, `line ${found.line.line}`);
    assert.equal(jit.lookup(processOf(pid), processAddress(0x1000)), undefined);
  } finally {
    await stop();
  }
});

test('without a dump the perf map is read, also what comes later', async () => {
  const pid = await startNode('--perf-basic-prof');
  const file = `/tmp/perf-${pid}.map`;
  try {
    const process = processOf(pid);
    // It would write over what is appended here.
    await stop();
    const lines = readFileSync(file, 'latin1').split('\n');
    const line = lines.findLast((text) => text.includes('flametapTarget'))!;
    const jit = new JitMaps(host);
    jit.refresh();
    const address = processAddress(Number.parseInt(line, 16));
    assert.equal(jit.lookup(process, address)?.line.name, 'flametapTarget');
    writeFileSync(file, '7000 10 appended\nnonsense\n', { flag: 'a' });
    assert.equal(jit.lookup(process, processAddress(0x7000)), undefined, 'once per flush');
    jit.refresh();
    assert.equal(jit.lookup(process, processAddress(0x7000))?.line.name, 'appended');
    const problems = { perf_map_line_malformed: 1, perf_map_addresses_behind: 1 };
    assert.deepEqual(Object.fromEntries(jit.problems), problems);
    // Forgotten after a time without samples, its problems are still told.
    for (let flush = 0; flush < 40; flush++) jit.refresh();
    assert.deepEqual(Object.fromEntries(jit.problems), problems);
  } finally {
    rmSync(file, { force: true });
  }
});

/** Made-up processes whose maps are files of the test's folder. */
class Maps {
  readonly host: ProcessHost;
  userIds: readonly number[] | undefined = [process.getuid!()];
  isGone = false;
  opened = 0;

  constructor() {
    this.host = {
      files: directAccess,
      openOnHost: (path: string) => openSync(path, 'r'),
      openInRoot: (pid: number) => {
        if (this.isGone) throw new Error('gone');
        const fd = openSync(this.file(pid), 'r');
        this.opened++;
        return fd;
      },
      innermostPid: (pid: number) => namespacePid(pid),
      startTime: () => (this.isGone ? undefined : bootTime(1n)),
      userIds: () => this.userIds,
    } as unknown as ProcessHost;
  }

  file(pid: number): string {
    return join(directory, `made-up-${pid}.map`);
  }

  process(pid: number): Process {
    return {
      identity: { pid: hostPid(pid), startNs: bootTime(1n), execId: 1 },
      mappings: [],
    } as never;
  }
}

const descriptors = (): number => readdirSync('/proc/self/fd').length;
const text = (count: number, name: string, at = 0x1000): string =>
  Array.from({ length: count }, (_, i) => `${(at + i * 16).toString(16)} 10 ${name}${i}\n`).join(
    '',
  );

test('with a map in each of a thousand processes, few descriptors and bounded memory', () => {
  const maps = new Maps();
  const jit = new JitMaps(maps.host);
  const before = descriptors();
  for (let pid = 1; pid <= 1000; pid++) writeFileSync(maps.file(pid), text(10, `p${pid}f`));
  for (let flush = 0; flush < 2; flush++) {
    jit.refresh();
    for (let pid = 1; pid <= 1000; pid++) {
      const found = jit.lookup(maps.process(pid), processAddress(0x1010));
      assert.equal(found?.line.name, `p${pid}f1`);
    }
    assert.ok(descriptors() - before <= 64, `${descriptors() - before} descriptors`);
  }
  jit.close();
  assert.equal(descriptors(), before);
  assert.equal(jit.problems.size, 0);
});

test('the code of many processes with large pages is bounded in all; who was there first stays', () => {
  const maps = new Maps();
  const jit = new JitMaps(maps.host);
  // 10,000 functions of 4 KiB of name in 40 pages: 2 MiB of names each.
  const names = 'n'.repeat(4000);
  jit.refresh();
  for (let pid = 1; pid <= 20; pid++) {
    writeFileSync(maps.file(pid), text(500, `${pid}${names}`));
    for (let page = 1; page < 4; page++) jit.want(maps.process(pid), processAddress(page * 4096));
    jit.lookup(maps.process(pid), processAddress(0x1010));
  }
  const refused = jit.problems.get('jit_code_refused')!;
  assert.ok(refused > 0 && refused < 18, `${refused} of 20`);
  const first = jit.lookup(maps.process(1), processAddress(0x1010));
  assert.match(first!.line.name, /^1n/);
  // At the next flush, when others do not need theirs.
  jit.refresh();
  const last = jit.lookup(maps.process(20), processAddress(0x1010));
  assert.match(last!.line.name, /^20n/);
  assert.ok(jit.problems.get('jit_code_forgotten')! > 0);
  jit.close();
});

test('a map that is written anew at each flush costs its process its share, and nobody else', () => {
  const maps = new Maps();
  let [now, cpu] = [0, 0];
  const limits = { processMs: 100, allMs: 400, processShare: 0.001, allShare: 0.004 };
  // Each look at the clock takes a millisecond.
  const jit = new JitMaps(
    maps.host,
    new ReadingBudget(limits, { now: () => now, cpu: () => cpu++ }),
  );
  const [hostile, other] = [maps.process(1), maps.process(2)];
  writeFileSync(maps.file(2), text(100, 'other'));
  let named = 0;
  const rewritten = ['hostile', 'again'].map((name) => text(150_000, name));
  for (let flush = 0; flush < 50; flush++) {
    writeFileSync(maps.file(1), rewritten[flush % 2]!);
    jit.refresh();
    if (jit.lookup(hostile, processAddress(0x1010))) named++;
    assert.equal(jit.lookup(other, processAddress(0x1010))?.line.name, 'other1');
    now += 10_000;
  }
  assert.ok(named > 0, 'while it had time');
  // 100 ms ahead and 1 ms per second; two looks per flush of each are free.
  assert.ok(cpu < 100 + 500 + 50 * 8, `${cpu} ms`);
  assert.ok(jit.problems.get('perf_map_read_again')! > 0);
  assert.ok(jit.problems.get('perf_map_addresses_behind')! > 0);
  jit.close();
});

test('a map that another one takes the place of is read from there', () => {
  const maps = new Maps();
  const jit = new JitMaps(maps.host);
  writeFileSync(maps.file(1), text(10, 'old'));
  jit.refresh();
  assert.equal(jit.lookup(maps.process(1), processAddress(0x1010))?.line.name, 'old1');
  writeFileSync(`${maps.file(1)}.new`, text(10, 'new'));
  renameSync(`${maps.file(1)}.new`, maps.file(1));
  jit.refresh();
  assert.equal(jit.lookup(maps.process(1), processAddress(0x1010))?.line.name, 'new1');
  // When file and process are gone, what was read names the last samples.
  rmSync(maps.file(1));
  maps.isGone = true;
  jit.refresh();
  assert.equal(jit.lookup(maps.process(1), processAddress(0x1010))?.line.name, 'new1');
  jit.close();
});

test('a map that another user put there names nothing, and no file that only root may read', () => {
  const nameWith = (userIds: readonly number[] | undefined, mode: number) => {
    const maps = new Maps();
    const jit = new JitMaps(maps.host);
    maps.userIds = userIds;
    writeFileSync(maps.file(7), text(10, 'f'));
    chmodSync(maps.file(7), mode);
    jit.refresh();
    const found = jit.lookup(maps.process(7), processAddress(0x1010))?.line.name;
    jit.close();
    rmSync(maps.file(7));
    return found ?? [...jit.problems.keys()];
  };
  const own = process.getuid!();
  assert.equal(nameWith([own], 0o600), 'f1');
  assert.equal(nameWith([12345, own, 12345, 12345], 0o600), 'f1');
  assert.equal(nameWith(undefined, 0o600), 'f1');
  assert.deepEqual(nameWith([12345], 0o600), ['perf_map_of_another_user']);
  // Of root: what everybody may read is nobody's secret.
  assert.deepEqual(nameWith([12345], 0o644), own === 0 ? 'f1' : ['perf_map_of_another_user']);
});
