import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { LocalFileError } from './local-file.ts';
import { encodePush } from './push-message.ts';
import { PushTransport, type PushTransportSettings } from './push-transport.ts';
import type { Outcome } from './transport.ts';

type Handler = (request: IncomingMessage, body: Buffer, response: ServerResponse) => void;

const request = encodePush([{ labels: [['service_name', 'web']], profile: Buffer.from('pprof') }]);
const live = new AbortController().signal;

async function listen(t: TestContext, handler: Handler): Promise<URL> {
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => handler(incoming, Buffer.concat(chunks), response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
}

function open(
  t: TestContext,
  endpoint: URL,
  changes: Partial<PushTransportSettings> = {},
): PushTransport {
  const transport = new PushTransport({
    endpoint,
    tenant: '',
    auth: { kind: 'none' },
    headers: {},
    compression: 'gzip',
    timeoutMs: 10_000,
    now: Date.now,
    ...changes,
  });
  t.after(() => transport.close());
  return transport;
}

async function outcomeOf(
  t: TestContext,
  handler: Handler,
  changes: Partial<PushTransportSettings> = {},
): Promise<Outcome> {
  return open(t, await listen(t, handler), changes).send(request, live);
}

test('a request as the connect protocol wants it, gzipped, with tenant and own headers', async (t) => {
  let seen: { request: IncomingMessage; body: Buffer } | undefined;
  const url = await listen(t, (incoming, body, response) => {
    seen = { request: incoming, body };
    response.end();
  });
  const transport = open(t, new URL(`${url.href}behind/proxy/`), {
    tenant: 'team-a',
    headers: { 'X-Own': 'yes' },
  });
  assert.deepEqual(await transport.send(request, live), {
    kind: 'delivered',
    rejected: 0,
    message: '',
  });
  assert.equal(seen?.request.method, 'POST');
  assert.equal(seen?.request.url, '/behind/proxy/push.v1.PusherService/Push');
  assert.deepEqual(gunzipSync(seen!.body), Buffer.from(request));
  const { headers } = seen!.request;
  assert.equal(headers['content-type'], 'application/proto');
  assert.equal(headers['connect-protocol-version'], '1');
  assert.equal(headers['content-encoding'], 'gzip');
  assert.equal(headers['x-scope-orgid'], 'team-a');
  assert.equal(headers['x-own'], 'yes');
  assert.equal(headers.authorization, undefined);
});

test('credentials are asked for with each request', async (t) => {
  const seen: (string | undefined)[] = [];
  const url = await listen(t, ({ headers }, _, response) => {
    seen.push(headers.authorization);
    response.end();
  });
  const tokens = ['first\n', 'second'];
  const bearer = open(t, url, { auth: { kind: 'bearer', token: () => tokens.shift()! } });
  await bearer.send(request, live);
  await bearer.send(request, live);
  const basic = open(t, url, {
    auth: { kind: 'basic', user: 'me', password: () => 'pässword' },
    compression: 'none',
  });
  await basic.send(request, live);
  const encoded = Buffer.from('me:pässword').toString('base64');
  assert.deepEqual(seen, ['Bearer first', 'Bearer second', `Basic ${encoded}`]);
  const broken = open(t, url, {
    auth: {
      kind: 'bearer',
      token: () => {
        throw new LocalFileError('bearer_token_file', '/token', 'is empty');
      },
    },
  });
  const outcome = await broken.send(request, live);
  assert.ok(outcome.kind === 'retry' && outcome.fault === 'local_file', JSON.stringify(outcome));
  assert.match(`${outcome.reason} ${outcome.mend}`, /^\/token is empty .*\{bearer_token_file\}/);
});

test('no answer is worth another attempt: refused, reset, cut off, too slow, given up', async (t) => {
  const nowhere = open(t, new URL('http://127.0.0.1:1'));
  const outage = (outcome: Outcome, reason: RegExp): void => {
    assert.ok(outcome.kind === 'retry' && outcome.fault === undefined, JSON.stringify(outcome));
    assert.match(outcome.reason, reason);
  };
  outage(await nowhere.send(request, live), /^connection refused/);
  const reset = await outcomeOf(t, ({ socket }) => socket.destroy());
  outage(reset, /^the connection was closed without an answer/);
  const cut = await outcomeOf(t, ({ socket }, _, response) => {
    response.writeHead(200, { 'content-length': '10' });
    response.write('half', () => socket.destroy());
  });
  outage(cut, /^the connection was closed without an answer/);
  const slow = await outcomeOf(t, () => {}, { timeoutMs: 50 });
  outage(slow, /^no answer within 50 ms$/);
  const stop = new AbortController();
  const url = await listen(t, () => stop.abort());
  outage(await open(t, url).send(request, stop.signal), /^cancelled$/);
});

test('answers that are no HTTP, or endless, end too', async (t) => {
  const garbage = await outcomeOf(t, ({ socket }) => socket.end('garbage\r\n\r\n'));
  assert.equal(garbage.kind, 'retry');
  const endless = await outcomeOf(t, (_request, _body, response) => {
    response.writeHead(400);
    const more = (): void => {
      if (!response.destroyed) response.write('x'.repeat(10_000), more);
    };
    more();
  });
  assert.ok(endless.kind === 'refused' && endless.message.length === 500);
});

test('a redirect is not followed: it could take the credentials elsewhere', async (t) => {
  let count = 0;
  const outcome = await outcomeOf(t, (_request, _body, response) => {
    count++;
    response.writeHead(307, { location: '/elsewhere' }).end();
  });
  assert.ok(outcome.kind === 'retry' && outcome.fault === 'redirected', JSON.stringify(outcome));
  assert.match(outcome.mend ?? '', /set \{url\} to \/elsewhere/);
  assert.equal(count, 1);
});

test('a header that cannot be sent is an outcome, not an exception', async (t) => {
  const outcome = await outcomeOf(t, (_request, _body, response) => response.end(), {
    tenant: 'line\nbreak',
  });
  assert.ok(outcome.kind === 'retry' && /HTTP does not allow/.test(outcome.reason));
});
