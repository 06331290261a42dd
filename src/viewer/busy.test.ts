/** Whoever pulls much does not hold up the probes, nor the thread that the agent samples with. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { ask } from './ask.test-support.ts';
import { MOST_BUSY, MOST_CONNECTIONS } from './connections.ts';
import { exampleProfile } from './example-profile.test-support.ts';
import type { PackedAnswer } from './history-messages.ts';
import { HistoryThread } from './history-thread.ts';
import { startViewer, type ViewerOptions } from './server.ts';

const page = {
  policy: "default-src 'none'",
  html: '<!--flametap:title--><!--flametap:mode--><!--flametap:data-->',
};
const health = { live: { ok: true, words: 'sampling' }, ready: { ok: true, words: 'sampling' } };
const onFailure = (error: Error): never => assert.fail(error);

const start = (history: ViewerOptions['history']) =>
  startViewer({ listen: '127.0.0.1:0', history, health, page });

test('probes are answered while 64 clients pull the largest profile', async () => {
  const history = new HistoryThread({ maxBytes: 1e9, retentionMs: 1e12 }, { onFailure });
  const viewer = await start(history);
  try {
    for (let seed = 0; seed < 4; seed++) history.add(exampleProfile({ seed, samples: 40_000 }));
    let pulled = 0;
    const clients = Array.from({ length: 64 }, async (_, i) => {
      const reply = await ask(
        viewer.url,
        '/api/profile.json',
        i % 2 ? { 'Accept-Encoding': 'gzip' } : {},
      );
      if (reply.status === 200) pulled++;
      return reply;
    });
    let probes = 0;
    // The answer takes long to make: where it is made does not matter to a probe.
    while (pulled === 0) {
      const { status } = await ask(viewer.url, '/healthz');
      assert.equal(status, 200);
      if (pulled === 0) probes++;
    }
    const replies = await Promise.all(clients);
    const statuses = replies.map(({ status }) => status);
    assert.ok(probes >= 3, `${probes} probes were answered before the first download began`);
    assert.ok(statuses.filter((status) => status === 200).length >= MOST_BUSY);
    for (const { status, headers } of replies)
      if (status !== 200) assert.deepEqual([status, headers['retry-after']], [503, '1']);
    const whole = replies.filter(({ headers }) => headers['content-encoding'] === undefined);
    const texts = whole.filter(({ status }) => status === 200).map(({ body }) => body.toString());
    assert.equal(new Set(texts).size, 1);
    assert.ok(JSON.parse(texts[0]!).samples.length > 10_000);
  } finally {
    await viewer.close();
    await history.close();
  }
});

test('connections without a request, more than there is room for, keep no probe out', async () => {
  const history = new HistoryThread({ maxBytes: 1e8, retentionMs: 1e12 }, { onFailure });
  const viewer = await start(history);
  const port = Number(new URL(viewer.url).port);
  const idle = Array.from({ length: 3 * MOST_CONNECTIONS }, () => connect(port, '127.0.0.1'));
  try {
    await Promise.all(
      idle.map((socket) => {
        socket.on('error', () => {});
        return once(socket, 'connect');
      }),
    );
    for (let i = 0; i < 10; i++) assert.equal((await ask(viewer.url, '/healthz')).status, 200);
  } finally {
    for (const socket of idle) socket.destroy();
    await viewer.close();
    await history.close();
  }
});

test('a client that reads nothing is not waited for by others, and holds no copy of its own', async () => {
  const history = new HistoryThread({ maxBytes: 1e9, retentionMs: 1e12 }, { onFailure });
  const viewer = await start(history);
  const port = Number(new URL(viewer.url).port);
  const stuck = Array.from({ length: 20 }, () => connect(port, '127.0.0.1'));
  try {
    for (let seed = 0; seed < 4; seed++) history.add(exampleProfile({ seed, samples: 40_000 }));
    const whole = await ask(viewer.url, '/api/profile.json');
    for (const socket of stuck) {
      socket.on('error', () => {});
      socket.pause();
      socket.write('GET /api/profile.json HTTP/1.1\r\nHost: localhost\r\n\r\n');
    }
    const before = process.memoryUsage();
    for (let i = 0; i < 5; i++) {
      const reply = await ask(viewer.url, '/api/profile.json');
      assert.equal(reply.body.length, whole.body.length);
    }
    global.gc?.();
    const more = process.memoryUsage().arrayBuffers - before.arrayBuffers;
    assert.ok(more < 10 * whole.body.length, `${more} bytes more for 20 of ${whole.body.length}`);
  } finally {
    for (const socket of stuck) socket.destroy();
    await viewer.close();
    await history.close();
  }
});

/** Answers when told to. */
function slowHistory() {
  const asked = Promise.withResolvers<void>();
  const made = Promise.withResolvers<PackedAnswer>();
  const history: ViewerOptions['history'] = {
    version: 1,
    ask: () => {
      asked.resolve();
      return made.promise;
    },
  };
  const body = new TextEncoder().encode('"made"');
  const answer = () =>
    made.resolve({ status: 200, type: 'application/json', headers: {}, body, isPacked: false });
  return { history, asked: asked.promise, answer };
}

test('whoever waits for an answer is not idle: its connection ends not before it', async () => {
  const { history, asked, answer } = slowHistory();
  const options = { listen: '127.0.0.1:0', history, health, page };
  const viewer = await startViewer(options, { idleMs: 50, answerMs: 1e6 });
  try {
    const waiting = ask(viewer.url, '/api/flame');
    await asked;
    // Two that do nothing, one after the other, are closed meanwhile.
    for (let i = 0; i < 2; i++) {
      const idle = connect(viewer.port, '127.0.0.1');
      idle.resume();
      await once(idle, 'close');
    }
    answer();
    const { status, body } = await waiting;
    assert.deepEqual([status, body.toString()], [200, '"made"']);
  } finally {
    await viewer.close();
  }
});

test('an answer that takes too long is told, and is there for who comes again', async () => {
  const { history, answer } = slowHistory();
  const options = { listen: '127.0.0.1:0', history, health, page };
  const viewer = await startViewer(options, { idleMs: 1e6, answerMs: 50 });
  try {
    const { status, headers } = await ask(viewer.url, '/api/flame');
    assert.deepEqual([status, headers['retry-after']], [503, '1']);
    answer();
    for (let reply = status; reply !== 200; )
      ({ status: reply } = await ask(viewer.url, '/api/flame'));
  } finally {
    await viewer.close();
  }
});
