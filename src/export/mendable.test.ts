/** Receivers that take nothing until somebody mends something, and filters that dislike one request. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../profile/arbitrary-samples.test-support.ts';
import {
  Backend,
  balanced,
  DELIVERED,
  DOWN,
  openExporter,
  profileOf,
} from './backend.test-support.ts';
import type { ExporterHost } from './exporter.ts';
import type { StandingFault } from './fault.ts';
import { SimulatedClock, settled } from './simulated-clock.test-support.ts';
import { SimulatedDisk } from './simulated-disk.test-support.ts';
import type { Outcome } from './transport.ts';

const MINUTE = 60_000;
const DENIED: Outcome = {
  kind: 'retry',
  fault: 'unauthenticated',
  reason: 'HTTP 401',
  mend: 'renew {headers}',
};
const FORBIDDEN: Outcome = { kind: 'retry', fault: 'forbidden', reason: 'HTTP 403', mend: '' };
const BROKEN: Outcome = {
  kind: 'retry',
  fault: 'server_error',
  reason: 'HTTP 500',
  isDoubtful: true,
};

function start(backend = new Backend()) {
  const clock = new SimulatedClock();
  const disk = new SimulatedDisk();
  const faults: StandingFault[] = [];
  const warnings: string[] = [];
  let recoveries = 0;
  let arrivals = 0;
  const host: Partial<ExporterHost> = {
    clock,
    openFolder: () => disk.mount(),
    warn: (cause) => void warnings.push(cause),
    faulty: (fault) => void faults.push(fault),
    recovered: () => void recoveries++,
    arrived: () => void arrivals++,
  };
  const exporter = openExporter(backend, host);
  const told = () => ({ faults: faults.map(({ code }) => code), recoveries, arrivals });
  return { clock, backend, exporter, warnings, told };
}

const requests = (count: number): string[] => Array.from({ length: count }, (_, i) => `p${i}`);

describe('everything is refused', () => {
  test('for an hour: nothing is lost, it is told once, and all is sent in order when it is mended', async () => {
    const { clock, backend, exporter, told, warnings } = start();
    backend.answer = () => DENIED;
    const expected = requests(360);
    for (const request of expected) {
      exporter.accept(profileOf(request));
      await clock.advance(10_000);
    }
    const { queueSize, dropped, breaker, fault } = balanced(exporter.stats());
    assert.deepEqual(
      { queueSize, dropped, breaker },
      { queueSize: 360, dropped: {}, breaker: 'open' },
    );
    assert.equal(fault?.code, 'unauthenticated');
    assert.deepEqual(told(), { faults: ['unauthenticated'], recoveries: 0, arrivals: 0 });
    assert.deepEqual(warnings, []);
    backend.answer = () => DELIVERED;
    await clock.advance(MINUTE);
    assert.deepEqual(backend.received, expected);
    assert.equal(exporter.stats().fault, undefined);
    assert.deepEqual(told(), { faults: ['unauthenticated'], recoveries: 1, arrivals: 1 });
    await exporter.close(0);
  });

  test('another fault is told, too; an outage meanwhile is not taken for its end', async () => {
    const { clock, backend, exporter, told } = start();
    backend.answer = () => DENIED;
    exporter.accept(profileOf('a'));
    await clock.advance(MINUTE);
    backend.answer = () => DOWN;
    await clock.advance(MINUTE);
    assert.equal(exporter.stats().fault?.code, 'unauthenticated');
    backend.answer = () => FORBIDDEN;
    await clock.advance(MINUTE);
    assert.deepEqual(told().faults, ['unauthenticated', 'forbidden']);
    await exporter.close(0);
  });

  test('a renewed file is tried within seconds, and so is a wish to try', async () => {
    const backend = new Backend();
    let isNew = false;
    Object.assign(backend.transport, { hasNewFiles: () => isNew });
    const { clock, exporter } = start(backend);
    backend.answer = () => DENIED;
    exporter.accept(profileOf('a'));
    await clock.advance(10 * MINUTE);
    const attempts = backend.attempts.length;
    backend.answer = () => DELIVERED;
    exporter.tryNow();
    await settled();
    assert.equal(backend.attempts.length, attempts + 1);

    backend.answer = () => DENIED;
    exporter.accept(profileOf('b'));
    await clock.advance(10 * MINUTE);
    backend.answer = () => DELIVERED;
    isNew = true;
    await clock.advance(2_000);
    assert.deepEqual(backend.received, ['a', 'b']);
    await exporter.close(0);
  });

  test('a time to come back at is waited for, whatever file is new', async () => {
    const backend = new Backend();
    Object.assign(backend.transport, { hasNewFiles: () => true });
    const { clock, exporter } = start(backend);
    backend.answer = () => ({ ...DENIED, afterMs: MINUTE }) as Outcome;
    exporter.accept(profileOf('a'));
    await clock.advance(MINUTE - 1);
    exporter.tryNow();
    await settled();
    assert.equal(backend.attempts.length, 1);
    await exporter.close(0);
  });
});

describe('one request is refused as if all were meant', () => {
  const bad = (answer: Outcome) => (request: string) =>
    request.startsWith('bad') ? answer : DELIVERED;

  test('it holds up the others for minutes, not for ever, and goes alone', async () => {
    const { clock, backend, exporter, warnings } = start();
    backend.answer = bad(FORBIDDEN);
    exporter.accept(profileOf('a', 'bad', 'b', 'c'));
    await clock.advance(4 * MINUTE);
    assert.deepEqual(backend.received, ['a'], 'perhaps all are refused, and then none may go');
    await clock.advance(3 * MINUTE);
    assert.deepEqual(backend.received, ['a', 'b', 'c'], 'each once');
    assert.deepEqual(balanced(exporter.stats()).dropped, { refused: 1 });
    assert.ok(warnings.includes('refused_forbidden'));
    await exporter.close(0);
  });

  test('the next ones of its kind hold up nothing, until everything is refused', async () => {
    const { clock, backend, exporter } = start();
    backend.answer = bad(FORBIDDEN);
    exporter.accept(profileOf('bad', 'a'));
    await clock.advance(7 * MINUTE);
    exporter.accept(profileOf('bad2', 'b', 'bad3', 'c'));
    await clock.advance(1);
    assert.deepEqual(backend.received, ['a', 'b', 'c']);
    assert.deepEqual(balanced(exporter.stats()).dropped, { refused: 3 });
    backend.answer = () => FORBIDDEN;
    exporter.accept(profileOf('d', 'e'));
    await clock.advance(4 * MINUTE);
    assert.deepEqual(balanced(exporter.stats()).dropped, { refused: 3 });
    backend.answer = () => DELIVERED;
    await clock.advance(MINUTE);
    assert.deepEqual(backend.received, ['a', 'b', 'c', 'd', 'e']);
    await exporter.close(0);
  });

  test('an error inside the receiver: others are asked for at once, and it gets three attempts', async () => {
    const { clock, backend, exporter } = start();
    backend.answer = bad(BROKEN);
    exporter.accept(profileOf('bad', 'a', 'b'));
    await clock.advance(MINUTE);
    assert.deepEqual(backend.received, ['a', 'b']);
    assert.equal(backend.attempts.filter((one) => one === 'bad').length, 3);
    assert.deepEqual(balanced(exporter.stats()).dropped, { refused: 1 });
    await exporter.close(0);
  });

  test('a receiver that fails for all: nothing is lost', async () => {
    const { clock, backend, exporter } = start();
    backend.answer = () => BROKEN;
    exporter.accept(profileOf('a', 'b', 'c'));
    await clock.advance(30 * MINUTE);
    backend.answer = () => DELIVERED;
    await clock.advance(MINUTE);
    assert.deepEqual(backend.received, ['a', 'b', 'c']);
    assert.deepEqual(balanced(exporter.stats()).dropped, {});
    await exporter.close(0);
  });

  test('alone in the queue it waits: nothing else tells what is meant', async () => {
    const { clock, backend, exporter } = start();
    backend.answer = bad(FORBIDDEN);
    exporter.accept(profileOf('bad'));
    await clock.advance(60 * MINUTE);
    assert.equal(balanced(exporter.stats()).queueSize, 1);
    await exporter.close(0);
  });
});

test('whatever is answered, each request arrives once or is counted as refused', async () => {
  const outcome = fc.constantFrom(DELIVERED, DENIED, FORBIDDEN, BROKEN, DOWN, {
    kind: 'refused',
    reason: '400',
    message: '',
  } as Outcome);
  const step = fc.record({ outcome, isNew: fc.boolean(), ms: fc.constantFrom(1, 10_000, 400_000) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const { clock, backend, exporter } = start();
      let count = 0;
      for (const { outcome: answer, isNew, ms } of steps) {
        backend.answer = () => answer;
        if (isNew) exporter.accept(profileOf(`p${count++}`));
        await clock.advance(ms);
        balanced(exporter.stats());
      }
      backend.answer = () => DELIVERED;
      await clock.advance(60 * MINUTE);
      const { sent, dropped, queueSize } = balanced(exporter.stats());
      assert.equal(queueSize, 0);
      assert.equal(new Set(backend.received).size, backend.received.length, 'once');
      assert.equal(sent, backend.received.length);
      assert.equal(sent + (dropped.refused ?? 0), count);
      await exporter.close(0);
      assert.equal(clock.pending, 0);
    }),
    fuzz,
  );
});
