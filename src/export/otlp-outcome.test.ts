import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../profile/arbitrary-samples.test-support.ts';
import { grpcOutcome, httpOutcome, retryDelayMs, successOutcome } from './otlp-outcome.ts';
import { retryAfterMs } from './retry-after.ts';

const now = Date.parse('2026-11-21T16:00:00Z');
const http = (status: number, retryAfter?: string, text = '') =>
  httpOutcome({ status, retryAfter, contentType: '', body: Buffer.from(text) }, now);
const grpc = (code: number, message = '', retryDelayMs?: number) =>
  grpcOutcome({ code, message, retryDelayMs });

test('every status of HTTP', () => {
  for (let status = 200; status < 600; status++) {
    const isRetried = [429, 502, 503, 504].includes(status);
    const other = status === 413 ? 'too_large' : isRetried ? 'retry' : 'refused';
    assert.equal(http(status).kind, status < 300 ? 'delivered' : other, `${status}`);
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
});

test('requests that are too large, though nobody says 413', () => {
  assert.equal(http(400, undefined, 'http: request body too large').kind, 'too_large');
  for (const message of [
    'grpc: received message larger than max (4300000 vs. 4194304)',
    'grpc: received message after decompression larger than max 4194304',
  ])
    assert.equal(grpc(8, message).kind, 'too_large');
  assert.equal(grpc(2, 'Received HTTP status code 413').kind, 'too_large');
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
  const outcome = { kind: 'retry', reason: 'HTTP 503 busy', afterMs: 7000 };
  assert.deepEqual(http(503, '7', 'busy'), outcome);
});

test('an empty partial success is success, also in JSON', () => {
  const json = (text: string) => successOutcome('application/json', Buffer.from(text));
  for (const text of ['{}', '{"partialSuccess":{}}', 'null', '[]', '7', '', '<html>'])
    assert.deepEqual(json(text), { kind: 'delivered', rejected: 0, message: '' }, text);
  assert.deepEqual(json('{"partialSuccess":{"rejectedProfiles":"2","errorMessage":"no"}}'), {
    kind: 'delivered',
    rejected: 2,
    message: 'no',
  });
  assert.deepEqual(json('{"partialSuccess":{"errorMessage":"careful"}}'), {
    kind: 'delivered',
    rejected: 0,
    message: 'careful',
  });
});

test('what a receiver says is one line of bounded length', () => {
  const { message } = http(500, undefined, `a\n\x1b[31mb${'c'.repeat(1000)}`) as {
    message: string;
  };
  assert.match(message, /^HTTP 500 a \[31mbc+…$/);
  assert.ok(message.length < 220);
});

test("grpc-js's empty note is left out", () => {
  const outcome = grpc(14, 'No connection established. Resolution note: ');
  assert.deepEqual(outcome, { kind: 'retry', reason: 'gRPC 14 No connection established.' });
});

test('no bytes of a receiver end in an error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.string({ maxLength: 40 }), (bytes, type) => {
      const outcome = successOutcome(type, bytes);
      assert.equal(outcome.kind, 'delivered');
      if (outcome.kind === 'delivered') assert.ok(outcome.rejected >= 0);
      const delay = retryDelayMs(bytes);
      assert.ok(delay === undefined || delay >= 0);
      const answer = { status: 503, retryAfter: type, contentType: type, body: bytes };
      assert.equal(httpOutcome(answer, now).kind, 'retry');
    }),
    fuzz,
  );
});
