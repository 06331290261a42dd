/** OTLP over real connections: what is sent, and what answers and silence become. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import * as grpc from '@grpc/grpc-js';
import { buildProfile, plainSample } from '../profile/fixture.test-support.ts';
import { type OtlpSettings, otlpDestination } from './otlp.ts';
import type { Destination } from './transport.ts';
import { WatchedFiles } from './watched-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'otlp-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const profile = buildProfile([plainSample]);
const never = new AbortController().signal;
const delivered = { kind: 'delivered', rejected: 0, message: '' };

function open(t: TestContext, settings: Partial<OtlpSettings>): Destination {
  const destination = otlpDestination({
    name: 'otlp',
    endpoint: 'http://127.0.0.1:1',
    isWholeUrl: false,
    protocol: 'http/protobuf',
    headers: {},
    compression: 'gzip',
    timeoutMs: 5_000,
    tls: () => ({}),
    insecure: false,
    maxRequestBytes: 1_500_000,
    encoding: { goroutines: false },
    now: () => 0,
    ...settings,
  });
  t.after(() => destination.transport.close());
  return destination;
}

interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

async function httpReceiver(
  t: TestContext,
  answer: (response: ServerResponse) => void,
): Promise<{ url: string; received: Received[] }> {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      received.push({ path: request.url!, headers: request.headers, body: Buffer.concat(chunks) });
      answer(response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

const METHOD = '/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export';

async function grpcReceiver(
  t: TestContext,
  handle: grpc.handleUnaryCall<Buffer, Buffer>,
): Promise<string> {
  const server = new grpc.Server();
  const same = (bytes: Buffer): Buffer => bytes;
  server.addService(
    {
      export: {
        path: METHOD,
        requestStream: false,
        responseStream: false,
        requestSerialize: same,
        requestDeserialize: same,
        responseSerialize: same,
        responseDeserialize: same,
      },
    },
    { export: handle },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  t.after(() => server.forceShutdown());
  return `http://127.0.0.1:${port}`;
}

test('HTTP: path, types, encodings and headers are what receivers take', async (t) => {
  const { url, received } = await httpReceiver(t, (response) => response.end());
  const [request] = open(t, {}).encode(profile);
  const send = (settings: Partial<OtlpSettings>) =>
    open(t, { endpoint: `${url}/otlp/`, ...settings }).transport.send(request!, never);
  const headers = { 'X-Scope-OrgID': 'me' };
  assert.deepEqual(await send({ headers }), delivered);
  assert.deepEqual(await send({ compression: 'zstd' }), delivered);
  const whole = { endpoint: `${url}/else`, isWholeUrl: true, protocol: 'http/json' } as const;
  assert.deepEqual(await send({ ...whole, compression: 'none' }), delivered);
  const [gzipped, zstd, json] = received;
  assert.equal(gzipped!.path, '/otlp/v1development/profiles');
  assert.equal(gzipped!.headers['content-type'], 'application/x-protobuf');
  assert.equal(gzipped!.headers['content-encoding'], 'gzip');
  assert.equal(gzipped!.headers['x-scope-orgid'], 'me');
  assert.equal(gzipped!.headers['otlp-profiles-development-version'], '1');
  assert.deepEqual(gunzipSync(gzipped!.body), Buffer.from(request!));
  assert.deepEqual(zstdDecompressSync(zstd!.body), Buffer.from(request!));
  assert.equal(json!.path, '/else');
  assert.equal(json!.headers['content-type'], 'application/json');
  assert.equal(json!.headers['content-encoding'], undefined);
  assert.ok(JSON.parse(json!.body.toString()).dictionary);
});

test('HTTP: answers become outcomes, partial success too', async (t) => {
  const answers: ((response: ServerResponse) => void)[] = [
    (response) => response.writeHead(503, { 'Retry-After': '9' }).end(),
    (response) => response.writeHead(400).end('no such thing'),
    (response) => response.writeHead(413).end(),
    (response) => response.end(Buffer.from('0a07080212036e6f20', 'hex')),
    (response) => response.destroy(),
  ];
  const { url } = await httpReceiver(t, (response) => answers.shift()!(response));
  const { transport } = open(t, { endpoint: url });
  const send = () => transport.send(new Uint8Array(3), never);
  assert.deepEqual(await send(), { kind: 'retry', reason: 'http_503', afterMs: 9_000 });
  assert.equal((await send()).kind, 'refused');
  assert.equal((await send()).kind, 'too_large');
  assert.deepEqual(await send(), { kind: 'delivered', rejected: 2, message: 'no' });
  assert.equal((await send()).kind, 'retry');
});

test('gRPC: the request arrives as it is, with its headers', async (t) => {
  const calls: { request: Buffer; metadata: grpc.Metadata }[] = [];
  const endpoint = await grpcReceiver(t, ({ request, metadata }, done) => {
    calls.push({ request, metadata });
    done(null, Buffer.from('0a00', 'hex'));
  });
  for (const compression of ['gzip', 'none', 'zstd'] as const) {
    const settings = {
      endpoint,
      protocol: 'grpc',
      compression,
      headers: { Tenant: 'me' },
    } as const;
    const destination = open(t, settings);
    const [request] = destination.encode(profile);
    assert.deepEqual(await destination.transport.send(request!, never), delivered);
    const { request: arrived, metadata } = calls.pop()!;
    assert.deepEqual(arrived, Buffer.from(request!));
    assert.deepEqual(metadata.get('tenant'), ['me']);
    assert.deepEqual(metadata.get('otlp-profiles-development-version'), ['1']);
  }
  const plain = { endpoint: endpoint.slice('http://'.length), protocol: 'grpc' } as const;
  const insecure = open(t, { ...plain, insecure: true }).transport;
  assert.deepEqual(await insecure.send(new Uint8Array(1), never), delivered);
  const secure = open(t, { ...plain, timeoutMs: 1_000 }).transport;
  assert.equal((await secure.send(new Uint8Array(1), never)).kind, 'retry', 'TLS is the default');
});

test('gRPC: codes become outcomes, and a RetryInfo is obeyed', async (t) => {
  const url = Buffer.from('type.googleapis.com/google.rpc.RetryInfo');
  const info = Buffer.from('0a020803', 'hex');
  const any = Buffer.concat([
    Buffer.from([0x0a, url.length]),
    url,
    Buffer.from([0x12, info.length]),
    info,
  ]);
  const details = new grpc.Metadata();
  details.set(
    'grpc-status-details-bin',
    Buffer.concat([Buffer.from([0x08, 8, 0x1a, any.length]), any]),
  );
  const failures: Partial<grpc.ServiceError>[] = [
    { code: 14, details: 'busy' },
    { code: 8, details: 'slow down', metadata: details },
    { code: 8, details: 'full' },
    { code: 3, details: 'bad' },
  ];
  const endpoint = await grpcReceiver(t, (_call, done) => done(failures.shift()!, null));
  const { transport } = open(t, { endpoint, protocol: 'grpc' });
  const send = () => transport.send(new Uint8Array(3), never);
  assert.deepEqual(await send(), { kind: 'retry', reason: 'grpc_14' });
  assert.deepEqual(await send(), { kind: 'retry', reason: 'grpc_8', afterMs: 3_000 });
  assert.deepEqual(await send(), { kind: 'refused', reason: 'grpc_8', message: 'gRPC 8 full' });
  assert.deepEqual(await send(), { kind: 'refused', reason: 'grpc_3', message: 'gRPC 3 bad' });
});

test('nobody there, a receiver that hangs, a request given up: to be sent again', async (t) => {
  const http = await httpReceiver(t, () => {});
  const hanging = await grpcReceiver(t, () => {});
  for (const [endpoint, protocol] of [
    [http.url, 'http/protobuf'],
    [hanging, 'grpc'],
  ] as const) {
    const gone = open(t, { protocol, timeoutMs: 2_000 }).transport;
    assert.equal((await gone.send(new Uint8Array(1), never)).kind, 'retry');
    const slow = open(t, { endpoint, protocol, timeoutMs: 100 }).transport;
    assert.equal((await slow.send(new Uint8Array(1), never)).kind, 'retry');
    const abort = new AbortController();
    const given = open(t, { endpoint, protocol }).transport.send(new Uint8Array(1), abort.signal);
    setTimeout(() => abort.abort(), 50);
    assert.equal((await given).kind, 'retry');
    const unreadable = open(t, {
      endpoint: endpoint.replace('http:', 'https:'),
      protocol,
      tls: () => {
        throw Object.assign(new Error('gone'), { code: 'ENOENT' });
      },
    });
    const outcome = await unreadable.transport.send(new Uint8Array(1), never);
    assert.deepEqual(outcome, { kind: 'retry', reason: 'ENOENT' });
  }
});

test('files are read again when they are others, and only then', () => {
  const path = join(folder, 'secret');
  const files = new WatchedFiles();
  assert.throws(() => files.read(path), { code: 'ENOENT' });
  writeFileSync(path, 'one');
  const first = files.read(path);
  assert.equal(files.read(path), first, 'the same bytes');
  writeFileSync(path, 'second');
  assert.equal(files.read(path).toString(), 'second');
});
