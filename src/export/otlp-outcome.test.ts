import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../profile/arbitrary-samples.test-support.ts';
import { grpcOutcome, httpOutcome, retryDelayMs, successOutcome } from './otlp-outcome.ts';
import { retryAfterMs } from './retry-after.ts';

const now = Date.parse('2026-11-21T16:00:00Z');
const http = (status: number, retryAfter?: string, text = '', series = 1) =>
  httpOutcome({ status, retryAfter, contentType: '', body: Buffer.from(text) }, series, now);
const grpc = (code: number, message = '', retryDelayMs?: number, series = 1) =>
  grpcOutcome({ code, message, retryDelayMs }, series);

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
  assert.equal(http(400, undefined, 'exceeds the samples count limit').kind, 'too_large');
});

// As it was seen to answer: it names no status or code that OTLP would call retryable.
test('Pyroscope that starts, stops, or limits a rate takes it later, or in parts', () => {
  const said = (text: string) => `failed to make a GRPC request: ${text}`;
  const inner = said(
    'push series with index 0 and id x failed: unknown: rpc error: code = Unavailable desc = service is unavailable',
  );
  assert.equal(http(500, undefined, inner).kind, 'retry');
  assert.equal(http(500, undefined, said('rpc error: code = InvalidArgument')).kind, 'refused');
  const over = (size: string) =>
    `resource_exhausted: push rate limit (4.0 MiB) exceeded while adding ${size}`;
  for (const [text, kind] of [
    [over('75 KiB'), 'retry'],
    [over('256 KiB'), 'retry'],
    [over('257 KiB'), 'too_large'],
    [`4 errors: ${Array(4).fill(over('75 KiB')).join('; ')}`, 'too_large'],
    [over('2.4 MiB'), 'too_large'],
  ] as const) {
    assert.equal(http(429, undefined, said(text)).kind, kind, text);
    assert.equal(grpc(8, said(text)).kind, kind, text);
  }
  assert.equal(http(429, '3', said(over('9 B'))).kind, 'retry');
  // The others found room, and would again, while there never is any for the last.
  assert.equal(http(429, undefined, said(over('75 KiB')), 4).kind, 'too_large');
  assert.equal(grpc(8, said(over('75 KiB')), undefined, 4).kind, 'too_large');
  assert.equal(grpc(8, said(over('75 KiB')), undefined, 3).kind, 'retry');
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
  const { message } = http(500, undefined, `a\n\x1b[31mb${'c'.repeat(1000)} limit 30`) as {
    message: string;
  };
  assert.match(message, /^HTTP 500 a \[31mbc+ … c+ limit 30$/);
  assert.ok(message.length < 320);
});

test("grpc-js's empty note is left out", () => {
  const outcome = grpc(14, 'No connection established. Resolution note: ');
  assert.deepEqual(outcome, { kind: 'retry', reason: 'gRPC 14 No connection established.' });
  const refused =
    'No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:4317.';
  assert.deepEqual(grpc(14, `${refused} Resolution note: `), {
    kind: 'retry',
    reason: 'gRPC 14 connect ECONNREFUSED 127.0.0.1:4317',
  });
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
      assert.equal(httpOutcome(answer, 1, now).kind, 'retry');
    }),
    fuzz,
  );
});
