/** Certificates renewed on disk while a connection lives: the next request uses the new ones. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeCertificates, type Pair } from './certificates.test-support.ts';
import { otlpDestination } from './otlp.ts';
import {
  faultyWay,
  grpcReceiver,
  httpReceiver,
  type ServerTls,
} from './otlp-receivers.test-support.ts';
import type { Outcome, Transport } from './transport.ts';
import { readTls, WatchedFiles } from './watched-files.ts';

const ours = makeCertificates();
/** Of another authority. */
const others = makeCertificates();
const DELIVERED: Outcome = { kind: 'delivered', rejected: 0, message: '' };
const request = Buffer.from('a request');
const never = new AbortController().signal;

const serialOf = ({ cert }: Pair): string => new X509Certificate(cert).serialNumber;

/** A folder of a Kubernetes secret: files are links into `..data`, which is swapped. */
class Secret {
  readonly #folder = mkdtempSync(join(tmpdir(), 'flametap-secret-'));
  #version = 0;

  constructor(context: TestContext) {
    context.after(() => rmSync(this.#folder, { recursive: true }));
    for (const name of ['ca.crt', 'tls.crt', 'tls.key'])
      symlinkSync(join('..data', name), join(this.#folder, name));
  }

  get files() {
    const path = (name: string) => join(this.#folder, name);
    return { caFile: path('ca.crt'), certFile: path('tls.crt'), keyFile: path('tls.key') };
  }

  put(ca: Buffer, cert: Buffer, key: Buffer): void {
    const version = `..${++this.#version}`;
    mkdirSync(join(this.#folder, version));
    for (const [name, content] of Object.entries({ 'ca.crt': ca, 'tls.crt': cert, 'tls.key': key }))
      writeFileSync(join(this.#folder, version, name), content);
    symlinkSync(version, join(this.#folder, '..next'));
    renameSync(join(this.#folder, '..next'), join(this.#folder, '..data'));
  }
}

async function receiver(context: TestContext, protocol: 'grpc' | 'http/protobuf', tls: ServerTls) {
  if (protocol === 'grpc') return grpcReceiver(context, () => ({}), { tls });
  const { url, received } = await httpReceiver(context, (response) => response.end(), tls);
  return { port: Number(url.port), received };
}

for (const protocol of ['grpc', 'http/protobuf'] as const) {
  test(`over ${protocol}: the client's certificate, then the authority`, async (context) => {
    const first = await receiver(context, protocol, { ...ours.server, clientCa: ours.ca });
    const way = await faultyWay(context, first.port, () => 0);
    const secret = new Secret(context);
    const watched = new WatchedFiles();
    const { transport } = otlpDestination({
      name: 'test',
      endpoint: `https://127.0.0.1:${way.port}`,
      isWholeUrl: false,
      protocol,
      headers: {},
      compression: 'gzip',
      timeoutMs: 60_000,
      tls: () => readTls(watched, secret.files),
      insecure: false,
      maxRequestBytes: 1_500_000,
      encoding: { goroutines: false, attributes: {} },
      now: Date.now,
    });
    context.after(() => transport.close());
    const sent = (to: Transport): Promise<Outcome> => to.send(request, never);
    const used = (): string[] => first.received.map(({ certificate }) => certificate);

    secret.put(ours.ca, ours.client.cert, ours.client.key);
    for (let i = 0; i < 3; i++) assert.deepEqual(await sent(transport), DELIVERED);
    assert.deepEqual(used(), Array(3).fill(serialOf(ours.client)));
    assert.equal(way.connections, 1);

    secret.put(ours.ca, ours.renewed.cert, ours.renewed.key);
    for (let i = 0; i < 2; i++) assert.deepEqual(await sent(transport), DELIVERED);
    assert.deepEqual(used().slice(3), Array(2).fill(serialOf(ours.renewed)));
    assert.equal(way.connections, 2);

    // Half of a renewal, as a script that copies one file after the other leaves it for a moment.
    secret.put(ours.ca, ours.client.cert, ours.renewed.key);
    const halfway = await sent(transport);
    assert.equal(halfway.kind, 'retry', JSON.stringify(halfway));
    assert.equal(way.connections, 2);
    secret.put(ours.ca, ours.client.cert, ours.client.key);
    assert.deepEqual(await sent(transport), DELIVERED);
    assert.equal(used().at(-1), serialOf(ours.client));

    // The receiver moves to another authority: first it is not trusted, then it is.
    const second = await receiver(context, protocol, { ...others.server, clientCa: others.ca });
    way.target = second.port;
    secret.put(ours.ca, others.client.cert, others.client.key);
    assert.equal((await sent(transport)).kind, 'retry');
    secret.put(others.ca, others.client.cert, others.client.key);
    assert.deepEqual(await sent(transport), DELIVERED);
    assert.deepEqual(
      second.received.map(({ certificate }) => certificate),
      [serialOf(others.client)],
    );
  });
}
