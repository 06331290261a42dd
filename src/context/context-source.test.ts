/** Real processes that publish well, badly, late and all the time. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { buildProgram } from '../../test/harness/programs.ts';
import { loadAddon } from '../capture/addon.ts';
import { LiveHost } from '../process/host.ts';
import type { Identity } from '../process/process.ts';
import { PATIENT_WAIT_LIMITS } from '../process/wait-budget.ts';
import { bootTime, hostPid } from '../units/units.ts';
import { type ContextHost, LiveContexts, type Publication } from './context-source.ts';
import { payloadOf } from './payload.test-support.ts';
import { type ProcessContext, parseProcessContext } from './process-context.ts';

const host = new LiveHost(loadAddon(), undefined, PATIENT_WAIT_LIMITS);
const clock = (): number => Number(process.hrtime.bigint());
const contexts = new LiveContexts(host, clock);
const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) {
    child.removeAllListeners('close');
    process.kill(-child.pid!, 'SIGKILL');
  }
});

const hex = (payload: Uint8Array): string => Buffer.from(payload).toString('hex');
const service = (name: string, size = 0): Buffer =>
  payloadOf({ 'service.name': name }, { filler: name.repeat(size) });

function identityOf(pid: number): Identity {
  return { pid: hostPid(pid), execId: 0, startNs: host.startTime(hostPid(pid))! };
}

/** Starts a program and waits for as many lines as are said. @returns the pids that they name */
async function start(
  command: readonly string[],
  lines = 1,
  environment: Readonly<Record<string, string>> = {},
): Promise<Identity[]> {
  const child = spawn(command[0]!, command.slice(1), {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...environment },
    detached: true,
  });
  children.push(child);
  const said = Promise.withResolvers<void>();
  let text = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    if (text.split('\n').length > lines) said.resolve();
  });
  child.on('close', () => said.reject(new Error(`${command.join(' ')} said only: ${text}`)));
  await said.promise;
  return [...text.matchAll(/^\w+ (\d+)$/gm)].map(([, pid]) => identityOf(Number(pid)));
}

const publisher = async (...commands: string[]): Promise<Identity> =>
  (await start([buildProgram('process-context'), ...commands, 'say', 'ready', 'stay']))[0]!;

function found(identity: Identity): Publication | undefined {
  const answer = contexts.publication(identity);
  assert.ok(!('reason' in answer), `refused: ${'reason' in answer && answer.reason}`);
  return answer.found;
}

const contextOf = (identity: Identity): ProcessContext =>
  parseProcessContext(found(identity)!.payload);
const nameOf = (identity: Identity): unknown => contextOf(identity).resource.get('service.name');

test('a context in a memfd is found, and is current until it is updated or withdrawn', async () => {
  const payloads = ['shop', 'till'].map((name) => hex(service(name)));
  const identity = await publisher('memfd', payloads[0]!);
  const publication = found(identity)!;
  assert.equal(nameOf(identity), 'shop');
  assert.ok(contexts.isCurrent(identity, publication));

  const updated = await publisher('memfd', payloads[0]!, 'update', payloads[1]!);
  assert.equal(nameOf(updated), 'till');
  assert.ok(!contexts.isCurrent(updated, { ...publication, place: found(updated)!.place }));

  const withdrawn = await publisher('memfd', payloads[0]!, 'withdraw');
  assert.equal(found(withdrawn), undefined);
  assert.ok(!contexts.isCurrent(withdrawn, publication));
});

test('a process without: nothing is found, and nothing is wrong', async () => {
  const answer = contexts.publication(await publisher());
  assert.deepEqual(Object.keys(answer), ['found', 'readAt']);
  assert.equal('found' in answer && answer.found, undefined);
});

// The mapping is not inherited: a child is found by what it publishes itself.
test('a child has no context of its parent, only its own', async () => {
  const program = buildProgram('process-context');
  const payload = hex(service('parent'));
  const before = ['memfd', payload, 'say', 'parent', 'fork', 'say', 'child'];
  const [parent, child] = await start([program, ...before, 'stay'], 2);
  assert.equal(nameOf(parent!), 'parent');
  assert.equal(found(child!), undefined);
  const own = [...before, 'memfd', hex(service('child')), 'say', 'done', 'stay'];
  const [parent2, child2] = await start([program, ...own], 3);
  assert.equal(nameOf(parent2!), 'parent');
  assert.equal(nameOf(child2!), 'child');
});

test('another program in the same process has its own context or none', async () => {
  const program = buildProgram('process-context');
  const payload = hex(service('before'));
  const first = ['memfd', payload, 'exec', program];
  const [none] = await start([program, ...first, 'say', 'ready', 'stay']);
  assert.equal(found(none!), undefined);
  const [own] = await start([
    program,
    ...first,
    ...['memfd', hex(service('after')), 'say', 'ready', 'stay'],
  ]);
  assert.equal(nameOf(own!), 'after');
});

