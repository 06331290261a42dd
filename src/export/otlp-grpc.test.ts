import assert from 'node:assert/strict';
import * as http2 from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { makeCertificates } from './certificates.test-support.ts';
import { type OtlpGrpcSettings, OtlpGrpcTransport, type TlsContents } from './otlp-grpc.ts';
import {
  connectProxy,
  deadPort,
  grpcReceiver,
  KEYS,
  rawReceiver,
} from './otlp-receivers.test-support.ts';
import type { Outcome } from './transport.ts';

const certificates = makeCertificates();
const request = Buffer.from('a request'.repeat(100));
const delivered: Outcome = { kind: 'delivered', rejected: 0, message: '' };
const never = new AbortController().signal;

function transport(
  context: TestContext,
  port: number,
  settings: Partial<OtlpGrpcSettings> = {},
): OtlpGrpcTransport {
  const made = new OtlpGrpcTransport({
    target: `127.0.0.1:${port}`,
    compression: 'gzip',
    headers: {},
    keys: KEYS,
    timeoutMs: 20_000,
    tls: undefined,
    ...settings,
  });
  context.after(() => made.close());
  return made;
}

const send = (to: OtlpGrpcTransport): Promise<Outcome> => to.send(request, never);

async function retried(outcome: Promise<Outcome>, reason: RegExp): Promise<void> {
  const found = await outcome;
  assert.equal(found.kind, 'retry', JSON.stringify(found));
  assert.match((found as { reason: string }).reason, reason);
}

test('bytes and headers arrive, over one connection', async (context) => {
  const receiver = await grpcReceiver(context, () => ({}));
  const headers = { 'X-Scope-OrgID': 'me' };
  const to = transport(context, receiver.port, { headers });
  for (let i = 0; i < 3; i++) assert.deepEqual(await send(to), delivered);
  assert.equal(receiver.received.length, 3);
  for (const { body, metadata } of receiver.received) {
    assert.deepEqual(body, request);
    assert.deepEqual(metadata.get('x-scope-orgid'), ['me']);
    assert.deepEqual(metadata.get('otlp-profiles-development-version'), ['1']);
    assert.match(String(metadata.get('user-agent')[0]), /^flametap/);
  }
  assert.equal(new Set(receiver.peers).size, 1);
});

test('every code is what it means', async (context) => {
  let code = 0;
  const { port } = await grpcReceiver(context, () => ({ code, message: 'because' }));
  const to = transport(context, port);
  for (code = 1; code <= 16; code++) {
    const outcome = await send(to);
    if ([1, 4, 10, 11, 14, 15].includes(code))
      assert.deepEqual(outcome, { kind: 'retry', reason: `gRPC ${code} because` });
    else if (![3, 6].includes(code))
      assert.ok(outcome.kind === 'retry' && outcome.fault !== undefined, JSON.stringify(outcome));
    else
      assert.deepEqual(outcome, {
        kind: 'refused',
        reason: `grpc_${code}`,
        message: `gRPC ${code} because`,
      });
  }
});

test('a RetryInfo makes an exhausted receiver worth another attempt, when it says', async (context) => {
  // google.rpc.Status {code: 8, details: [Any {type_url, value: RetryInfo {retry_delay {seconds: 2, nanos: 5e8}}}]}
  const url = Buffer.from('type.googleapis.com/google.rpc.RetryInfo');
  const info = Buffer.from([0x0a, 8, 0x08, 2, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01]);
  const any = Buffer.from([0x0a, url.length, ...url, 0x12, info.length, ...info]);
  const details = Buffer.from([0x08, 8, 0x1a, any.length, ...any]);
  const { port } = await grpcReceiver(context, () => ({ code: 8, message: 'slow', details }));
  const outcome = await send(transport(context, port));
  assert.deepEqual(outcome, { kind: 'retry', reason: 'gRPC 8 slow', afterMs: 2500 });
});

test('partial success, an empty one, and an answer that makes no sense', async (context) => {
  const answers = [
    [Buffer.from([0x0a, 6, 0x08, 3, 0x12, 2, 0x6e, 0x6f]), { rejected: 3, message: 'no' }],
    [Buffer.from([0x0a, 0]), { rejected: 0, message: '' }],
    [Buffer.from([0xff, 0xff]), { rejected: 0, message: '' }],
  ] as const;
  for (const [response, expected] of answers) {
    const { port } = await grpcReceiver(context, () => ({ response }));
    const outcome = await send(transport(context, port));
    assert.deepEqual(outcome, { kind: 'delivered', ...expected });
  }
});

test('a request larger than the receiver takes is too large', async (context) => {
  const { port } = await grpcReceiver(context, () => ({}));
  const to = transport(context, port, { compression: 'none' });
  const outcome = await to.send(new Uint8Array(5 << 20), never);
  assert.equal(outcome.kind, 'too_large');
});

test('nobody listens; then somebody does', async (context) => {
  const port = await deadPort();
  const to = transport(context, port);
  await retried(send(to), /^connection refused/);
  await grpcReceiver(context, () => ({}), { port });
  let outcome = await send(to);
  // The channel's own pause, a second at most.
  for (let i = 0; i < 200 && outcome.kind === 'retry'; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    outcome = await send(to);
  }
  assert.deepEqual(outcome, delivered);
});

