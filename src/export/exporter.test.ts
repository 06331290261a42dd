import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  Backend,
  balanced,
  DELIVERED,
  DOWN,
  openExporter,
  profileOf,
  SETTINGS,
} from './backend.test-support.ts';
import type { Exporter } from './exporter.ts';
import { SimulatedClock, settled } from './simulated-clock.test-support.ts';
import { SimulatedDisk } from './simulated-disk.test-support.ts';
import type { Outcome } from './transport.ts';

const HOUR = 3_600_000;

function start(settings = {}) {
  const clock = new SimulatedClock();
  const disk = new SimulatedDisk();
  const backend = new Backend();
  const warnings: string[] = [];
  const host = {
    clock,
    openFolder: () => disk.mount(),
    warn: (cause: string) => void warnings.push(cause),
  };
  const open = (): Exporter => openExporter(backend, host, settings);
  return { clock, disk, backend, warnings, open, exporter: open() };
}

describe('sending', () => {
  test('a backend that answers gets every request once, in order, and nothing stays', async () => {
    const { exporter, backend, disk } = start();
    exporter.accept(profileOf('a', 'b'));
    exporter.accept(profileOf('c'));
    await settled();
    assert.deepEqual(backend.received, ['a', 'b', 'c']);
    const { sent, queueSize, dropped, requestBytes } = balanced(exporter.stats());
    assert.deepEqual(
      { sent, queueSize, dropped, requestBytes },
      {
        sent: 3,
        queueSize: 0,
        dropped: {},
        requestBytes: 3,
      },
    );
    await exporter.close(1000);
    assert.ok(disk.used < 10_000);
    assert.ok(backend.isClosed);
  });

  test('an hour without a backend: everything arrives afterwards, in order, after few attempts', async () => {
    const { exporter, backend, clock } = start();
    backend.answer = () => DOWN;
    const expected = [];
    for (let i = 0; i < 360; i++) {
      exporter.accept(profileOf(`p${i}`));
      expected.push(`p${i}`);
      await clock.advance(10_000);
    }
    assert.equal(exporter.stats().breaker, 'open');
    assert.ok(backend.attempts.length <= HOUR / 10_000 + 4, `${backend.attempts.length} attempts`);
    assert.equal(balanced(exporter.stats()).queueSize, 360);
    backend.answer = () => DELIVERED;
    await clock.advance(10_000);
    assert.deepEqual(backend.received, expected);
    const { sent, dropped, breaker } = balanced(exporter.stats());
    assert.deepEqual({ sent, dropped, breaker }, { sent: 360, dropped: {}, breaker: 'closed' });
    await exporter.close(0);
    assert.equal(clock.pending, 0);
  });

  test('waits grow with full jitter up to the limit; then the breaker opens and lets one through at a time', async () => {
    const { exporter, backend, clock } = start({ breaker: { failures: 6, openMs: 20_000 } });
    backend.answer = () => DOWN;
    const at: number[] = [];
    const states: string[] = [];
    backend.answer = () => {
      at.push(Math.round(clock.monotonic()));
      states.push(exporter.stats().breaker);
      return DOWN;
    };
    exporter.accept(profileOf('a'));
    await clock.advance(80_000);
    const waits = at.slice(1).map((time, i) => time - at[i]!);
    assert.deepEqual(waits, [1000, 2000, 4000, 8000, 8000, 20_000, 20_000]);
    assert.deepEqual(states.slice(-3), ['closed', 'half_open', 'half_open']);
    await exporter.close(0);
  });

  test('what the peer demands is waited for, also when it is longer than any wait, an hour at most', async () => {
    const { exporter, backend, clock } = start();
    backend.answer = () => ({ kind: 'retry', reason: '429', afterMs: 60_000 });
    exporter.accept(profileOf('a'));
    await clock.advance(59_999);
    assert.equal(backend.attempts.length, 1);
    backend.answer = () => ({ kind: 'retry', reason: '429', afterMs: 365 * 24 * HOUR });
    await clock.advance(1);
    assert.equal(backend.attempts.length, 2);
    backend.answer = () => DELIVERED;
    await clock.advance(HOUR - 1);
    assert.equal(backend.attempts.length, 2);
    await clock.advance(1);
    assert.deepEqual(backend.received, ['a']);
    await exporter.close(0);
  });

  test('what is refused is dropped at once and counted; what follows is sent', async () => {
    const { exporter, backend, warnings } = start();
    backend.answer = (request) =>
      request === 'bad' ? { kind: 'refused', reason: '400', message: 'bad' } : DELIVERED;
    exporter.accept(profileOf('a', 'bad', 'b'));
    await settled();
    assert.deepEqual(backend.attempts, ['a', 'bad', 'b']);
    assert.deepEqual(balanced(exporter.stats()).dropped, { refused: 1 });
    assert.ok(warnings.includes('refused_400'));
    await exporter.close(0);
  });

  test('partial success is never sent again', async () => {
    const { exporter, backend, clock } = start();
    backend.answer = () => ({ kind: 'delivered', rejected: 7, message: 'label too long' });
    exporter.accept(profileOf('a'));
    await clock.advance(HOUR);
    assert.deepEqual(backend.attempts, ['a']);
    assert.equal(balanced(exporter.stats()).rejected, 7);
    await exporter.close(0);
  });

  test('what is too large is split until it fits, in order; what cannot be split is dropped', async () => {
    const { exporter, backend } = start();
    backend.answer = (request) =>
      request.length > 3 ? { kind: 'too_large', message: `${request.length}` } : DELIVERED;
    exporter.accept(profileOf('a b c d e', 'unsplittable', 'f'));
    await settled();
    assert.deepEqual(backend.received, ['a b', 'c', 'd e', 'f']);
    const { split, sent, dropped } = balanced(exporter.stats());
    assert.deepEqual({ split, sent, dropped }, { split: 2, sent: 4, dropped: { too_large: 1 } });
    await exporter.close(0);
  });

  test('parts that arrived are not sent again after one that did not', async () => {
    const { exporter, backend, clock } = start();
    let failures = 1;
    backend.answer = (request) => {
      if (request.length > 1) return { kind: 'too_large', message: '' };
      return request === 'b' && failures-- > 0 ? DOWN : DELIVERED;
    };
    exporter.accept(profileOf('a b'));
    await settled();
    assert.equal(balanced(exporter.stats()).queueSize, 1);
    await clock.advance(10_000);
    assert.deepEqual(backend.received, ['a', 'b']);
    balanced(exporter.stats());
    await exporter.close(0);
  });

  test('retry.max_elapsed gives up one request, and goes on with the next', async () => {
    const { exporter, backend, clock } = start({
      retry: { ...SETTINGS.retry, maxElapsedMs: 30_000 },
    });
    backend.answer = (request) => (request === 'a' ? DOWN : DELIVERED);
    exporter.accept(profileOf('a', 'b'));
    await clock.advance(60_000);
    assert.deepEqual(backend.received, ['b']);
    assert.deepEqual(balanced(exporter.stats()).dropped, { retries_exhausted: 1 });
    await exporter.close(0);
  });

  test('a backend that hangs is given up after the timeout, and a late answer changes nothing', async () => {
    const { exporter, backend, clock } = start();
    const late = Promise.withResolvers<Outcome>();
    backend.answer = () => late.promise;
    exporter.accept(profileOf('a'));
    await clock.advance(SETTINGS.timeoutMs);
    assert.deepEqual(backend.aborted, ['a']);
    backend.answer = () => DELIVERED;
    late.resolve({ kind: 'refused', reason: 'late', message: '' });
    await clock.advance(10_000);
    assert.deepEqual(backend.received, ['a']);
    assert.deepEqual(balanced(exporter.stats()).dropped, {});
    await exporter.close(0);
  });

  test('a transport that throws or rejects, against its contract, is one that failed', async () => {
    const { exporter, backend, clock } = start();
    let calls = 0;
    backend.transport.send = (bytes) => {
      calls++;
      if (calls === 1) throw new TypeError('thrown');
      if (calls === 2) return Promise.reject(new Error('rejected'));
      backend.received.push(Buffer.from(bytes).toString());
      return Promise.resolve(DELIVERED);
    };
    exporter.accept(profileOf('a'));
    await clock.advance(20_000);
    assert.deepEqual(backend.received, ['a']);
    assert.equal(exporter.stats().sendFailed, 2);
    await exporter.close(0);
  });

  test('one destination that hangs does not hold up another', async () => {
    const first = start();
    const second = start();
    first.backend.answer = () => 'hangs';
    for (const { exporter } of [first, second]) exporter.accept(profileOf('a'));
    await settled();
    assert.deepEqual(second.backend.received, ['a']);
    assert.equal(first.exporter.stats().inFlight, 1);
    await first.exporter.close(0);
    await second.exporter.close(0);
  });

  test('a profile that cannot be encoded is counted; its other requests and other profiles go', async () => {
    const { exporter, backend } = start();
    exporter.accept(profileOf('a', 'cannot be encoded', 'b'));
    exporter.accept(profileOf('c'));
    await settled();
    assert.deepEqual(backend.received, ['a', 'c']);
    assert.deepEqual(balanced(exporter.stats()).dropped, { encoding: 1 });
    await exporter.close(0);
  });
});

