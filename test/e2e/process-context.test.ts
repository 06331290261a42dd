/** Services are called as they state themselves, whoever else publishes garbage. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { payloadOf } from '../../src/context/payload.test-support.ts';
import type { JsonSample } from '../harness/chains.ts';
import { buildProgram, REPOSITORY } from '../harness/programs.ts';
import { CLI, execute, pause } from '../harness/record.ts';

const folder = mkdtempSync(join(tmpdir(), 'process-context-'));
const children: ChildProcess[] = [];
after(() => {
  for (const child of children) {
    try {
      // A group: some have children.
      process.kill(-child.pid!, 'SIGKILL');
    } catch {
      // Its life was over.
    }
  }
  rmSync(folder, { recursive: true, force: true });
});

const service = (name: string): string => payloadOf({ 'service.name': name }).toString('hex');

interface Neighbour {
  readonly commands: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Services of its processes at the end, in the order of their births. */
  readonly services: readonly (string | null)[];
}

const [one, two] = [service('one'), service('two')];
const NEIGHBOURS: Readonly<Record<string, Neighbour>> = {
  early: { commands: ['memfd', service('early'), 'stay'], services: ['early'] },
  late: { commands: ['1', 'memfd', service('late'), 'stay'], services: ['late'] },
  updated: {
    commands: ['memfd', service('old'), '1', 'update', service('new'), 'stay'],
    services: ['new'],
  },
  environment: {
    commands: ['stay'],
    environment: { OTEL_SERVICE_NAME: 'of-environment' },
    services: ['of-environment'],
  },
  both: {
    commands: ['memfd', service('published'), 'stay'],
    environment: { OTEL_RESOURCE_ATTRIBUTES: 'service.name=of-environment,service.version=1' },
    services: ['published'],
  },
  family: { commands: ['memfd', service('parent'), 'fork', 'stay'], services: ['parent', null] },
  heirs: {
    commands: ['memfd', service('mother'), 'fork', '0.5', 'memfd', service('daughter'), 'stay'],
    services: ['mother', 'daughter'],
  },
  successor: {
    commands: [
      ...['memfd', service('before'), 'exec', buildProgram('process-context')],
      ...['memfd', service('after'), 'stay'],
    ],
    services: ['after'],
  },
  huge: { commands: ['broken', 'size', one, 'stay'], services: [null] },
  unmapped: { commands: ['broken', 'unmapped', one, 'stay'], services: [null] },
};
/** Any of these is right, and so is none: they never stand still. */
const RESTLESS: Readonly<Record<string, readonly string[]>> = {
  loop: ['memfd', one, 'loop', one, two],
  flap: ['flap', one],
};

function start(commands: readonly string[], environment = {}): number {
  const child = spawn(buildProgram('process-context'), commands, {
    detached: true,
    stdio: 'ignore',
    env: { ...process.env, ...environment },
  });
  children.push(child);
  return child.pid!;
}

interface Recorded {
  readonly samples: readonly JsonSample[];
  readonly tally: { readonly problems: Readonly<Record<string, number>> };
}

async function record(...args: string[]): Promise<Recorded> {
  const output = join(folder, 'profile.json');
  const finished = await execute([CLI, 'record', '--format', 'json', '--output', output, ...args]);
  assert.equal(finished.code, 0, finished.stderr);
  return JSON.parse(readFileSync(output, 'utf8'));
}

/** Processes of our program with the services that their samples have. */
function servicesByPid({ samples }: Recorded): Map<number, Set<string | null>> {
  const services = new Map<number, Set<string | null>>();
  for (const { process, pid, service = null } of samples) {
    if (process !== 'process-context') continue;
    services.set(pid, (services.get(pid) ?? new Set()).add(service));
  }
  return services;
}

test('who publishes early, late, again, in a child, and who only has an environment', async () => {
  const pids = Object.entries(NEIGHBOURS).map(([name, { commands, environment }]) => ({
    name,
    pid: start(commands, environment),
  }));
  const restless = Object.values(RESTLESS).map((commands) => start(commands));
  const records = join(folder, 'records');
  // Only these: names of what else runs here would have to be waited for.
  const all = [...restless];
  for (const { name, pid } of pids) {
    const size = NEIGHBOURS[name]!.services.length;
    while (childrenOf(pid).length < size - 1) await pause(10);
    all.push(pid, ...childrenOf(pid));
  }
  const scope = all.flatMap((pid) => ['--pid', String(pid)]);
  const options = ['--hz', '299', '--duration', '5s', '--save-records', records];
  const live = await record(...options, ...scope);
  const found = servicesByPid(live);
  for (const { name, pid } of pids) {
    const { services } = NEIGHBOURS[name]!;
    const family = [pid, ...childrenOf(pid)];
    const stated = family.map((member) => [...(found.get(member) ?? ['no sample'])]);
    assert.deepEqual(
      stated,
      services.map((one) => [one]),
      name,
    );
  }
  for (const pid of restless) {
    for (const stated of found.get(pid) ?? []) assert.ok([null, 'one', 'two'].includes(stated));
  }
  const { problems } = live.tally;
  for (const reason of ['too_large', 'payload_unreadable']) {
    assert.ok(problems[`process_context_${reason}`]! > 0, `${reason}: ${JSON.stringify(problems)}`);
  }
  // What was read from processes is in the recording.
  assert.deepEqual(servicesByPid(await record('--replay', records)), found);
});

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.trim().split(' ').filter(Boolean).map(Number);
}

// libdatadog's own writer, as dd-trace brings it to Node.
test('a Node service that Datadog’s library names', async () => {
  const main = join(REPOSITORY, 'src/context/datadog-service-main.test-support.ts');
  const child = spawn(process.execPath, [main, 'checkout'], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  await once(child.stdout!, 'data');
  const { samples } = await record('--duration', '2s', '--pid', String(child.pid));
  assert.ok(samples.length > 0);
  assert.deepEqual([...new Set(samples.map((sample) => sample.service))], ['checkout']);
});
