/** Receivers of OTLP that answer as a test wants. On 127.0.0.1, stopped at the end of the test. */
import * as http from 'node:http';
import * as https from 'node:https';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { type PeerCertificate, TLSSocket } from 'node:tls';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import * as grpc from '@grpc/grpc-js';
import type { Pair } from './certificates.test-support.ts';
import type { FaultKeys } from './fault.ts';

/** As the exporter has them. */
export const KEYS: FaultKeys = {
  address: '{endpoint}',
  credentials: '{headers}',
  tenant: 'X-Scope-OrgID in {headers}',
  encoding: '{protocol} or {compression}',
};

export interface ServerTls extends Pair {
  /** Of those whose certificates are asked for. */
  readonly clientCa?: Buffer;
}

export interface Received {
  readonly path: string;
  readonly headers: http.IncomingHttpHeaders;
  /** Decompressed. */
  readonly body: Buffer;
  /** Serial number of the sender's certificate; '' = it has none. */
  readonly certificate: string;
}

export interface HttpReceiver {
  readonly url: URL;
  readonly received: Received[];
  /** Connections so far. */
  readonly connections: () => number;
}

type Answer = (response: http.ServerResponse, request: Received) => void;

export async function httpReceiver(
  test: TestContext,
  answer: Answer,
  tls?: ServerTls,
): Promise<HttpReceiver> {
  const received: Received[] = [];
  const sockets = new Set<Socket>();
  const listener: http.RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('error', () => {});
    request.on('end', () => {
      const { url = '', headers } = request;
      const body = decompressed(Buffer.concat(chunks), headers['content-encoding']);
      const { socket } = request;
      const certificate = socket instanceof TLSSocket ? serialOf(socket.getPeerCertificate()) : '';
      const one = { path: url, headers, body, certificate };
      received.push(one);
      answer(response, one);
    });
  };
  const server = tls
    ? https.createServer({ ...tls, ca: tls.clientCa, requestCert: !!tls.clientCa }, listener)
    : http.createServer(listener);
  let connections = 0;
  server.on('connection', (socket: Socket) => {
    connections++;
    sockets.add(socket);
  });
  const port = await listen(test, server, sockets);
  const url = new URL(`${tls ? 'https' : 'http'}://127.0.0.1:${port}`);
  return { url, received, connections: () => connections };
}

const serialOf = (certificate: Partial<PeerCertificate> | undefined): string =>
  certificate?.serialNumber ?? '';

function decompressed(body: Buffer, encoding: string | undefined): Buffer {
  if (encoding === 'gzip') return gunzipSync(body);
  return encoding === 'zstd' ? zstdDecompressSync(body) : body;
}

/** A server that speaks neither HTTP nor gRPC. @returns its port */
export function rawReceiver(test: TestContext, serve: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    serve(socket);
  });
  return listen(test, server, sockets);
}

async function listen(test: TestContext, server: Server, sockets: Set<Socket>): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  test.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A port where nobody listens. */
export async function deadPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export interface Proxy {
  readonly port: number;
  /** What each CONNECT asked for. */
  readonly connected: string[];
}

/** Tunnels by CONNECT to any port of 127.0.0.1. */
export async function connectProxy(test: TestContext): Promise<Proxy> {
  const connected: string[] = [];
  const sockets = new Set<Socket>();
  const server = http.createServer((_, response) => response.writeHead(405).end());
  server.on('connect', (request, client: Socket, head: Buffer) => {
    connected.push(request.url ?? '');
    const tunnel = new http.Agent().createConnection({
      host: '127.0.0.1',
      port: Number(request.url?.replace(/.*:/, '')),
    }) as Socket;
    sockets.add(client).add(tunnel);
    tunnel.on('connect', () => {
      client.write('HTTP/1.1 200 Connected\r\n\r\n');
      tunnel.write(head);
      tunnel.pipe(client).pipe(tunnel);
    });
    for (const socket of [client, tunnel]) socket.on('error', () => {});
  });
  const port = await listen(test, server, sockets);
  return { port, connected };
}

