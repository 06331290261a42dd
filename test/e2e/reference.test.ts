/**
 * Every frame against a second opinion: each sample leaves the kernel twice,
 * unwound and as registers with stack bytes, and elfutils' libdw unwinds the
 * bytes again. Reaching the root does not prove a stack; this does.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { startProfiler } from '../../src/agent/profiler.ts';
import { compareRecorded, type ExecutableMapping, parseMaps } from '../harness/compare-stacks.ts';
import { whenUsed } from '../harness/cpu-time.ts';
import { buildProgram, type Variant } from '../harness/programs.ts';
import { pairRecorded } from '../harness/recorded-stacks.ts';
import { readSavedRecords } from '../harness/saved-records.ts';

const HZ = 499;
const folder = mkdtempSync(join(tmpdir(), 'reference-'));
const running = new Set<ChildProcess>();
after(() => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** Runs the command for some seconds and compares all of its stacks. */
async function expectEqual(command: readonly string[], least = 500): Promise<void> {
  const child = spawn(command[0]!, command.slice(1), { stdio: 'ignore' });
  running.add(child);
  const pid = child.pid!;
  // It has loaded all its libraries.
  await whenUsed([pid], 0.5);
  const maps = new Map<number, readonly ExecutableMapping[]>([
    [pid, parseMaps(readFileSync(`/proc/${pid}/maps`, 'utf8'))],
  ]);
  const saveRecords = join(folder, String(pid));
  const profiler = await startProfiler({
    hz: HZ,
    scope: { pids: [pid], followChildren: false },
    threads: false,
    kernelStacks: false,
    maxDepth: 1024,
    saveRecords,
    copyEverySample: true,
  });
  // about 1,000 samples, however busy the machine is
  await whenUsed([pid], 2);
  await profiler.stop();
  child.kill('SIGKILL');
  const stacks = pairRecorded(readSavedRecords(saveRecords));
  rmSync(saveRecords);
  const result = await compareRecorded(stacks, maps);
  const judged = Object.entries(result.counts)
    .filter(([kind]) => !kind.startsWith('excluded'))
    .reduce((sum, [, count]) => sum + count, 0);
  const text = `${JSON.stringify(result.counts)}\n${result.examples.join('\n')}`;
  assert.ok(judged >= least, `only ${judged} stacks could be judged: ${text}`);
  assert.ok(result.agreement >= 0.995, text);
}

const chains: Readonly<Record<string, Variant>> = {
  '-O0': { optimize: 0 },
  '-O2': {},
  '-O3, fixed address': { optimize: 3, pie: false },
  'static glibc': { libc: 'static' },
  'only .debug_frame': { rules: 'debug_frame' },
};
for (const [name, variant] of Object.entries(chains)) {
  // 33 frames in prologues, epilogues and between.
  test(`C chain, ${name}`, () => expectEqual([buildProgram('chain', variant), '60']));
}

// Signal frames; the timer also hits libc's own code on the way.
test('signal handler', () => expectEqual([buildProgram('signals'), '60', '0']));

for (const shape of ['alloca', 'realigned', 'vector']) {
  // rbp, r10 and expressions in the rules.
  test(`frame with ${shape}`, () => expectEqual([buildProgram('frames-avx'), '60', shape]));
}

// The loader's and PLT's hand-written rules.
test('PLT stubs', () => expectEqual([buildProgram('stubs'), '60']));

test('vDSO', () => expectEqual([buildProgram('vdso'), '60']));

// libgcc's unwinder at work, std::sort, lambdas.
test('C++', () => expectEqual([buildProgram('shapes'), '60']));

test('Rust', () => expectEqual([buildProgram('crab'), '60']));

for (const algorithm of ['rsa2048', 'ecdsap256']) {
  // libcrypto's assembler: CFA expressions and registers other than rsp and rbp.
  test(`openssl ${algorithm}`, () =>
    expectEqual(['openssl', 'speed', '-seconds', '60', algorithm]));
}

// The interpreter: deep, with computed jumps.
test('python3', async () => {
  const script = join(folder, 'load.py');
  const body =
    'import json\nwhile True: json.loads(json.dumps([{str(i): [i] * 5} for i in range(200)]))\n';
  writeFileSync(script, body);
  await expectEqual(['/usr/bin/python3', script]);
});

// A compiler: 21 MB of text, hundreds of frames.
test('cc1plus', async () => {
  const source = join(folder, 'load.cc');
  const headers = [
    'regex',
    'map',
    'functional',
    'random',
    'future',
    'locale',
    'valarray',
    'string',
  ];
  const uses = Array.from(
    { length: 80 },
    (_, i) =>
      `struct t${i} { int v[${i + 1}]; }; template class std::map<int, t${i}>;` +
      `bool f${i}(const std::string &s) { return std::regex_match(s, std::regex("a${i}+")); }`,
  );
  const lines = [...headers.map((name) => `#include <${name}>`), ...uses];
  writeFileSync(source, `${lines.join('\n')}\n`);
  const preprocessed = join(folder, 'load.ii');
  execFileSync('g++', ['-E', source, '-o', preprocessed]);
  const compiler = execFileSync('g++', ['-print-prog-name=cc1plus']).toString().trim();
  await expectEqual([compiler, '-quiet', '-fpreprocessed', '-O2', preprocessed, '-o', '/dev/null']);
});
