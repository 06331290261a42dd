import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grpcOutcome, httpOutcome, partialOutcome, retryAfterMs } from './answer.ts';

const now = Date.parse('2026-11-21T16:00:00Z');
const http = (status: number, retryAfter?: string, body = '') =>
  httpOutcome({ status, retryAfter, body }, now);
const grpc = (code: number, message = '', retryDelayMs?: number) =>
  grpcOutcome({ code, message, retryDelayMs });

test('every status of HTTP', () => {
  for (let status = 200; status < 600; status++) {
    const expected =
      status < 300
        ? 'delivered'
        : [429, 502, 503, 504].includes(status)
          ? 'retry'
          : status === 413
            ? 'too_large'
            : 'refused';
    assert.equal(http(status).kind, expected, `${status}`);
  }
});

test('every code of gRPC, with and without a RetryInfo', () => {
  const retryable = [1, 4, 10, 11, 14, 15];
  for (let code = 1; code <= 16; code++) {
    assert.equal(grpc(code).kind, retryable.includes(code) ? 'retry' : 'refused', `${code}`);
    const withInfo = grpc(code, '', 1500);
    const kind = retryable.includes(code) || code === 8 ? 'retry' : 'refused';
    assert.equal(withInfo.kind, kind, `${code} with RetryInfo`);
    if (withInfo.kind === 'retry') assert.equal(withInfo.afterMs, 1500);
  }
  assert.equal(grpc(0).kind, 'delivered');
});

test('requests that the Collector finds too large, though it does not say 413', () => {
  assert.equal(http(400, undefined, 'http: request body too large').kind, 'too_large');
  const message = 'grpc: received message larger than max (4300000 vs. 4194304)';
  assert.equal(grpc(8, message).kind, 'too_large');
  assert.equal(http(400, undefined, 'exceeds the samples count limit').kind, 'refused');
});

test('Retry-After in seconds and as a date, and what is neither', () => {
  const cases: readonly (readonly [string | undefined, number | undefined])[] = [
    ['0', 0],
    [' 7 ', 7000],
    ['Sat, 21 Nov 2026 16:00:30 GMT', 30_000],
    ['Sat, 21 Nov 2026 15:00:00 GMT', 0],
    ['Saturday, 21-Nov-26 16:00:30 GMT', 30_000],
    [undefined, undefined],
    ['', undefined],
    ['-1', undefined],
    ['1.5', undefined],
    ['1e3', undefined],
    ['soon', undefined],
    ['2026-11-21', undefined],
    ['99999999999', undefined],
  ];
  for (const [header, expected] of cases) assert.equal(retryAfterMs(header, now), expected, header);
  assert.deepEqual(http(503, '7', 'busy'), {
    kind: 'retry',
    reason: 'HTTP 503 busy',
    afterMs: 7000,
  });
});

test('an empty partial success is success', () => {
  assert.deepEqual(partialOutcome(0, ''), { kind: 'delivered' });
  assert.deepEqual(partialOutcome(2, 'no'), { kind: 'partial', rejected: 2, message: 'no' });
  assert.deepEqual(partialOutcome(0, 'careful'), {
    kind: 'partial',
    rejected: 0,
    message: 'careful',
  });
});

test('what a receiver says is one line of bounded length', () => {
  const { reason } = http(500, undefined, `a\n\x1b[31mb${'c'.repeat(1000)}`) as { reason: string };
  assert.match(reason, /^HTTP 500 a \[31mbc+…$/);
  assert.ok(reason.length < 220);
});
