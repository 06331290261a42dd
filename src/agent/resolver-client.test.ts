import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { AddressQueries } from '../profile/address-collection.ts';
import { bootTime } from '../units/units.ts';
import type { ResolverSetup } from './messages.ts';
import { patienceOf } from './pipeline.ts';
import { ResolverClient, type ResolverClientOptions } from './resolver-client.ts';
import { CRASHING, STUB } from './resolver-stub-main.test-support.ts';

const SETUP: ResolverSetup = {
  maps: {
    processes: -1,
    mappings: -1,
    files: -1,
    tables: -1,
    nodeLayouts: -1,
    mappingCount: 1,
    fileCount: 1,
    tableCount: 1,
  },
  maxDepth: 128,
  patience: patienceOf(true),
  isSteady: true,
  announcesContexts: false,
  saveSnapshots: false,
  snapshots: undefined,
  symbols: undefined,
};

const QUERIES: AddressQueries = {
  length: 1,
  instance: Uint32Array.of(0),
  layout: Uint32Array.of(1),
  low: Uint32Array.of(0x1000),
  high: Uint32Array.of(0),
  samples: Float64Array.of(1),
};
const INSTANCES = [{ pid: 7, execId: 1, startNs: bootTime(5n), comm: 0 }];
const COPY = new Uint8Array(64);

async function started(context: TestContext, options: ResolverClientOptions = {}) {
  const lost: Record<string, number> = {};
  const told: string[] = [];
  const failures: Error[] = [];
  let restarted = Promise.withResolvers<void>();
  const client = new ResolverClient(
    {
      onSamples() {},
      onSnapshot() {},
      onWaiting() {},
      onWarning() {},
      onLost: (reason, samples) => {
        lost[reason] = (lost[reason] ?? 0) + samples;
      },
      onRestart: (cause, pauseMs) => {
        told.push(`${pauseMs} ${(cause.cause as Error | undefined)?.message}`);
      },
      onRestarted: () => restarted.resolve(),
      onFailure: (error) => failures.push(error),
    },
    {
      entry: new URL('./resolver-stub-main.test-support.ts', import.meta.url),
      heapMib: 24,
      ...options,
    },
  );
  context.after(() => client.close());
  await client.start(SETUP);
  const restart = async (): Promise<void> => {
    await restarted.promise;
    restarted = Promise.withResolvers();
    // The client goes on after it has told.
    await new Promise(setImmediate);
  };
  const send = (what: number): boolean => {
    assert.equal(client.refusal(7, COPY.length), undefined);
    return client.batch(COPY, Uint8Array.of(what), 1);
  };
  return { client, lost, told, failures, restart, send };
}

for (const [how, what, words] of [
  ['an exception', STUB.crash, /the stub crashes/],
  ['an exhausted heap', STUB.exhaust, /memory limit/],
  ['an exit', STUB.exit, /exit code 3/],
] as const) {
  test(`after ${how} the thread runs again; the samples that it had are lost and counted`, async (context) => {
    const { client, lost, told, failures, restart, send } = await started(context);
    send(STUB.answer);
    await client.sync();
    send(STUB.keep);
    send(what);
    send(STUB.answer);
    const { problems } = await client.take();
    assert.deepEqual(lost, { resolver_restarted: 3 });
    assert.deepEqual(problems, { stub: 1 }, 'what the dead one had told stays');
    assert.match(told.join(), words);
    assert.match(told.join(), /^0 /);
    await restart();
    assert.ok(client.isUp);
    assert.equal(client.restarts, 1);
    send(STUB.answer);
    assert.equal((await client.sync()).problems.stub, 2);
    assert.equal((await client.resolve(QUERIES, INSTANCES)).locations[0]?.address, 1);
    assert.deepEqual([lost, failures], [{ resolver_restarted: 3 }, []]);
  });
}

test('a question is put to the new thread', async (context) => {
  const { client, told, send } = await started(context);
  send(STUB.crash);
  const { processes } = await client.resolve(QUERIES, INSTANCES);
  assert.equal(processes[0]?.name, 'stub');
  assert.equal(told.length, 1);
});

