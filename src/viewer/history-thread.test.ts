import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { encodePprof } from '../profile/pprof.ts';
import { exampleProfile } from './example-profile.test-support.ts';
import { HistoryThread } from './history-thread.ts';
import { ProfileStore } from './store.ts';

const LIMITS = { maxBytes: 1e8, retentionMs: 1e12 };
const FAILING = new URL('./history-failing-main.test-support.ts', import.meta.url);
const HUNGRY = new URL('./history-hungry-main.test-support.ts', import.meta.url);
const profile = exampleProfile({ samples: 500 });
const never = (error: Error): never => assert.fail(error);

test('the thread answers what a store here would', async () => {
  const store = new ProfileStore(LIMITS);
  store.add(profile);
  const history = new HistoryThread(LIMITS, { onFailure: never });
  try {
    history.add(profile);
    const before = history.version;
    const pprof = await history.ask('/api/profile.pprof');
    assert.deepEqual(gunzipSync(pprof.body), gunzipSync(encodePprof(store.profile())));
    const folded = await history.ask('/api/profile.folded?process=postgres');
    assert.deepEqual([folded.status, folded.isPacked], [200, true]);
    assert.match(gunzipSync(folded.body).toString(), /^postgres;.* \d+$/m);
    const wrong = await history.ask('/api/flame?seconds=0');
    assert.equal(wrong.status, 400);
    history.limit({ ...LIMITS, maxBytes: 1 });
    assert.ok(history.version > before);
    const status = await history.ask('/api/status');
    assert.equal(JSON.parse(Buffer.from(status.body).toString()).profiles, 0);
  } finally {
    await history.close();
  }
});

test('a thread that fails starts anew: questions are told, losses counted, the agent goes on', async () => {
  const failures: string[] = [];
  const failed = Promise.withResolvers<void>();
  const history = new HistoryThread(
    LIMITS,
    {
      onFailure: ({ message }) => {
        failures.push(message);
        failed.resolve();
      },
    },
    FAILING,
  );
  try {
    assert.equal((await history.ask('/hello')).status, 200);
    history.add(profile);
    const waiting = assert.rejects(history.ask('/hang'), { name: 'HistoryError' });
    await assert.rejects(history.ask('/die'), { name: 'HistoryError' });
    await Promise.all([waiting, failed.promise]);
    assert.deepEqual(failures, ['told to die']);
    history.add(profile);
    await assert.rejects(history.ask('/hello'), /started anew/);
    assert.deepEqual(history.losses, { restarts: 1, profiles: { behind: 0, restarting: 2 } });
    await untilAnswered(history);
  } finally {
    await history.close();
  }
});

test('a thread that is out of memory ends alone: the agent goes on, and another begins', async () => {
  const failed = Promise.withResolvers<NodeJS.ErrnoException>();
  const history = new HistoryThread(
    { ...LIMITS, maxBytes: 1 },
    { onFailure: failed.resolve },
    HUNGRY,
  );
  try {
    await assert.rejects(history.ask('/all'), { name: 'HistoryError' });
    assert.equal((await failed.promise).code, 'ERR_WORKER_OUT_OF_MEMORY');
    assert.equal(history.losses.restarts, 1);
    await untilAnswered(history);
  } finally {
    await history.close();
  }
});

/** It comes back by itself. */
async function untilAnswered(history: HistoryThread): Promise<void> {
  for (let answered = false; !answered; ) {
    answered = await history.ask('/hello').then(
      () => true,
      () => false,
    );
    if (!answered) await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('a mistake in one answer is an error of that one', async () => {
  const history = new HistoryThread(LIMITS, { onFailure: never }, FAILING);
  try {
    await assert.rejects(history.ask('/fail'), /could not be made: told to fail/);
    assert.equal((await history.ask('/hello')).status, 200);
  } finally {
    await history.close();
  }
});

test('profiles do not pile up before a thread that is busy: those beyond are counted', async () => {
  const history = new HistoryThread(LIMITS, { onFailure: never }, FAILING);
  try {
    for (let i = 0; i < 20; i++) history.add(profile);
    assert.deepEqual(history.losses.profiles, { behind: 12, restarting: 0 });
  } finally {
    await history.close();
  }
});

test('a thread that cannot even be started is tried again', async () => {
  const entry = new URL(FAILING);
  const impossible = 'http://localhost/';
  entry.href = impossible;
  const failures: string[] = [];
  const history = new HistoryThread(
    LIMITS,
    {
      onFailure: ({ message }) => {
        failures.push(message);
        if (failures.length === 2) entry.href = FAILING.href;
      },
    },
    entry,
  );
  try {
    assert.equal(failures.length, 1);
    await assert.rejects(history.ask('/hello'), { name: 'HistoryError' });
    let answer: { status: number } | undefined;
    while (answer === undefined) {
      await pause(50);
      answer = await history.ask('/hello').catch(() => undefined);
    }
    assert.equal(answer.status, 200);
    assert.deepEqual([failures.length, history.losses.restarts], [2, 2]);
  } finally {
    await history.close();
  }
});
