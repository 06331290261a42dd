import assert from 'node:assert/strict';
import { connect, Server } from 'node:net';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { isLoopbackHostHeader, listenAddress } from './address.ts';
import { ask } from './ask.test-support.ts';
import { exampleProfile } from './example-profile.test-support.ts';
import { type History, HistoryError, localHistory } from './history.ts';
import type { PageTemplate } from './page-file.ts';
import { startViewer, type Viewer, type ViewerOptions } from './server.ts';
import { ProfileStore } from './store.ts';

// Stands in for the built page: what is served does not depend on what is in it.
const page: PageTemplate = {
  policy: "default-src 'none'",
  html: '<title><!--flametap:title--></title><script data-mode="<!--flametap:mode-->"><!--flametap:data--></script>',
};

const store = new ProfileStore({ maxBytes: 1e8, retentionMs: 1e15 });
store.add(exampleProfile({ samples: 500 }));

const start = (options: Partial<ViewerOptions> = {}): Promise<Viewer> =>
  startViewer({
    listen: '127.0.0.1:0',
    history: localHistory(store, () => page),
    page,
    ...options,
  });

let viewer: Viewer;
before(async () => {
  viewer = await start({ status: () => ({ hz: 99 }) });
});
after(() => viewer.close());

test('the page and every answer carry the security headers and no CORS', async () => {
  for (const path of ['/', '/api/flame', '/api/status', '/nothing']) {
    const { headers } = await ask(viewer.url, path);
    assert.match(
      String(headers['content-security-policy']),
      /default-src 'none'.*frame-ancestors 'none'/,
    );
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['referrer-policy'], 'no-referrer');
    assert.equal(headers['x-frame-options'], 'DENY');
    assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
    assert.equal(headers['access-control-allow-origin'], undefined);
  }
});

test('the API answers the tree, gzipped only on request, and 304 while nothing is new', async () => {
  const plain = await ask(viewer.url, '/api/flame?seconds=60');
  assert.equal(JSON.parse(plain.body.toString()).total, store.flame().total);
  const packed = await ask(viewer.url, '/api/flame?seconds=60', { 'Accept-Encoding': 'gzip, br' });
  assert.equal(packed.headers['content-encoding'], 'gzip');
  assert.deepEqual(gunzipSync(packed.body), plain.body);
  const same = await ask(viewer.url, '/api/flame?seconds=60', {
    'If-None-Match': plain.headers.etag!,
  });
  assert.deepEqual([same.status, same.body.length], [304, 0]);
});

test('processes, status and pprof answer, and the filters reach the store', async () => {
  const processes: { name: string; samples: number }[] = JSON.parse(
    (await ask(viewer.url, '/api/processes')).body.toString(),
  );
  assert.deepEqual(processes, store.processes());
  const status = JSON.parse((await ask(viewer.url, '/api/status')).body.toString());
  assert.equal(status.agent.hz, 99);
  assert.equal(status.tally.exported, store.tally().exported);
  const name = encodeURIComponent(processes[0]!.name);
  const flame = await ask(viewer.url, `/api/flame?process=${name}&kernel=0`);
  assert.equal(JSON.parse(flame.body.toString()).total, processes[0]!.samples);
  const pprof = await ask(viewer.url, '/api/profile.pb.gz?seconds=60');
  assert.equal(pprof.headers['content-type'], 'application/octet-stream');
  assert.ok(gunzipSync(pprof.body).length > 1_000);
});

test('only hosts that are this machine are answered: DNS rebinding ends at 421', async () => {
  const port = new URL(viewer.url).port;
  for (const host of [
    `localhost:${port}`,
    `127.0.0.1:${port}`,
    'LOCALHOST',
    `[::1]:${port}`,
    '127.9.9.9',
  ]) {
    assert.equal((await ask(viewer.url, '/', { Host: host })).status, 200, host);
  }
  for (const host of [
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '10.0.0.1',
    '127.1',
    '[::2]',
    'localhost@evil',
  ]) {
    assert.equal((await ask(viewer.url, '/api/flame', { Host: host })).status, 421, host);
  }
  for (const header of [undefined, '', ' localhost']) {
    assert.equal(isLoopbackHostHeader(header), false);
  }
});

test('requests that a page of another origin makes are refused, links to the page are not', async () => {
  const from = (site: string, mode: string) => ({ 'Sec-Fetch-Site': site, 'Sec-Fetch-Mode': mode });
  assert.equal((await ask(viewer.url, '/api/flame', from('cross-site', 'no-cors'))).status, 403);
  assert.equal((await ask(viewer.url, '/api/flame', from('same-site', 'cors'))).status, 403);
  assert.equal((await ask(viewer.url, '/', from('cross-site', 'no-cors'))).status, 403);
  assert.equal((await ask(viewer.url, '/', from('cross-site', 'navigate'))).status, 200);
  assert.equal((await ask(viewer.url, '/api/flame', from('same-origin', 'cors'))).status, 200);
});

