/**
 * Programs from Debian under load, each recorded at the same time by perf in
 * its DWARF mode. Their stacks are whole, and where the time goes is what perf
 * says, function by function, for the stacks that perf has whole.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { chownSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { countNamed, isNamed, type JsonSample, markerOf, showStack } from '../harness/chains.ts';
import { expectTally } from '../harness/expect.ts';
import { countOf, execute, pause, record } from '../harness/record.ts';
import { PERF_RECORD, PERF_SCRIPT_FIELDS, parsePerfScript } from '../peers/perf.ts';

const HZ = 199;
const SECONDS = 6;
const folder = mkdtempSync(join(tmpdir(), 'real-'));
const running: ChildProcess[] = [];
after(async () => {
  for (const child of running) child.kill('SIGTERM');
  await pause(300);
  rmSync(folder, { recursive: true, force: true });
});

/** Starts a server or load; stopped at the end. */
function start(command: readonly string[], asUser?: number): ChildProcess {
  const child = spawn(command[0]!, command.slice(1), {
    stdio: 'ignore',
    cwd: folder,
    ...(asUser === undefined ? {} : { uid: asUser, gid: asUser }),
  });
  child.on('error', (error) => assert.fail(`${command[0]}: ${error.message}`));
  running.push(child);
  return child;
}

/** -14 as an exit status. */
const PERF_EFAULT = 242;

