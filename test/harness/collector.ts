/** An OpenTelemetry Collector on loopback that writes what it receives to files. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Certificates } from './certificates.ts';
import { REPOSITORY } from './programs.ts';
import { pause } from './record.ts';

const SOURCES = join(REPOSITORY, 'test', 'peers', 'collector');
const BINARY = join(REPOSITORY, 'build', 'collector');
/** Two cores need one minute, without the modules in a cache one and a half. */
const BUILD_MS = 500_000;
const START_MS = 120_000;

/**
 * Path of the Collector, built unless it is there already.
 * @throws Error with the compiler's output
 */
export async function buildCollector(): Promise<string> {
  const hash = createHash('sha256');
  for (const file of ['main.go', 'go.mod', 'go.sum'])
    hash.update(readFileSync(join(SOURCES, file)));
  const stamp = `${BINARY}.stamp`;
  const inputs = hash.digest('hex');
  if (existsSync(BINARY) && existsSync(stamp) && readFileSync(stamp, 'utf8') === inputs)
    return BINARY;
  mkdirSync(join(REPOSITORY, 'build'), { recursive: true });
  const draft = `${BINARY}.${process.pid}`;
  // Without symbols it is a third smaller.
  const args = ['build', '-mod=readonly', '-trimpath', '-ldflags=-s -w', '-o', draft, '.'];
  await promisify(execFile)('go', args, { cwd: SOURCES, timeout: BUILD_MS });
  renameSync(draft, BINARY);
  writeFileSync(stamp, inputs);
  return BINARY;
}

export type Security = 'plain' | 'tls' | 'mtls';
export type Protocol = 'grpc' | 'http';

/** One receiver with an address and a file of its own. */
export interface Receiver {
  readonly protocol: Protocol;
  readonly security: Security;
  /** host:port */
  readonly address: string;
  /** Complete once the Collector has stopped. */
  readonly file: string;
}

export interface Collector {
  readonly receivers: readonly Receiver[];
  /** Everything received is in the files when it resolves. @returns what it logged */
  stop(): Promise<string>;
}

/** Its receivers: each protocol with each kind of security. */
export async function startCollector(
  folder: string,
  certificates: Certificates,
): Promise<Collector> {
  const binary = await buildCollector();
  const ports = await freePorts(6);
  const receivers = (['grpc', 'http'] as const).flatMap((protocol, at) =>
    (['plain', 'tls', 'mtls'] as const).map((security, index) => ({
      protocol,
      security,
      address: `127.0.0.1:${ports[3 * at + index]}`,
      file: join(folder, `${protocol}-${security}.received`),
    })),
  );
  const file = join(folder, 'collector.yaml');
  writeFileSync(file, JSON.stringify(configuration(receivers, certificates)));
  const child = spawn(
    binary,
    ['--config', `file:${file}`, '--feature-gates=service.profilesSupport'],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log += chunk.toString();
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  try {
    await Promise.all(receivers.map(({ address }) => listening(address, child)));
  } catch (cause) {
    child.kill('SIGKILL');
    throw new Error(`the Collector did not start:\n${log.slice(-3000)}`, { cause });
  }
  return {
    receivers,
    async stop() {
      child.kill('SIGTERM');
      await ended;
      return log;
    },
  };
}

/** As JSON, which is YAML too. */
function configuration(receivers: readonly Receiver[], certificates: Certificates): object {
  const named = (make: (receiver: Receiver) => object, kind: string): object =>
    Object.fromEntries(
      receivers.map((receiver) => [
        `${kind}/${receiver.protocol}_${receiver.security}`,
        make(receiver),
      ]),
    );
  return {
    receivers: named(({ protocol, security, address }) => {
      const tls = {
        cert_file: certificates.serverCertificate,
        key_file: certificates.serverKey,
        ...(security === 'mtls' ? { client_ca_file: certificates.authority } : {}),
      };
      const server = { endpoint: address, ...(security === 'plain' ? {} : { tls }) };
      return { protocols: { [protocol]: server } };
    }, 'otlp'),
    exporters: named((receiver) => ({ path: receiver.file, format: 'proto' }), 'file'),
    service: {
      telemetry: { metrics: { level: 'none' } },
      pipelines: Object.fromEntries(
        receivers.map(({ protocol, security }) => {
          const name = `${protocol}_${security}`;
          return [`profiles/${name}`, { receivers: [`otlp/${name}`], exporters: [`file/${name}`] }];
        }),
      ),
    },
  };
}

/** Requests as the file exporter writes them: four bytes of length, big endian, before each. */
export function receivedRequests(file: string): Uint8Array[] {
  const bytes = existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
  const requests: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    if (at + 4 + length > bytes.length) throw new Error(`${file} ends within a request`);
    requests.push(new Uint8Array(bytes.subarray(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  return requests;
}

/** All at once, so that they are different ones. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

async function listening(address: string, child: ChildProcess): Promise<void> {
  const [host = '', port] = address.split(':');
  const deadline = performance.now() + START_MS;
  for (;;) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(Number(port), host);
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (open) return;
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    if (performance.now() > deadline) throw new Error(`nothing listens on ${address}`);
    await pause(50);
  }
}