test('other methods, paths, long addresses and odd parameters have their own refusals', async () => {
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
    const { status, headers } = await ask(viewer.url, '/', {}, method);
    assert.deepEqual([status, headers.allow], [405, 'GET, HEAD'], method);
  }
  const head = await ask(viewer.url, '/', {}, 'HEAD');
  assert.deepEqual([head.status, head.body.length], [200, 0]);
  for (const path of [
    '/../../etc/passwd',
    '/%2e%2e/%2e%2e/etc/passwd',
    '//etc/passwd',
    '/api/flame/',
    '/page.html',
    '/..%5c',
    '/api/../src',
  ]) {
    const { status, body } = await ask(viewer.url, path);
    assert.ok(status === 404 || status === 400, `${path}: ${status}`);
    assert.doesNotMatch(body.toString(), /root:/);
  }
  assert.equal((await ask(viewer.url, 'http://127.0.0.1/')).status, 400);
  assert.equal((await ask(viewer.url, `/api/flame?process=${'a'.repeat(5_000)}`)).status, 414);
  for (const query of [
    'seconds=0',
    'seconds=-1',
    'seconds=1e3',
    'seconds=99999999',
    'kernel=2',
    'x=1',
    `process=${'a'.repeat(300)}`,
    `${'process=a&'.repeat(65)}kernel=1`,
  ]) {
    assert.equal((await ask(viewer.url, `/api/flame?${query}`)).status, 400, query);
  }
});

test('headers larger than the limit and clients that never finish are cut off', async () => {
  const { port } = new URL(viewer.url);
  const ends = (text: string) =>
    new Promise<number>((resolve) => {
      const began = Date.now();
      const socket = connect(Number(port), '127.0.0.1', () => socket.write(text));
      socket.on('error', () => {});
      socket.on('close', () => resolve(Date.now() - began));
      socket.resume();
    });
  assert.ok((await ends(`GET / HTTP/1.1\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`)) < 2_000);
  assert.ok((await ends('GET / HTTP/1.1\r\nHost: loc')) < 9_000);
});

test('beyond loopback a token is demanded before anything listens', async () => {
  for (const listen of ['0.0.0.0:0', '[::]:0', '192.0.2.1:0', 'example.org:0']) {
    await assert.rejects(start({ listen }), /set a token/);
  }
  await assert.rejects(start({ listen: '0.0.0.0:0', token: 'short' }), /at least 16/);
  for (const listen of ['', 'x', ':80', '127.0.0.1', '127.0.0.1:99999', '::1:80', '[x]:1']) {
    assert.throws(() => listenAddress(listen), /no address to listen on/, listen);
  }
});

test('the token opens by header, or once by URL and then by cookie', async () => {
  const token = 'correct-horse-battery';
  const guarded = await start({ listen: '0.0.0.0:0', token });
  const url = `http://127.0.0.1:${new URL(guarded.url).port}/`;
  try {
    for (const headers of [
      {},
      { Authorization: 'Bearer wrong-wrong-wrong' },
      { Cookie: `flametap_1=${token}` },
    ] as Record<string, string>[]) {
      assert.equal((await ask(url, '/api/status', headers)).status, 401);
    }
    assert.equal((await ask(url, '/?token=wrong-wrong-wrong-x')).status, 401);
    assert.equal((await ask(url, '/api/status', { Authorization: `Bearer ${token}` })).status, 200);
    const opened = await ask(url, `/?token=${token}`);
    assert.deepEqual([opened.status, opened.headers.location], [303, '/']);
    const cookie = opened.headers['set-cookie']![0]!;
    assert.match(cookie, /HttpOnly; SameSite=Lax/);
    assert.ok(!cookie.includes(token));
    const again = await ask(url, '/api/status', { Cookie: `a=b; ${cookie.split(';')[0]}` });
    assert.equal(again.status, 200);
  } finally {
    await guarded.close();
  }
});