/** What perf saw in the same seconds; of each stack 64 KiB: with its default of 8 it cuts a tenth of PostgreSQL's and half of a compiler's, and not at random. */
async function perfSamples(comm: string): Promise<JsonSample[]> {
  const data = join(folder, `${comm}.data`);
  const options = ['-F', String(HZ), '-a', '--call-graph', 'dwarf,65528'];
  const window = ['--', 'sleep', String(SECONDS)];
  const run = await execute(['perf', ...PERF_RECORD, ...options, '-o', data, ...window]);
  assert.equal(run.code, 0, run.stderr);
  const { status, stdout } = spawnSync('perf', ['script', '-i', data, ...PERF_SCRIPT_FIELDS], {
    maxBuffer: 2 ** 30,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  // On a machine at work perf 6.1 meets a sample that it cannot parse, and ends there (EFAULT).
  assert.ok(status === 0 || status === PERF_EFAULT, `perf script ended with ${status}`);
  return parsePerfScript(stdout.toString()).filter((sample) => sample.process === comm);
}

/** Share of samples that have each function anywhere in their user stack. */
function inclusive(samples: readonly JsonSample[]): Map<string, number> {
  const total = countOf(samples);
  const shares = new Map<string, number>();
  for (const { stack, count } of samples) {
    const names = new Set(
      stack
        .filter((frame) => frame.type === 'native' && isNamed(frame) && !isLibc(frame))
        .map(plainName),
    );
    for (const name of names) shares.set(name, (shares.get(name) ?? 0) + count / total);
  }
  return shares; // sums of floats: a hair above 1 is possible
}

/**
 * libc has many symbols for one function, of which perf takes one and its debug
 * information has another: `__libc_start_main` is `__libc_start_main_impl` there.
 * Its names are compared with a reference at other places.
 */
const isLibc = ({ module }: { module: string }): boolean => /\blibc\.so/.test(module);

/** Without the symbol's version, a demangler's arguments and what compilers append to copies. */
const plainName = ({ name }: { name: string }): string =>
  name
    .replace(/@.*$|\(.*$/, '')
    .replace(/(\.(lto_priv|constprop|isra|part|cold|localalias)(\.\d+)?)+$/, '');

/** Share of frames that have a name, and its standard error: two profilers draw different samples. */
function namedShare(samples: readonly JsonSample[]): { share: number; error: number } {
  const { named, total } = countNamed(samples);
  const share = named / total;
  let squares = 0;
  for (const sample of samples) {
    const own = countNamed([{ ...sample, count: 1 }]);
    squares += sample.count * (own.named - share * own.total) ** 2;
  }
  return { share, error: Math.sqrt(squares) / total };
}

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

/** Records `comm` with both and compares. */
async function expectTrue(comm: string): Promise<void> {
  let byPerf: JsonSample[] = [];
  const recording = await record({
    hz: HZ,
    options: ['--comm', comm, '--duration', `${SECONDS}s`],
    during: async () => {
      byPerf = await perfSamples(comm);
    },
  });
  expectTally(recording);
  const { samples } = recording;
  const total = countOf(samples);
  assert.ok(total >= 200, `${comm}: only ${total} samples`);
  const cut = samples.filter((sample) => markerOf(sample) !== undefined);
  assert.ok(
    countOf(cut) <= 0.005 * total,
    `${countOf(cut)} of ${total} stacks do not reach the root:\n${cut.slice(0, 5).map(showStack).join('\n')}`,
  );
  assert.ok(countOf(byPerf) >= 100, `${comm}: perf has only ${countOf(byPerf)} samples`);
  const [ours, theirs] = [namedShare(samples), namedShare(byPerf)];
  // Debian strips static functions: nobody can name those; perf names what has a symbol.
  const chance = 3 * Math.hypot(ours.error, theirs.error);
  assert.ok(
    ours.share >= Math.min(0.99, theirs.share - 0.005 - chance),
    `${percent(ours.share)} of frames named, perf ${percent(theirs.share)} ± ${percent(chance)}`,
  );
  const whole = byPerf.filter(({ stack }) => /^(_start|_*clone3?)$/.test(stack.at(-1)?.name ?? ''));
  // Debian strips _start as well: then perf's root has no name and cannot be told from a cut one.
  const reference = whole.length > 0.5 * byPerf.length ? whole : byPerf;
  const expected = [...inclusive(reference)].sort((a, b) => b[1] - a[1]).slice(0, 20);
  const found = inclusive(samples);
  for (const [name, share] of expected) {
    const noise =
      3 * Math.sqrt(Math.max(0, share * (1 - share)) / Math.min(total, reference.length));
    const more = (found.get(name) ?? 0) - share;
    // A stack that perf has cut lacks its root side: there it may only have less than we.
    const difference = reference === whole ? Math.abs(more) : -more;
    assert.ok(
      difference <= 0.05 + noise,
      `${name}: ${percent(found.get(name) ?? 0)} of samples, perf ${percent(share)}`,
    );
  }
}

function postgresBin(): string {
  const versions = readdirSync('/usr/lib/postgresql').sort();
  return join('/usr/lib/postgresql', versions.at(-1)!, 'bin');
}

// Many processes forked from one, shared memory, deep executor stacks.
test('PostgreSQL under pgbench', async () => {
  const bin = postgresBin();
  const user = Number(execFileSync('id', ['-u', 'postgres']).toString());
  const data = mkdtempSync(join(tmpdir(), 'pg-'));
  try {
    chownSync(data, user, user);
    const options = { uid: user, gid: user, cwd: data, stdio: 'ignore' } as const;
    execFileSync(join(bin, 'initdb'), ['-D', data, '-A', 'trust', '--no-sync'], options);
    const server = ['-D', data, '-p', '54399', '-k', data, '-c', 'listen_addresses='];
    start([join(bin, 'postgres'), ...server], user);
    await pause(2000);
    const connection = ['-h', data, '-p', '54399'];
    const bench = join(bin, 'pgbench');
    execFileSync(bench, [...connection, '-i', '-q', '-s', '2', 'postgres'], options);
    start([bench, ...connection, '-S', '-c', '2', '-T', '30', 'postgres'], user);
    await pause(1000);
    await expectTrue('postgres');
  } finally {
    for (const child of running.splice(0)) child.kill('SIGTERM');
    await pause(1000);
    rmSync(data, { recursive: true, force: true });
  }
});

// One busy thread, mostly in the kernel.
test('redis-server under redis-benchmark', async () => {
  start(['redis-server', '--port', '16399', '--save', '', '--appendonly', 'no']);
  await pause(500);
  start([
    'redis-benchmark',
    '-p',
    '16399',
    '-q',
    '-n',
    '50000000',
    '-P',
    '16',
    '-t',
    'set,lpush,zadd',
  ]);
  await pause(500);
  await expectTrue('redis-server');
  for (const child of running.splice(0)) child.kill('SIGTERM');
});

// The interpreter's own C frames: deep, and partly in hand-placed tables.
test('python3', async () => {
  const script = join(folder, 'load.py');
  writeFileSync(
    script,
    `import json, time
def tree(n): return {"k": n, "c": [tree(n - 1) for _ in range(2)]} if n else {"k": 0}
def walk(t): return t["k"] + sum(walk(c) for c in t.get("c", []))
end = time.time() + 20
while time.time() < end:
    walk(json.loads(json.dumps(tree(8)))); sorted((str(i) for i in range(2000)), key=lambda s: s[::-1])
`,
  );
  start(['/usr/bin/python3', script]);
  await pause(500);
  await expectTrue('python3');
  for (const child of running.splice(0)) child.kill('SIGTERM');
});

// A compiler: 100 frames and more, 21 MB of text, one process after the other.
test('cc1plus', async () => {
  const source = join(folder, 'load.cc');
  // Half a second each: the two recordings begin apart and must not see different phases.
  const includes = ['algorithm', 'functional', 'map', 'string', 'vector'];
  const uses = Array.from(
    { length: 12 },
    (_, i) => `std::map<int, std::vector<char[${i + 1}]>*> m${i};`,
  );
  writeFileSync(
    source,
    `${includes.map((name) => `#include <${name}>`).join('\n')}
${uses.join('\n')}
bool f(const std::string &s) { std::map<std::string, int> m; m[s]++; return m.begin()->second > 1; }
`,
  );
  start(['sh', '-c', `while :; do g++ -O1 -c ${source} -o ${folder}/load.o; done`]);
  await pause(500);
  await expectTrue('cc1plus');
  for (const child of running.splice(0)) child.kill('SIGTERM');
});