/** Resolves when it does nothing any more. */
async function stop({ pid }: Identity): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  while (!/^State:\tT/m.test(readFileSync(`/proc/${pid}/status`, 'latin1')))
    await new Promise((resolve) => setTimeout(resolve, 1));
}

// Each payload is of one letter throughout: a torn one would have both, or not parse.
test('updates in a tight loop: each read is whole, or refused as changing', async () => {
  const payloads = ['a', 'b'].map((name, i) => hex(service(name, 4000 + 3000 * i)));
  const identity = await publisher('memfd', payloads[0]!, 'say', 'first', 'loop', ...payloads);
  const names = new Set<unknown>();
  let refused = 0;
  for (let i = 0; names.size < 2 || i < 2000; i++) {
    // With a CPU of its own it may never stand still as long as a read takes: then it is stopped.
    const isStopped = i % 20 === 0;
    if (isStopped) await stop(identity);
    const answer = contexts.publication(identity);
    if (isStopped) process.kill(identity.pid, 'SIGCONT');
    if ('reason' in answer) {
      assert.equal(answer.reason, 'changing');
      refused++;
      continue;
    }
    const context = parseProcessContext(answer.found!.payload);
    const name = String(context.resource.get('service.name'));
    const filler = String(context.attributes.get('filler'));
    assert.match(filler, name === 'a' ? /^a{4000}$/ : /^b{7000}$/);
    names.add(name);
  }
  assert.equal(names.size, 2, `${[...names]} read, ${refused} refused`);
});

test('a time stamp that never stands still: refused as changing, after three attempts', async () => {
  const identity = await publisher('memfd', hex(service('shop')));
  let reads = 0;
  const flapping: ContextHost = {
    startTime: (pid) => host.startTime(pid),
    readAllMaps: (pid) => host.readAllMaps(pid),
    readEnvironment: (pid) => host.readEnvironment(pid),
    readMemory: (pid, address, length) => {
      const bytes = host.readMemory(pid, address, length);
      if (length === 32) bytes[16] = ++reads;
      return bytes;
    },
  };
  assert.deepEqual(new LiveContexts(flapping, clock).publication(identity), { reason: 'changing' });
  assert.equal(reads, 6);
});

const broken: [kind: string, reason: string][] = [
  ['signature', 'signature'],
  ['version', 'version'],
  ['size', 'too_large'],
  ['large', 'payload_unreadable'],
  ['unmapped', 'payload_unreadable'],
  ['kernel', 'pointer'],
  ['unwritten', 'changing'],
  ['file', 'payload_in_file'],
];
for (const [kind, reason] of broken)
  test(`garbage in ${kind}: refused as ${reason}`, async () => {
    const answer = contexts.publication(await publisher('broken', kind, hex(service('shop'))));
    assert.equal('reason' in answer && answer.reason, reason);
  });

test('a good one beside a bad one is found', async () => {
  const payload = hex(service('shop'));
  for (const commands of [
    ['broken', 'version', payload, 'memfd', payload],
    ['memfd', payload, 'broken', 'unmapped', payload],
  ]) {
    assert.equal(nameOf(await publisher(...commands)), 'shop');
  }
});

test('a process that is gone, and one that has its pid now', async () => {
  const identity = await publisher('memfd', hex(service('shop')));
  const other = { ...identity, startNs: bootTime(identity.startNs - 1_000_000_000n) };
  assert.deepEqual(contexts.publication(other), { reason: 'gone' });
  assert.deepEqual(contexts.environment(other), { reason: 'gone' });
  const child = children.at(-1)!;
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
  children.pop();
  assert.deepEqual(contexts.publication(identity), { reason: 'gone' });
  assert.deepEqual(contexts.environment(identity), { reason: 'gone' });
});

test('the environment of a process', async () => {
  const command = [buildProgram('process-context'), 'say', 'ready', 'stay'];
  const [named] = await start(command, 1, { OTEL_SERVICE_NAME: 'shop' });
  const answer = contexts.environment(named!);
  assert.deepEqual('found' in answer && answer.found, {
    serviceName: 'shop',
    resourceAttributes: '',
  });
});

// Not our own writer: libdatadog's, as dd-trace for Node brings it.
test('what libdatadog publishes from Node', async () => {
  const main = join(import.meta.dirname, 'datadog-service-main.test-support.ts');
  const [identity] = await start([process.execPath, main, 'shop']);
  const { resource } = contextOf(identity!);
  const known = [
    ...['service.name', 'service.version', 'service.instance.id'],
    ...['deployment.environment.name', 'telemetry.sdk.language', 'host.name'],
  ].map((key) => resource.get(key));
  assert.deepEqual(known, ['shop', '1.2.3', 'c0ffee', 'prod', 'nodejs', 'web-1']);
});
