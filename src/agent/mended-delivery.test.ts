/** Real exporters before receivers that want something else first: the log names it, and it is sent when it is mended. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { loadConfig } from '../config/load.ts';
import { buildProfile, plainSample } from '../profile/fixture.test-support.ts';
import type { ExporterFault } from '../telemetry/exporter-metrics.ts';
import { Delivery, type Targets } from './delivery.ts';

const profile = buildProfile([plainSample]);

function configOf(exporter: object): Targets {
  const sets = [`exporters=${JSON.stringify([exporter])}`];
  const { config } = loadConfig({ file: undefined, environment: {}, sets });
  return { exporters: config.exporters, attributes: config.resource.attributes };
}

async function serve(
  context: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => answer(request, response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An agent's delivery, what it says, and its end with the test. */
function start(context: TestContext) {
  const faults: ExporterFault[] = [];
  const warnings: string[] = [];
  const arrivals: string[] = [];
  const delivery = new Delivery({
    onOpen: () => {},
    onArrival: (_, { to }) => arrivals.push(to),
    onFault: (_, fault) => faults.push(fault),
    onWarning: (_exporter, _cause, message) => warnings.push(message),
    onRecovery: () => {},
  });
  context.after(() => delivery.close(0));
  return { delivery, faults, warnings, arrivals };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await setTimeout(5);
}

const QUICK = { retry: { initial: '1ms', max: '20ms' }, queue: { directory: '' } };

test('a missing tenant: waits, names the key and the address, and is sent once the file names it', async (context) => {
  const tenants: unknown[] = [];
  const url = await serve(context, ({ headers }, response) => {
    const tenant = headers['x-scope-orgid'];
    if (tenant === undefined) {
      response.writeHead(401, { 'content-type': 'application/json' });
      response.end('{"code":"unauthenticated","message":"no org id"}');
    } else {
      tenants.push(tenant);
      response.end();
    }
  });
  const { delivery, faults, warnings, arrivals } = start(context);
  // As on a real agent: the queue is where the next exporter finds it.
  const folder = mkdtempSync(join(tmpdir(), 'flametap-mended-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const pyroscope = { url, ...QUICK, queue: { directory: folder } };
  await delivery.apply(configOf({ pyroscope }));
  for (let i = 0; i < 4; i++) delivery.accept(profile);
  await until(() => delivery.readings[0]!.sendFailed >= 10);
  const [{ queueSize, dropped, fault }] = delivery.readings as [(typeof delivery.readings)[0]];
  assert.deepEqual({ queueSize, dropped }, { queueSize: 4, dropped: {} });
  assert.equal(fault?.code, 'tenant');
  assert.deepEqual(warnings, []);
  assert.equal(faults.length, 1);
  assert.equal(
    faults[0]!.message,
    `cannot deliver profiles to ${url}/push.v1.PusherService/Push: unauthenticated: no org id; set exporters.0.pyroscope.tenant to a tenant that the receiver knows`,
  );
  assert.deepEqual(faults[0]!.keys, ['exporters.0.pyroscope.tenant']);
  assert.deepEqual(arrivals, []);
  await delivery.apply(configOf({ pyroscope: { ...pyroscope, tenant: 'team-a' } }));
  await until(() => tenants.length === 4);
  await until(() => delivery.readings[0]!.queueSize === 0);
  assert.equal(delivery.readings[0]!.fault, undefined);
  assert.deepEqual(arrivals, [`${url}/push.v1.PusherService/Push`]);
});

test('an expired token is sent again when its file is renewed, long before the next attempt is due', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'flametap-token-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'token');
  writeFileSync(file, 'expired\n', { mode: 0o600 });
  let taken = 0;
  const url = await serve(context, ({ headers }, response) => {
    if (headers.authorization === 'Bearer renewed') taken++;
    response.writeHead(headers.authorization === 'Bearer renewed' ? 200 : 401).end();
  });
  const { delivery, faults } = start(context);
  const retry = { initial: '1h', max: '1h' };
  const pyroscope = { url, ...QUICK, retry, bearer_token_file: file };
  await delivery.apply(configOf({ pyroscope }));
  delivery.accept(profile);
  await until(() => delivery.readings[0]!.sendFailed === 1);
  assert.match(faults[0]!.message, /HTTP 401; set or renew the credentials in .*bearer_token_file/);
  writeFileSync(file, 'renewed\n');
  await until(() => taken === 1);
  assert.deepEqual(delivery.readings[0]!.dropped, {});
});

test('a path that nothing serves: the whole address is told', async (context) => {
  const url = await serve(context, (_, response) =>
    response.writeHead(404).end('404 page not found\n'),
  );
  const { delivery, faults } = start(context);
  const otlp = { endpoint: `${url}/wrong`, protocol: 'http/protobuf', ...QUICK };
  await delivery.apply(configOf({ otlp }));
  delivery.accept(profile);
  await until(() => faults.length === 1);
  assert.equal(
    faults[0]!.message,
    `cannot deliver profiles to ${url}/wrong/v1development/profiles: HTTP 404 page not found; correct the host, port or path in exporters.0.otlp.endpoint`,
  );
  assert.equal(delivery.readings[0]!.queueSize, 1);
});

test('what can never be taken is dropped at once, and told with its address', async (context) => {
  const url = await serve(context, (_, response) =>
    response.writeHead(400).end('profile is outside of ingestion window'),
  );
  const { delivery, faults, warnings } = start(context);
  const otlp = { endpoint: url, protocol: 'http/protobuf', ...QUICK };
  await delivery.apply(configOf({ otlp }));
  delivery.accept(profile);
  await until(() => delivery.readings[0]!.dropped.refused === 1);
  assert.deepEqual(faults, []);
  assert.deepEqual(warnings, [
    `${url}/v1development/profiles: the receiver refuses a request, which is dropped: HTTP 400 profile is outside of ingestion window`,
  ]);
});