test('a receiver that hangs: the time limit, and a new connection afterwards', async (context) => {
  let hangs = true;
  const receiver = await grpcReceiver(context, () => (hangs ? undefined : {}));
  const to = transport(context, receiver.port, { timeoutMs: 300 });
  await retried(send(to), /^gRPC 4 /);
  hangs = false;
  const patient = transport(context, receiver.port);
  assert.deepEqual(await send(patient), delivered);
  assert.deepEqual(await send(to), delivered);
  const [first, , last] = receiver.peers;
  assert.notEqual(first, last);
});

test('a port that takes connections and says nothing', async (context) => {
  const port = await rawReceiver(context, () => {});
  await retried(send(transport(context, port, { timeoutMs: 300 })), /./);
});

test('given up by the caller, before and while it is sent', async (context) => {
  const gaveUp = new AbortController();
  const { port } = await grpcReceiver(context, () => {
    gaveUp.abort();
    return undefined;
  });
  const to = transport(context, port);
  await retried(to.send(request, gaveUp.signal), /^gRPC 1 /);
  await retried(to.send(request, gaveUp.signal), /^cancelled$/);
});

test('a receiver that cuts connections, or talks garbage', async (context) => {
  const services: readonly ((socket: Socket) => void)[] = [
    (socket) => socket.destroy(),
    (socket) => socket.once('data', () => socket.resetAndDestroy()),
    (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    (socket) => socket.write(Buffer.alloc(4096, 0xa5)),
  ];
  for (const serve of services) {
    const port = await rawReceiver(context, serve);
    await retried(send(transport(context, port, { timeoutMs: 5_000 })), /./);
  }
});

test('streams that end without a status are tried again, whatever the reset says', async (context) => {
  const server = http2.createServer();
  let code = 0;
  server.on('stream', (stream) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    // After the headers, so that it is in the middle of the answer.
    setImmediate(() => stream.close(code));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const to = transport(context, (server.address() as AddressInfo).port);
  const { NGHTTP2_PROTOCOL_ERROR, NGHTTP2_INTERNAL_ERROR, NGHTTP2_REFUSED_STREAM } =
    http2.constants;
  const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM } = http2.constants;
  for (code of [
    NGHTTP2_PROTOCOL_ERROR,
    NGHTTP2_INTERNAL_ERROR,
    NGHTTP2_REFUSED_STREAM,
    NGHTTP2_CANCEL,
    NGHTTP2_ENHANCE_YOUR_CALM,
  ])
    await retried(send(to), /^gRPC /);
  server.close();
});

test('TLS, with a certificate of our own where it is asked for', async (context) => {
  const { ca, server, client } = certificates;
  const tls = { ...server, clientCa: ca };
  const { port } = await grpcReceiver(context, () => ({}), { tls });
  const both = transport(context, port, { tls: () => ({ ca, ...client }) });
  assert.deepEqual(await send(both), delivered);
  await retried(send(transport(context, port, { tls: () => ({ ca }) })), /./);
  await retried(send(transport(context, port)), /./);
});

test('certificates that are expired, of others, for others', async (context) => {
  const { ca, expired, foreign, misnamed } = certificates;
  const cases = [
    [expired, /certificate has expired/],
    [foreign, /does not trust/],
    [misnamed, /for another host name/],
  ] as const;
  for (const [tls, reason] of cases) {
    const { port, received } = await grpcReceiver(context, () => ({}), { tls });
    await retried(send(transport(context, port, { tls: () => ({ ca }) })), reason);
    assert.equal(received.length, 0);
  }
});

test('certificates are used from when they are there, also after ones that make no sense', async (context) => {
  const { ca, server, client } = certificates;
  const { port } = await grpcReceiver(context, () => ({}), { tls: { ...server, clientCa: ca } });
  let contents: TlsContents = { ca };
  const to = transport(context, port, { tls: () => contents });
  await retried(send(to), /./);
  const good = { ca, ...client };
  contents = good;
  assert.deepEqual(await send(to), delivered);
  contents = { ca, cert: client.cert, key: Buffer.from('no key') };
  await retried(send(to), /./);
  contents = good;
  assert.deepEqual(await send(to), delivered);
  await retried(
    send(
      transport(context, port, {
        tls: () => {
          throw new Error('ENOENT: no such file');
        },
      }),
    ),
    /^ENOENT/,
  );
});

test('through the proxy that the environment names', async (context) => {
  const { port, received } = await grpcReceiver(context, () => ({}));
  const proxy = await connectProxy(context);
  process.env.grpc_proxy = `http://127.0.0.1:${proxy.port}`;
  context.after(() => delete process.env.grpc_proxy);
  assert.deepEqual(await send(transport(context, port)), delivered);
  assert.deepEqual(proxy.connected, [`127.0.0.1:${port}`]);
  process.env.no_grpc_proxy = '127.0.0.1';
  context.after(() => delete process.env.no_grpc_proxy);
  assert.deepEqual(await send(transport(context, port)), delivered);
  assert.equal(proxy.connected.length, 1);
  assert.equal(received.length, 2);
});
