/** Servers that are set up in another way: tenants, less at once, less in a time. Imitated ones only. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Querier } from './querier.ts';
import { PyroscopeReceiver } from './receiver.ts';
import { period, profileOf, serviceOf } from './requests.ts';
import { DELIVERED, PyroscopeSession, signal } from './session.ts';

const { send, destination, close } = await PyroscopeSession.start();
after(close);

test('tenants are kept apart, and nothing is taken without one', async () => {
  const shared = await PyroscopeReceiver.start({ multitenancy: true });
  try {
    const service = serviceOf('tenant');
    const changes = { endpoint: shared.url };
    const [without] = await send(profileOf(service), changes);
    assert.deepEqual(without, {
      kind: 'retry',
      fault: 'tenant',
      reason: 'unauthenticated: no org id',
      mend: 'set {tenant} to a tenant that the receiver knows',
    });
    assert.deepEqual(await send(profileOf(service), { ...changes, tenant: 'one' }), [DELIVERED]);
    const total = (tenant: string) =>
      new Querier(shared.url, { 'x-scope-orgid': tenant }).total(`{service_name="${service}"}`);
    assert.equal(await total('one'), 6 * period);
    assert.equal(await total('two'), 0);
  } finally {
    await shared.close();
  }
});

test('a server that takes less at once than we send gets it in parts', async () => {
  let slowMs = Date.now();
  const slow = await PyroscopeReceiver.start({
    limits: { rateBytes: 1_000_000, burstBytes: 200_000 },
    now: () => slowMs,
  });
  const to = destination({ endpoint: slow.url });
  const service = serviceOf('less');
  try {
    const waiting = [...to.encode(profileOf(service, 6000))];
    assert.ok(waiting.length === 1 && waiting[0]!.length > 300_000);
    for (let round = 0; waiting.length > 0 && round < 50; round++) {
      const outcome = await to.transport.send(waiting[0]!, signal);
      if (outcome.kind === 'too_large') waiting.splice(0, 1, ...to.split(waiting[0]!)!);
      else if (outcome.kind === 'delivered') waiting.shift();
      else slowMs += 1000;
    }
    const total = await new Querier(slow.url).total(`{service_name="${service}"}`);
    assert.equal(total, ((6000 * 6001) / 2) * period);
  } finally {
    to.transport.close();
    await slow.close();
  }
});

test('a limit on the rate passes with time', async () => {
  let slowMs = Date.now();
  const slow = await PyroscopeReceiver.start({
    limits: { rateBytes: 1000, burstBytes: 2000 },
    now: () => slowMs,
  });
  const to = destination({ endpoint: slow.url });
  try {
    const [request] = [...to.encode(profileOf(serviceOf('rate'), 20))];
    assert.deepEqual(await to.transport.send(request!, signal), DELIVERED);
    const limited = await to.transport.send(request!, signal);
    assert.equal(limited.kind, 'retry');
    assert.match(
      limited.kind === 'retry' ? limited.reason : '',
      /^resource_exhausted: push rate limit \(1000 B\) exceeded while adding [\d.]+ (B|KiB)$/,
    );
    slowMs += 2000;
    assert.deepEqual(await to.transport.send(request!, signal), DELIVERED);
  } finally {
    to.transport.close();
    await slow.close();
  }
});