describe('stopping', () => {
  test('what is queued is sent within the time', async () => {
    const { exporter, backend } = start();
    exporter.accept(profileOf('a', 'b', 'c'));
    await exporter.close(5000);
    assert.deepEqual(backend.received, ['a', 'b', 'c']);
    balanced(exporter.stats());
  });

  test('a backend that is down gets one more attempt, not the whole time; the rest stays for the next agent', async () => {
    const { exporter, backend, clock, open } = start();
    backend.answer = () => DOWN;
    exporter.accept(profileOf('a', 'b'));
    await settled();
    await exporter.close(5000);
    assert.equal(clock.monotonic(), 0);
    assert.deepEqual(backend.attempts, ['a', 'a']);
    backend.answer = () => DELIVERED;
    const next = open();
    assert.equal(next.stats().recovered, 2);
    await next.close(5000);
    assert.deepEqual(backend.received, ['a', 'b']);
  });

  test('what the peer demanded holds for stopping, too', async () => {
    const { exporter, backend } = start();
    backend.answer = () => ({ kind: 'retry', reason: '429', afterMs: 60_000 });
    exporter.accept(profileOf('a'));
    await settled();
    await exporter.close(5000);
    assert.equal(backend.attempts.length, 1);
    assert.equal(balanced(exporter.stats()).queueSize, 1);
  });

  test('a backend that hangs ends it at the deadline, and nothing is lost', async () => {
    const { exporter, backend, clock, open } = start();
    backend.answer = () => 'hangs';
    exporter.accept(profileOf('a'));
    let isClosed = false;
    const closing = exporter.close(2000).then(() => {
      isClosed = true;
    });
    await clock.advance(1999);
    assert.equal(isClosed, false);
    await clock.advance(1);
    await closing;
    assert.deepEqual(backend.aborted, ['a']);
    assert.equal(clock.pending, 0);
    assert.equal(open().stats().queueSize, 1);
  });

  test('what comes after it is counted; a second close waits for the first', async () => {
    const { exporter } = start();
    const first = exporter.close(0);
    assert.equal(exporter.close(0), first);
    await first;
    exporter.accept(profileOf('late'));
    assert.deepEqual(balanced(exporter.stats()).dropped, { closed: 1 });
  });
});
