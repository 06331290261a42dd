import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { buildProfile, plainSample } from '../profile/fixture.test-support.ts';
import { encodeOtlp } from '../profile/otlp.ts';
import { makeCertificates } from './certificates.test-support.ts';
import { type OtlpHttpSettings, OtlpHttpTransport } from './otlp-http.ts';
import {
  connectProxy,
  deadPort,
  httpReceiver,
  KEYS,
  rawReceiver,
} from './otlp-receivers.test-support.ts';
import type { Outcome } from './transport.ts';

const certificates = makeCertificates();
const request = encodeOtlp(buildProfile([plainSample], { threads: false }));
const delivered: Outcome = { kind: 'delivered', rejected: 0, message: '' };
const never = new AbortController().signal;
const now = Date.parse('2026-11-21T16:00:00Z');

function transport(
  context: TestContext,
  where: URL | number,
  settings: Partial<OtlpHttpSettings> = {},
): OtlpHttpTransport {
  const url = typeof where === 'number' ? new URL(`http://127.0.0.1:${where}`) : where;
  const made = new OtlpHttpTransport({
    url: new URL('/v1development/profiles', url),
    format: 'protobuf',
    compression: 'gzip',
    headers: {},
    keys: KEYS,
    timeoutMs: 20_000,
    now: () => now,
    ...settings,
  });
  context.after(() => made.close());
  return made;
}

const send = (to: OtlpHttpTransport): Promise<Outcome> => to.send(request, never);

async function retried(outcome: Promise<Outcome>, reason: RegExp): Promise<void> {
  const found = await outcome;
  assert.equal(found.kind, 'retry', JSON.stringify(found));
  assert.match((found as { reason: string }).reason, reason);
}

const ok = (response: ServerResponse) => response.end();

test('bytes and headers arrive however they are packed, over one connection', async (context) => {
  const receiver = await httpReceiver(context, ok);
  for (const compression of ['none', 'gzip', 'zstd'] as const) {
    const headers = { 'X-Scope-OrgID': 'me' };
    const to = transport(context, receiver.url, { compression, headers });
    for (let i = 0; i < 2; i++) assert.deepEqual(await send(to), delivered);
    for (const { path, body, headers } of receiver.received.splice(0)) {
      assert.equal(path, '/v1development/profiles');
      assert.deepEqual(new Uint8Array(body), request);
      assert.equal(headers['content-encoding'], compression === 'none' ? undefined : compression);
      // Pyroscope refuses parameters, the Collector any other type.
      assert.equal(headers['content-type'], 'application/x-protobuf');
      assert.equal(headers['x-scope-orgid'], 'me');
      assert.equal(headers['otlp-profiles-development-version'], '1');
    }
  }
  assert.equal(receiver.connections(), 3);
});

test('as JSON', async (context) => {
  const { url, received } = await httpReceiver(context, (response) => {
    response.setHeader('content-type', 'application/json; charset=utf-8');
    response.end('{"partialSuccess":{"rejectedProfiles":"2","errorMessage":"no"}}');
  });
  const outcome = await send(transport(context, url, { format: 'json' }));
  assert.deepEqual(outcome, { kind: 'delivered', rejected: 2, message: 'no' });
  assert.equal(received[0]!.headers['content-type'], 'application/json');
  const [resource] = JSON.parse(received[0]!.body.toString()).resourceProfiles;
  assert.equal(resource.scopeProfiles[0].profiles[0].samples[0].values[0], '1');
});

test('every status is what it means', async (context) => {
  let status = 0;
  const receiver = await httpReceiver(context, (response) => {
    response.writeHead(status, { 'retry-after': '7', location: '/elsewhere' });
    response.end('because');
  });
  const to = transport(context, receiver.url);
  for (status of [400, 418, 422]) {
    const message = `HTTP ${status} because`;
    assert.deepEqual(await send(to), { kind: 'refused', reason: `http_${status}`, message });
  }
  for (status of [300, 301, 302, 307, 308, 401, 403, 404, 405, 407, 415, 500, 501, 505, 599]) {
    const outcome = await send(to);
    assert.ok(outcome.kind === 'retry' && outcome.fault !== undefined, JSON.stringify(outcome));
    assert.equal(outcome.reason, `HTTP ${status} because`);
    if (status < 400) assert.match(outcome.mend ?? '', /set \{endpoint\} to \/elsewhere/);
  }
  for (status of [408, 429, 502, 503, 504]) {
    const reason = `HTTP ${status} because`;
    assert.deepEqual(await send(to), { kind: 'retry', reason, afterMs: 7000 });
  }
  status = 413;
  assert.deepEqual(await send(to), { kind: 'too_large', message: 'HTTP 413 because' });
  // No redirect was followed.
  assert.ok(receiver.received.every(({ path }) => path === '/v1development/profiles'));
});

test('a time to come back at is by the clock of the receiver, whatever ours says', async (context) => {
  const { url } = await httpReceiver(context, (response) => {
    const date = 'Sat, 21 Nov 2020 12:00:00 GMT';
    response.writeHead(503, { date, 'retry-after': 'Sat, 21 Nov 2020 12:02:00 GMT' }).end();
  });
  const outcome = await send(transport(context, url));
  assert.deepEqual(outcome, { kind: 'retry', reason: 'HTTP 503', afterMs: 120_000 });
});