/** What becomes of a connection; the rest of it passes. */
export type Fault =
  | 'refused'
  /** When some of the request has passed. */
  | 'cut in the request'
  /** When the receiver has the request and answers. */
  | 'cut in the answer'
  | 'garbage'
  | 'hangs';

export interface FaultyWay {
  readonly port: number;
  /** Of the receiver; may change. */
  target: number;
  /** Of the next connections, in order; none = they pass. */
  readonly faults: Fault[];
  /** So far. */
  connections: number;
}

/** Between sender and receiver. @param arrived how many requests the receiver has */
export async function faultyWay(
  test: TestContext,
  target: number,
  arrived: () => number,
): Promise<FaultyWay> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    way.connections++;
    const fault = way.faults.shift();
    sockets.add(client);
    client.on('error', () => {});
    if (fault === 'refused') {
      client.resetAndDestroy();
    } else if (fault === 'hangs') {
      client.resume();
    } else if (fault === 'garbage') {
      client.once('data', () => client.end(Buffer.alloc(5000, 0xa5)));
    } else {
      const onward = connect(way.target, '127.0.0.1');
      sockets.add(onward);
      onward.on('error', () => client.destroy()).on('close', () => client.destroy());
      client.on('close', () => onward.destroy());
      const cut = (): void => {
        client.resetAndDestroy();
        onward.resetAndDestroy();
      };
      const before = arrived();
      let passed = 0;
      client.on('data', (bytes: Buffer) => {
        passed += bytes.length;
        if (fault === 'cut in the request' && passed > 3000) cut();
        else onward.write(bytes);
      });
      onward.on('data', (bytes: Buffer) => {
        if (fault === 'cut in the answer' && arrived() > before) cut();
        else client.write(bytes);
      });
    }
  });
  const port = await listen(test, server, sockets);
  const way: FaultyWay = { port, target, faults: [], connections: 0 };
  return way;
}

export interface GrpcReceived {
  readonly metadata: grpc.Metadata;
  readonly body: Buffer;
  readonly certificate: string;
}

export interface GrpcAnswer {
  readonly code?: number;
  readonly message?: string;
  /** Trailers of an error. */
  readonly details?: Buffer;
  readonly response?: Buffer;
}

export interface GrpcReceiver {
  readonly port: number;
  readonly received: GrpcReceived[];
  /** Ports of those who sent, in order. */
  readonly peers: string[];
}

const METHOD = '/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export';

/** @param answer undefined = none, ever */
export async function grpcReceiver(
  test: TestContext,
  answer: (request: GrpcReceived) => GrpcAnswer | undefined,
  { tls, port: wanted = 0 }: { tls?: ServerTls; port?: number } = {},
): Promise<GrpcReceiver> {
  const received: GrpcReceived[] = [];
  const peers: string[] = [];
  const server = new grpc.Server();
  const bytes = (buffer: Buffer): Buffer => buffer;
  const method = {
    path: METHOD,
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  };
  const handle: grpc.handleUnaryCall<Buffer, Buffer> = (call, done) => {
    const certificate = serialOf(call.getAuthContext().sslPeerCertificate);
    const request = { metadata: call.metadata, body: call.request, certificate };
    received.push(request);
    peers.push(call.getPeer());
    const answered = answer(request);
    if (answered === undefined) return;
    const { code = 0, message = '', details, response = Buffer.alloc(0) } = answered;
    if (code === 0) return done(null, response);
    const metadata = new grpc.Metadata();
    if (details) metadata.set('grpc-status-details-bin', details);
    done({ code, details: message, metadata });
  };
  server.addService({ Export: method }, { Export: handle });
  const credentials = tls
    ? grpc.ServerCredentials.createSsl(
        tls.clientCa ?? null,
        [{ private_key: tls.key, cert_chain: tls.cert }],
        !!tls.clientCa,
      )
    : grpc.ServerCredentials.createInsecure();
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${wanted}`, credentials, (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  test.after(() => server.forceShutdown());
  return { port, received, peers };
}
