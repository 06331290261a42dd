import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { loadConfig } from '../config/load.ts';
import type { Destination, Outcome } from '../export/transport.ts';
import { buildProfile, plainSample } from '../profile/fixture.test-support.ts';
import { Delivery, type Targets } from './delivery.ts';
import { destinationOf, settingsOf } from './destinations.ts';

const folder = mkdtempSync(join(tmpdir(), 'delivery-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const profile = buildProfile([plainSample]);

/** @param exporters as `--set` takes them */
function configOf(exporters: readonly object[], ...more: string[]): Targets {
  const sets = [`exporters=${JSON.stringify(exporters)}`, ...more];
  const { config } = loadConfig({ file: undefined, environment: {}, sets });
  return { exporters: config.exporters, attributes: config.resource.attributes };
}

const pyroscope = (name: string, more: object = {}): object => ({
  pyroscope: { name, url: 'http://127.0.0.1:1', queue: { directory: '' }, ...more },
});

/** Destinations that note what arrives; those called `down` never answer well. */
class World {
  readonly arrived: string[] = [];
  readonly opened: string[] = [];
  readonly closed: string[] = [];
  readonly warnings: string[] = [];
  readonly messages: string[] = [];
  readonly told: object[] = [];
  /** Addresses of what each was given to encode. */
  readonly encoded = new Map<string, readonly number[]>();
  /** Of those called `down`. */
  isBack = false;
  readonly delivery = new Delivery(
    {
      onOpen: (exporter, opened) => this.told.push({ exporter, ...opened }),
      onWarning: (exporter, cause, message) => {
        this.warnings.push(`${exporter}: ${cause}`);
        this.messages.push(message);
      },
      onArrival: (exporter, arrival) => this.told.push({ exporter, ...arrival }),
      onFault: (_, { message }) => this.messages.push(message),
      onRecovery: (exporter, recovery) => this.told.push({ exporter, ...recovery }),
    },
    ({ name }): Destination => this.#destination(name),
  );

  #destination(name: string): Destination {
    this.opened.push(name);
    return {
      name,
      kind: 'pyroscope',
      address: `http://${name}`,
      encode: ({ tally, locations }) => {
        this.encoded.set(
          name,
          locations.map(({ address }) => address),
        );
        return [Buffer.from(`${tally.exported}`)];
      },
      split: () => undefined,
      transport: {
        send: async (request): Promise<Outcome> => {
          if (name === 'down' && !this.isBack) return { kind: 'retry', reason: 'ECONNREFUSED' };
          this.arrived.push(`${name} ${Buffer.from(request)}`);
          return { kind: 'delivered', rejected: 0, message: '' };
        },
        close: () => this.closed.push(name),
      },
    };
  }
}

test('each profile goes to each exporter, also when one is down', async () => {
  const world = new World();
  const { delivery } = world;
  await delivery.apply(configOf([pyroscope('down'), pyroscope('a'), pyroscope('b')]));
  delivery.accept(profile);
  await delivery.close(100);
  assert.deepEqual(world.arrived.sort(), ['a 1', 'b 1']);
  assert.deepEqual(world.closed.sort(), ['a', 'b', 'down']);
  assert.deepEqual(new Set(world.warnings), new Set(['down: send_failed']));
  const [down, a] = delivery.readings;
  assert.deepEqual([down!.exporter, down!.sent, down!.dropped], ['down', 0, { shutdown: 1 }]);
  assert.deepEqual([a!.exporter, a!.queueSize, a!.sent, a!.dropped], ['a', 0, 1, {}]);
  assert.ok(down!.sendFailed >= 1);
});

test('a new configuration leaves alone what stays as it was', async () => {
  const world = new World();
  const { delivery } = world;
  await delivery.apply(configOf([pyroscope('a'), pyroscope('b'), pyroscope('c')]));
  await delivery.apply(configOf([pyroscope('d'), pyroscope('b', { tenant: 't' }), pyroscope('a')]));
  assert.deepEqual(world.opened, ['a', 'b', 'c', 'd', 'b']);
  assert.deepEqual(world.closed.sort(), ['b', 'c']);
  assert.deepEqual(
    delivery.readings.map(({ exporter }) => exporter),
    ['d', 'b', 'a'],
  );
  await delivery.apply(configOf([pyroscope('a')], 'resource.attributes=team=x'));
  assert.deepEqual(world.opened.slice(5), ['a'], 'it carries the attributes');
  await delivery.close(100);
});

test('what could not be sent waits on disk for the exporter that comes after', async () => {
  const disk = { queue: { directory: join(folder, 'queue') } };
  const before = new World();
  await before.delivery.apply(configOf([pyroscope('down', disk)]));
  before.delivery.accept(profile);
  await before.delivery.close(50);
  assert.deepEqual(before.delivery.readings[0]!.dropped, {});

  const after = new World();
  await after.delivery.apply(configOf([pyroscope('down', disk)]));
  assert.equal(after.delivery.readings[0]!.queueSize, 1);
  await after.delivery.close(50);
});

test('an operator is told where profiles go, that they cannot, and that they can again', async () => {
  const world = new World();
  const { delivery } = world;
  const retry = { initial: '1ms', max: '1ms' };
  const url = 'http://me:secret@pyroscope:4040';
  await delivery.apply(
    configOf([
      pyroscope('down', { url, retry, queue: { directory: join(folder, 'told') } }),
      pyroscope('a'),
    ]),
  );
  const queue = join(folder, 'told', 'down');
  assert.deepEqual(world.told.splice(0), [
    { exporter: 'down', to: 'http://down', queue, waiting: 0 },
    { exporter: 'a', to: 'http://a', queue: undefined, waiting: 0 },
  ]);
  delivery.accept(profile);
  while (delivery.readings[0]!.sendFailed < 3) await setImmediate();
  assert.match(world.messages[0]!, /^cannot deliver profiles to http:\/\/down: ECONNREFUSED; /);
  world.isBack = true;
  while (delivery.readings[0]!.sent < 1) await setImmediate();
  const { sendFailed } = delivery.readings[0]!;
  assert.deepEqual(world.told, [
    { exporter: 'a', to: 'http://a' },
    { exporter: 'down', failures: sendFailed, waiting: 1 },
    { exporter: 'down', to: 'http://down' },
  ]);
  await delivery.close(100);
});

test('what the queue drops is told with the key that decides', async () => {
  const world = new World();
  const { delivery } = world;
  const retry = { initial: '1ms', max: '1ms', max_elapsed: '1s' };
  await delivery.apply(configOf([pyroscope('down', { retry })]));
  delivery.accept(profile);
  while (delivery.readings[0]!.dropped.retries_exhausted === undefined) await setTimeout(50);
  delivery.accept(profile);
  delivery.accept(profile);
  const told = world.messages.filter((message) => !message.startsWith('cannot deliver'));
  assert.deepEqual(told, ['requests dropped: 1; they could not be sent within retry.max_elapsed']);
  await delivery.close(0);
});

test('files are written by the configuration of their exporter', async () => {
  const directory = join(folder, 'files');
  const delivery = new Delivery({
    onOpen: () => {},
    onArrival: () => {},
    onFault: () => {},
    onWarning: () => {},
    onRecovery: () => {},
  });
  await delivery.apply(configOf([{ files: { directory, format: 'otlp' } }]));
  delivery.accept(profile);
  await delivery.close(10_000);
  const [name, ...others] = readdirSync(directory);
  assert.match(name!, /^flametap-.*\.otlp$/);
  assert.equal(others.length, 0);
  assert.ok(readFileSync(join(directory, name!)).includes('app-42'));
});

test('keys of the configuration reach queue, retry and timeout', () => {
  const [exporter] = configOf([
    pyroscope('p', {
      timeout: '3s',
      queue: { directory: '/q', max_bytes: '2MiB', max_age: '2h' },
      retry: { initial: '1s', max: '7s', max_elapsed: '9m' },
    }),
  ]).exporters;
  assert.deepEqual(settingsOf(exporter!), {
    queue: { directory: '/q', maxBytes: 2 << 20, maxAgeMs: 7_200_000 },
    retry: { initialMs: 1_000, maxMs: 7_000, maxElapsedMs: 540_000 },
    timeoutMs: 3_000,
  });
  assert.equal(destinationOf(exporter!, {}).kind, 'pyroscope');
});

test('addresses of the kernel go only to the exporter whose receiver may know them', async () => {
  const world = new World();
  const { delivery } = world;
  await delivery.apply(configOf([pyroscope('trusted', { addresses: true }), pyroscope('other')]));
  const samples = [{ ...plainSample, kernel: [7], user: [3] }];
  delivery.accept(buildProfile(samples, { threads: false, addresses: true }));
  await delivery.close(100);
  assert.deepEqual(
    [world.encoded.get('trusted'), world.encoded.get('other')],
    [
      [0xf_ffff_8100_0007, 3],
      [0, 3],
    ],
  );
});