test('partial success, and success with an answer that makes no sense', async (context) => {
  const answers = [
    [Buffer.from([0x0a, 6, 0x08, 3, 0x12, 2, 0x6e, 0x6f]), { rejected: 3, message: 'no' }],
    [Buffer.from([0x0a, 0]), { rejected: 0, message: '' }],
    [Buffer.from('<html>'), { rejected: 0, message: '' }],
    // More than anybody reads.
    [Buffer.alloc(8 << 20, 0x0a), { rejected: 0, message: '' }],
  ] as const;
  for (const [body, expected] of answers) {
    const { url } = await httpReceiver(context, (response) => response.end(body));
    assert.deepEqual(await send(transport(context, url)), { kind: 'delivered', ...expected });
  }
});

test('nobody listens', async (context) => {
  await retried(send(transport(context, await deadPort())), /^connection refused/);
});

test('a receiver that hangs, before and in the middle of its answer', async (context) => {
  const hang = await httpReceiver(context, () => {});
  await retried(send(transport(context, hang.url, { timeoutMs: 200 })), /^no answer within/);
  const half = await httpReceiver(context, (response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('half');
  });
  await retried(send(transport(context, half.url, { timeoutMs: 200 })), /^no answer within/);
});

test('a slow receiver within the time limit', async (context) => {
  const { url } = await httpReceiver(context, (response) => {
    response.writeHead(200);
    response.flushHeaders();
    setTimeout(() => response.end(), 50);
  });
  assert.deepEqual(await send(transport(context, url)), delivered);
});

test('given up by the caller, before and while it is sent', async (context) => {
  const gaveUp = new AbortController();
  const { url } = await httpReceiver(context, () => gaveUp.abort());
  const to = transport(context, url);
  await retried(to.send(request, gaveUp.signal), /^cancelled/);
  await retried(to.send(request, gaveUp.signal), /^cancelled/);
});

test('a receiver that cuts connections, or talks garbage', async (context) => {
  const services: readonly ((socket: Socket) => void)[] = [
    (socket) => socket.destroy(),
    (socket) => socket.once('data', () => socket.resetAndDestroy()),
    (socket) =>
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n')),
    (socket) => socket.once('data', () => socket.end(Buffer.alloc(4096, 0xa5))),
  ];
  for (const serve of services) {
    const port = await rawReceiver(context, serve);
    await retried(send(transport(context, port)), /./);
  }
});

test('a kept connection that was closed meanwhile costs no failure', async (context) => {
  let answers = 0;
  // The first connection takes one request; the next request on it meets a reset.
  const port = await rawReceiver(context, (socket) => {
    socket.on('data', () => {
      if (++answers === 2) socket.resetAndDestroy();
      else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
    });
  });
  const to = transport(context, port);
  assert.deepEqual(await send(to), delivered);
  assert.deepEqual(await send(to), delivered);
  assert.equal(answers, 3);
});

test('TLS, with a certificate of our own where it is asked for', async (context) => {
  const { ca, server, client } = certificates;
  const { url } = await httpReceiver(context, ok, { ...server, clientCa: ca });
  assert.deepEqual(
    await send(transport(context, url, { tls: () => ({ ca, ...client }) })),
    delivered,
  );
  await retried(send(transport(context, url, { tls: () => ({ ca }) })), /./);
});

test('certificates that are expired, of others, for others', async (context) => {
  const { ca, expired, foreign, misnamed } = certificates;
  const cases = [
    [expired, /certificate has expired/],
    [foreign, /does not trust/],
    [misnamed, /for another host name/],
  ] as const;
  for (const [tls, reason] of cases) {
    const { url, received } = await httpReceiver(context, ok, tls);
    await retried(send(transport(context, url, { tls: () => ({ ca }) })), reason);
    assert.equal(received.length, 0);
  }
});

test('certificates are used from when they are there, also after ones that make no sense', async (context) => {
  const { ca, server, client } = certificates;
  const { url } = await httpReceiver(context, ok, { ...server, clientCa: ca });
  let contents: { ca: Buffer; cert?: Buffer; key?: Buffer } = { ca };
  const to = transport(context, url, { tls: () => contents });
  await retried(send(to), /./);
  contents = { ca, ...client };
  assert.deepEqual(await send(to), delivered);
  contents = { ca, cert: client.cert, key: Buffer.from('no key') };
  await retried(send(to), /./);
  contents = { ca, ...client };
  assert.deepEqual(await send(to), delivered);
});

test('through the proxy that the environment names', async (context) => {
  const { ca, server } = certificates;
  const { url, received } = await httpReceiver(context, ok, server);
  const proxy = await connectProxy(context);
  process.env.HTTPS_PROXY = `http://127.0.0.1:${proxy.port}`;
  context.after(() => delete process.env.HTTPS_PROXY);
  const tls = () => ({ ca });
  const proxied = transport(context, url, { tls });
  for (let i = 0; i < 2; i++) assert.deepEqual(await send(proxied), delivered);
  assert.deepEqual(proxy.connected, [url.host]);
  process.env.NO_PROXY = '127.0.0.1';
  context.after(() => delete process.env.NO_PROXY);
  assert.deepEqual(await send(transport(context, url, { tls })), delivered);
  assert.equal(proxy.connected.length, 1);
  assert.equal(received.length, 3);
});