// As arguments of one call they would not fit on the stack: that ended the agent.
test('an answer with 300,000 new locations is taken', async (context) => {
  const { client } = await started(context, { heapMib: 256 });
  const column = () => new Uint32Array(300_000);
  const queries = { ...QUERIES, length: 300_000, instance: column(), layout: column() };
  const many = { ...queries, low: column(), high: column(), samples: new Float64Array(300_000) };
  const { locations } = await client.resolve(many, INSTANCES);
  assert.equal(locations.filter((location) => location?.type === 'native').length, 300_000);
});

test('a question at which the thread fails twice is answered with nothing', async (context) => {
  const { client, told, restart } = await started(context);
  const deadly = { ...QUERIES, low: Uint32Array.of(CRASHING) };
  const answer = client.resolve(deadly, INSTANCES);
  await restart();
  assert.deepEqual(await answer, { locations: [undefined], processes: [undefined] });
  assert.equal(told.length, 2);
  assert.ok(!client.isUp);
  assert.equal(client.refusal(7, 1), 'stack_copy_resolver_restarting');
  // While it is down nothing waits for it.
  assert.equal((await client.sync()).processes, 0);
  await restart();
  assert.equal((await client.resolve(QUERIES, INSTANCES)).processes[0]?.name, 'stub');
});

test('what finds no room is dropped, counted, and told with the next batch', async (context) => {
  const limits = { copyBytes: 1 << 20, processCopyBytes: 128, bytes: 200 };
  const { client, lost, send } = await started(context, { limits });
  assert.ok(send(STUB.keep));
  assert.ok(send(STUB.keep));
  assert.equal(client.refusal(7, 64), 'stack_copy_resolver_behind', 'this process has two');
  assert.equal(client.refusal(8, 64), undefined);
  assert.ok(!client.batch(new Uint8Array(64), Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0), 3));
  assert.deepEqual(lost, { resolver_behind: 1 });
});

test('a thread that does not answer is given up, and what was asked is asked of the next one', async (context) => {
  const { client, lost, told, send } = await started(context, { pingMs: 100 });
  send(STUB.hang);
  const { processes } = await client.resolve(QUERIES, INSTANCES);
  assert.equal(processes[0]?.name, 'stub');
  assert.match(told.join(), /has not answered/);
  assert.deepEqual(lost, { resolver_restarted: 1 });
});

// A hundred busy processes had it started again, and all of its samples were lost.
test('a thread that gets no CPU is not taken for one that hangs', async (context) => {
  let [pings, waited] = [0, 0];
  let starves = true;
  const waitedMs = (): number => {
    pings++;
    waited += starves ? 100 : 0;
    return waited;
  };
  const { client, told, send } = await started(context, { pingMs: 100, waitedMs });
  send(STUB.hang);
  while (pings < 40) await new Promise((resolve) => setTimeout(resolve, 100));
  assert.deepEqual(told, []);
  starves = false;
  await client.resolve(QUERIES, INSTANCES);
  assert.match(told.join(), /has not answered/);
});

test('at the end nothing is asked twice of a thread that does not answer', async (context) => {
  const { client, told, send } = await started(context, { pingMs: 100 });
  client.hurry();
  send(STUB.hang);
  const { processes } = await client.resolve(QUERIES, INSTANCES);
  assert.deepEqual(processes, [undefined]);
  assert.equal(told.length, 1);
});

test('a thread that cannot even be started is tried again', async (context) => {
  const entry = new URL('./resolver-stub-main.test-support.ts', import.meta.url);
  const { href } = entry;
  const { client, told, failures, restart, send } = await started(context, { entry });
  entry.href = 'http://localhost/';
  send(STUB.crash);
  while (told.length < 2) await client.sync().then(() => new Promise(setImmediate));
  entry.href = href;
  await restart();
  assert.equal((await client.resolve(QUERIES, INSTANCES)).processes[0]?.name, 'stub');
  assert.equal(told.length, 2);
  assert.deepEqual(failures, []);
});
