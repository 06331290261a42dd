import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { ProcessHost } from '../process/host.ts';
import { parseMaps } from '../process/maps.ts';
import type { Process } from '../process/process.ts';
import { bootTime, hostPid, namespacePid, processAddress } from '../units/units.ts';
import { JitMaps } from './jit-maps.ts';

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
  openMapped: (_pid, { path }) => openSync(path, 'r'),
  openInRoot: (_pid, path) => openSync(path, 'r'),
  innermostPid: (pid) => namespacePid(pid),
  startTime: () => bootTime(1n),
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
    const lines = readFileSync(file, 'latin1').split('\n');
    const line = lines.findLast((text) => text.includes('flametapTarget'))!;
    const jit = new JitMaps(host);
    jit.refresh();
    const process = processOf(pid);
    const address = processAddress(Number.parseInt(line, 16));
    assert.equal(jit.lookup(process, address)?.line.name, 'flametapTarget');
    writeFileSync(file, '7000 10 appended\nnonsense\n', { flag: 'a' });
    assert.equal(jit.lookup(process, processAddress(0x7000)), undefined, 'once per flush');
    jit.refresh();
    assert.equal(jit.lookup(process, processAddress(0x7000))?.line.name, 'appended');
    assert.deepEqual([...jit.problems], [['perf_map_line_malformed', 1]]);
    // Forgotten after a time without samples, its problems are still told.
    for (let flush = 0; flush < 40; flush++) jit.refresh();
    assert.deepEqual([...jit.problems], [['perf_map_line_malformed', 1]]);
  } finally {
    await stop();
    rmSync(file);
  }
});
