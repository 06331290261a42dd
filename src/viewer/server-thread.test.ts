import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { ask } from './ask.test-support.ts';
import { exampleProfile } from './example-profile.test-support.ts';
import { HistoryError, localHistory } from './history.ts';
import { ServerThread, type ServerThreadOptions } from './server-thread.ts';
import { ProfileStore } from './store.ts';

const FAILING = new URL('./server-failing-main.test-support.ts', import.meta.url);
const PROBE = new URL('./probe-main.test-support.ts', import.meta.url);
const page = {
  policy: "default-src 'none'",
  html: '<!--flametap:title--><!--flametap:mode--><!--flametap:data-->',
};
const well = { ok: true, words: 'sampling' };
const never = (error: unknown): never => assert.fail(error as Error);

const options = (more: Partial<ServerThreadOptions> = {}): ServerThreadOptions => ({
  listen: '127.0.0.1:0',
  history: { version: 1, ask: () => Promise.reject(new HistoryError('nothing is kept')) },
  page,
  health: { live: well, ready: well },
  metrics: ({ restarts, drops }) => JSON.stringify({ restarts, drops }),
  onError: never,
  onFailure: never,
  ...more,
});

test('probes are answered while the thread that samples stands still', async () => {
  const server = await ServerThread.start(options());
  const status = new Int32Array(new SharedArrayBuffer(4));
  const workerData = { url: server.url, path: '/healthz', status };
  const probe = new Worker(PROBE, { workerData });
  try {
    await once(probe, 'online');
    // Nothing runs here until the probe has its answer.
    Atomics.wait(status, 0, 0, 60_000);
    assert.equal(status[0], 200);
  } finally {
    await probe.terminate();
    await server.close();
  }
});

test('the thread answers with what the agent knows: its profiles, its status, its metrics, its health', async () => {
  const store = new ProfileStore({ maxBytes: 1e8, retentionMs: 1e15 });
  store.add(exampleProfile({ samples: 500 }));
  let ready = { ok: false, words: 'no profile yet' };
  const health = {
    live: well,
    get ready() {
      return ready;
    },
  };
  const history = localHistory(store, () => page);
  const token = 'a-token-of-sixteen';
  const server = await ServerThread.start(
    options({ history, health, token, status: () => ({ hz: 99 }) }),
  );
  const headers = { authorization: `Bearer ${token}` };
  const get = async (path: string) => (await ask(server.url, path, headers)).body.toString();
  try {
    assert.equal(JSON.parse(await get('/api/flame')).total, store.flame().total);
    assert.equal(JSON.parse(await get('/api/status')).agent.hz, 99);
    const { restarts, drops } = JSON.parse(await get('/metrics'));
    assert.deepEqual([restarts, Object.keys(drops).length > 2], [0, true]);
    assert.equal((await ask(server.url, '/api/flame')).status, 401);
    assert.equal((await ask(server.url, '/readyz')).body.toString(), 'no profile yet\n');
    ready = well;
    while ((await ask(server.url, '/readyz')).status !== 200);
    store.add(exampleProfile({ samples: 500, seed: 1 }));
    while (JSON.parse(await get('/api/flame')).total !== store.flame().total);
  } finally {
    await server.close();
  }
});

test('what nobody can answer now is 503, a failure is told and is 500 without details', async () => {
  const errors: string[] = [];
  const server = await ServerThread.start(
    options({
      metrics: () => {
        throw new Error('secret path');
      },
      onError: (error) => errors.push((error as Error).message),
    }),
  );
  try {
    assert.equal((await ask(server.url, '/api/flame')).status, 503);
    assert.equal(errors.length, 0);
    const { status, body } = await ask(server.url, '/metrics');
    assert.equal(status, 500);
    assert.doesNotMatch(body.toString(), /secret/);
    assert.deepEqual(errors, ['secret path']);
  } finally {
    await server.close();
  }
});

test('a port in use, or an address that is none, is an error that says what to do', async () => {
  const server = await ServerThread.start(options());
  try {
    await assert.rejects(ServerThread.start(options({ listen: `127.0.0.1:${server.port}` })), {
      name: 'ViewerError',
      message: /is in use.*listen on another port/,
    });
    await assert.rejects(ServerThread.start(options({ listen: '7099' })), /write host:port/);
    await assert.rejects(ServerThread.start(options({ listen: '0.0.0.0:0' })), /set a token/);
  } finally {
    await server.close();
  }
});

test('a thread that fails starts anew where it listened before, and that is told', async () => {
  const failures: string[] = [];
  const second = Promise.withResolvers<void>();
  const server = await ServerThread.start(
    options({
      onFailure: ({ message }) => {
        failures.push(message);
        if (failures.length === 2) second.resolve();
      },
    }),
    FAILING,
  );
  try {
    await second.promise;
    assert.deepEqual(failures, ['told to die on 0', 'told to die on 4711']);
    assert.equal(server.port, 4_711);
  } finally {
    await server.close();
  }
});