test('of requests without the token that come in one piece one is answered, and the probe is', async () => {
  const well = { ok: true, words: 'ok' };
  const guarded = await start({ token: 'a-token-of-sixteen', health: { live: well, ready: well } });
  try {
    for (const [path, answer] of [
      ['/api/flame', '401 Unauthorized'],
      ['/healthz', '200 OK'],
    ] as const) {
      const flood = connect(guarded.port, '127.0.0.1');
      flood.on('error', () => undefined);
      const closed = new Promise<void>((resolve) => flood.once('close', () => resolve()));
      flood.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`.repeat(1_000));
      let told = '';
      flood.on('data', (chunk) => {
        told += chunk;
      });
      await closed;
      assert.equal(told.split(answer).length - 1, 1, path);
    }
    assert.equal((await ask(guarded.url, '/healthz')).status, 200);
  } finally {
    await guarded.close();
  }
});

test('a browser without the token is told how to get in, a program in JSON', async () => {
  const guarded = await start({ token: 'a-token-of-sixteen' });
  try {
    const shown = await ask(guarded.url, '/?trace_id=x', { Accept: 'text/html,*/*' });
    assert.equal(shown.status, 401);
    assert.match(shown.body.toString(), /<code>flametap view --address<\/code>/);
    assert.match(String(shown.headers['content-security-policy']), /default-src 'none'/);
    const told = await ask(guarded.url, '/api/status');
    assert.match(JSON.parse(told.body.toString()).error, /flametap view --address/);
  } finally {
    await guarded.close();
  }
});

test('the token leaves the address, what was asked for stays', async () => {
  const guarded = await start({ token: 'a-token-of-sixteen' });
  try {
    const opened = await ask(guarded.url, '/?trace_id=4bf9&token=a-token-of-sixteen&span_id=00f0');
    assert.deepEqual(
      [opened.status, opened.headers.location],
      [303, '/?trace_id=4bf9&span_id=00f0'],
    );
    assert.equal(opened.headers['referrer-policy'], 'no-referrer');
  } finally {
    await guarded.close();
  }
});

test('a history that cannot answer now is 503, and the page is there all the same', async () => {
  const history: History = {
    version: 1,
    ask: () => Promise.reject(new HistoryError('the history is being started anew')),
  };
  const errors: unknown[] = [];
  const failing = await start({ history, onError: (error) => errors.push(error) });
  try {
    const { status, headers } = await ask(failing.url, '/api/flame');
    assert.deepEqual([status, headers['retry-after']], [503, '2']);
    assert.equal((await ask(failing.url, '/')).status, 200);
    assert.deepEqual(errors, []);
  } finally {
    await failing.close();
  }
});

test('a port in use is an error that says what to do', async () => {
  const { port } = new URL(viewer.url);
  await assert.rejects(start({ listen: `127.0.0.1:${port}` }), {
    name: 'ViewerError',
    message: /is in use.*listen on another port/,
  });
});

test('a connection that cannot be accepted is told once, and ends nothing', async (t) => {
  const listen = t.mock.method(Server.prototype, 'listen');
  const errors: unknown[] = [];
  const full = await start({ onError: (error) => errors.push(error) });
  try {
    // As node does for what accept(2) says, EMFILE for one.
    const server = listen.mock.calls[0]!.this as Server;
    for (let i = 0; i < 3; i++) server.emit('error', new Error('accept EMFILE'));
    assert.deepEqual(errors.map(String), [
      'ViewerError: a connection could not be accepted: accept EMFILE',
    ]);
    assert.equal((await ask(full.url, '/')).status, 200);
  } finally {
    await full.close();
  }
});

test('a failure inside is a 500 without details, and is reported', async () => {
  const errors: unknown[] = [];
  const broken = await start({
    status: () => {
      throw new Error('secret path');
    },
    onError: (error) => errors.push(error),
  });
  try {
    const { status, body } = await ask(broken.url, '/api/status');
    assert.equal(status, 500);
    assert.doesNotMatch(body.toString(), /secret/);
    assert.equal(errors.length, 1);
  } finally {
    await broken.close();
  }
});

test('metrics are served as Prometheus asks for them, behind the token like all else', async () => {
  const metrics = () => '# HELP a x\n# TYPE a gauge\na 1\n';
  assert.equal((await ask(viewer.url, '/metrics')).status, 404, 'nobody gave any');
  const both = await start({ metrics, token: 'a-token-of-sixteen', openMetrics: true });
  assert.equal((await ask(both.url, '/metrics')).status, 200, 'counts are for all');
  assert.equal((await ask(both.url, '/')).status, 401, 'the page is not');
  await both.close();
  const open = await start({ metrics });
  const closed = await start({ metrics, token: 'a-token-of-sixteen' });
  try {
    const { status, headers, body } = await ask(open.url, '/metrics');
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
    assert.equal(body.toString(), metrics());
    assert.equal((await ask(open.url, '/metrics?name[]=a')).status, 400);
    assert.equal((await ask(closed.url, '/metrics')).status, 401);
    const bearer = { authorization: 'Bearer a-token-of-sixteen' };
    assert.equal((await ask(closed.url, '/metrics', bearer)).status, 200);
  } finally {
    await Promise.all([open.close(), closed.close()]);
  }
});

test('probes get 200 or 503 with the reason, without the token, and nothing else', async () => {
  assert.equal((await ask(viewer.url, '/healthz')).status, 404, 'nobody knows');
  const health = {
    live: { ok: true, words: 'sampling' },
    ready: { ok: false, words: 'no profile has been made yet' },
  };
  const probed = await start({ health, token: 'a-token-of-sixteen' });
  try {
    const live = await ask(probed.url, '/healthz');
    assert.deepEqual([live.status, live.body.toString()], [200, 'sampling\n']);
    const ready = await ask(probed.url, '/readyz');
    assert.deepEqual([ready.status, ready.body.toString()], [503, `${health.ready.words}\n`]);
    assert.equal((await ask(probed.url, '/healthz/')).status, 401);
  } finally {
    await probed.close();
  }
});
