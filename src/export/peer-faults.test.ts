/** Exporters with real connections to receivers that fail in every way: what was accepted arrives, in order. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { balanced, profileOf, SETTINGS } from './backend.test-support.ts';
import { makeCertificates, type Pair } from './certificates.test-support.ts';
import { Exporter } from './exporter.ts';
import { OtlpGrpcTransport } from './otlp-grpc.ts';
import { OtlpHttpTransport } from './otlp-http.ts';
import {
  type Fault,
  type FaultyWay,
  faultyWay,
  grpcReceiver,
  httpReceiver,
  KEYS,
  type ServerTls,
} from './otlp-receivers.test-support.ts';
import type { Destination, Transport } from './transport.ts';

const certificates = makeCertificates();
const PROTOCOLS = ['http', 'grpc'] as const;
type Protocol = (typeof PROTOCOLS)[number];
/** Larger than what passes before a request is cut. */
const REQUEST_BYTES = 20_000;
const REQUESTS = 12;

interface Receiver {
  readonly port: number;
  readonly received: readonly { readonly body: Buffer }[];
}

async function receiver(
  context: TestContext,
  protocol: Protocol,
  tls?: ServerTls,
): Promise<Receiver> {
  if (protocol === 'grpc') return grpcReceiver(context, () => ({}), tls ? { tls } : {});
  const { url, received } = await httpReceiver(context, (response) => response.end(), tls);
  return { port: Number(url.port), received };
}

function transport(protocol: Protocol, port: number, ca?: Buffer): Transport {
  const common = { compression: 'none', headers: {}, timeoutMs: 0, keys: KEYS } as const;
  if (protocol === 'grpc') {
    const tls = ca && (() => ({ ca }));
    return new OtlpGrpcTransport({ ...common, target: `127.0.0.1:${port}`, tls });
  }
  const url = new URL(`${ca ? 'https' : 'http'}://127.0.0.1:${port}/v1development/profiles`);
  return new OtlpHttpTransport({
    ...common,
    url,
    format: 'protobuf',
    tls: () => (ca ? { ca } : {}),
    now: Date.now,
  });
}

function open(context: TestContext, to: Transport, timeoutMs = 60_000): Exporter {
  const destination: Destination = {
    name: 'test',
    kind: 'otlp',
    address: 'test',
    encode: (profile) => (profile as unknown as string[]).map((one) => Buffer.from(one)),
    split: () => undefined,
    transport: to,
  };
  const settings = {
    ...SETTINGS,
    queue: { ...SETTINGS.queue, directory: undefined },
    retry: { initialMs: 1, maxMs: 20, maxElapsedMs: 0 },
    breaker: { failures: 3, openMs: 20 },
    timeoutMs,
  };
  const exporter = Exporter.open(destination, settings);
  context.after(() => exporter.close(0));
  return exporter;
}

const request = (number: number): string => String(number).padEnd(REQUEST_BYTES, '.');

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Sends one after the other, each over a connection with the next fault. */
async function deliver(
  exporter: Exporter,
  way: FaultyWay,
  faults: readonly Fault[],
): Promise<void> {
  way.faults.push(...faults);
  for (let number = 0; number < REQUESTS; number++) exporter.accept(profileOf(request(number)));
  await until(() => exporter.stats().queueSize === 0);
  assert.equal(way.faults.length, 0, 'every fault happened');
  const { sent, dropped } = balanced(exporter.stats());
  assert.deepEqual({ sent, dropped }, { sent: REQUESTS, dropped: {} });
}

function checkArrived({ received }: Receiver, repeats: number): void {
  const numbers = received.map(({ body }) => Number.parseInt(body.toString(), 10));
  const once = [...new Set(numbers)];
  assert.deepEqual(
    once,
    Array.from({ length: REQUESTS }, (_, number) => number),
  );
  assert.ok(
    received.every(({ body }) => body.length === REQUEST_BYTES),
    'whole',
  );
  assert.ok(numbers.length - once.length <= repeats, `${numbers}`);
}

for (const protocol of PROTOCOLS) {
  describe(`over ${protocol}`, { timeout: 120_000 }, () => {
    const ways: readonly (readonly [string, readonly Fault[], number])[] = [
      ['nobody answers', ['refused', 'refused', 'refused', 'refused'], 0],
      [
        'resets in the middle of requests',
        ['cut in the request', 'cut in the request', 'cut in the request'],
        0,
      ],
      [
        'resets in the middle of answers: repeats, but no loss',
        ['cut in the answer', 'cut in the answer', 'cut in the answer'],
        3,
      ],
      ['garbage', ['garbage', 'garbage', 'garbage'], 0],
      [
        'all of it',
        [
          'garbage',
          'cut in the answer',
          'refused',
          'cut in the request',
          'garbage',
          'cut in the answer',
          'refused',
        ],
        2,
      ],
    ];
    for (const [what, faults, repeats] of ways) {
      test(what, async (context) => {
        const peer = await receiver(context, protocol);
        const way = await faultyWay(context, peer.port, () => peer.received.length);
        const exporter = open(context, transport(protocol, way.port));
        await deliver(exporter, way, faults);
        checkArrived(peer, repeats);
      });
    }

    test('silence: given up after the timeout, each time over a new connection', async (context) => {
      const peer = await receiver(context, protocol);
      const way = await faultyWay(context, peer.port, () => peer.received.length);
      const exporter = open(context, transport(protocol, way.port), 300);
      await deliver(exporter, way, ['hangs', 'hangs']);
      // A busy machine may take longer than the timeout for a good answer, too.
      checkArrived(peer, exporter.stats().sendFailed - 2);
    });

    const wrong: readonly (readonly [string, Pair])[] = [
      ['expired', certificates.expired],
      ["somebody else's", certificates.foreign],
      ['for another host', certificates.misnamed],
    ];
    for (const [what, pair] of wrong) {
      test(`a certificate that is ${what}: nothing is sent until it is right, and nothing is lost`, async (context) => {
        const bad = await receiver(context, protocol, pair);
        const good = await receiver(context, protocol, certificates.server);
        const way = await faultyWay(context, bad.port, () => 0);
        const exporter = open(context, transport(protocol, way.port, certificates.ca));
        for (let number = 0; number < REQUESTS; number++)
          exporter.accept(profileOf(request(number)));
        await until(() => exporter.stats().sendFailed >= 4);
        const { queueSize, sent } = balanced(exporter.stats());
        assert.deepEqual({ queueSize, sent }, { queueSize: REQUESTS, sent: 0 });
        way.target = good.port;
        await until(() => exporter.stats().queueSize === 0);
        assert.deepEqual(balanced(exporter.stats()).dropped, {});
        checkArrived(good, 0);
        assert.equal(bad.received.length, 0);
      });
    }
  });
}
