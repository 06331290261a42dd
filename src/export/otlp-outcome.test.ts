import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  grpcOutcome,
  httpOutcome,
  retryAfterMs,
  retryDelayMs,
  successOutcome,
} from './otlp-outcome.ts';

const now = Date.parse('2026-11-21T16:00:00Z');
const http = (status: number, retryAfter?: string, text = '') =>
  httpOutcome({ status, retryAfter, contentType: '', body: Buffer.from(text) }, now);
const grpc = (code: number, message = '', delay?: number) =>
  grpcOutcome({ code, message, retryDelayMs: delay });
const delivered = { kind: 'delivered', rejected: 0, message: '' };

test('every status of HTTP', () => {
  for (let status = 200; status < 600; status++) {
    const isRetryable = [429, 502, 503, 504].includes(status);
    const failed = isRetryable ? 'retry' : status === 413 ? 'too_large' : 'refused';
    assert.equal(http(status).kind, status < 300 ? 'delivered' : failed, `${status}`);
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

test('requests that the Collector finds too large, though it does not say 413', () => {
  assert.equal(http(400, undefined, 'http: request body too large').kind, 'too_large');
  const message = 'grpc: received message larger than max (4300000 vs. 4194304)';
  assert.equal(grpc(8, message).kind, 'too_large');
  assert.equal(http(400, undefined, 'something else').kind, 'refused');
});

test('Retry-After in seconds and as a date, and what is neither', () => {
  const cases: readonly (readonly [string | undefined, number | undefined])[] = [
    ['0', 0],
    [' 7 ', 7000],
    ['Sat, 21 Nov 2026 16:00:30 GMT', 30_000],
    ['Sat, 21 Nov 2026 15:00:00 GMT', 0],
    [undefined, undefined],
    ['-1', undefined],
    ['1e3', undefined],
    ['soon', undefined],
    ['2026-11-21', undefined],
  ];
  for (const [header, expected] of cases) assert.equal(retryAfterMs(header, now), expected, header);
  assert.deepEqual(http(503, '7'), { kind: 'retry', reason: 'http_503', afterMs: 7000 });
});

test('an empty partial success is success; a real one has its count and words', () => {
  assert.deepEqual(successOutcome('application/x-protobuf', Buffer.from('0a00', 'hex')), delivered);
  assert.deepEqual(successOutcome('application/x-protobuf', Buffer.alloc(0)), delivered);
  const real = Buffer.from('0a07080212036e6f20', 'hex');
  const partial = { kind: 'delivered', rejected: 2, message: 'no' };
  assert.deepEqual(successOutcome('application/x-protobuf', real), partial);
  const json = '{"partialSuccess":{"rejectedProfiles":"2","errorMessage":"no"}}';
  assert.deepEqual(successOutcome('application/json', Buffer.from(json)), partial);
  assert.deepEqual(successOutcome('application/json', Buffer.from('null')), delivered);
});

test('the delay of a RetryInfo is found among the details of a status', () => {
  const url = Buffer.from('type.googleapis.com/google.rpc.RetryInfo');
  // retry_delay 2 s and 500,000,000 ns, in an Any, in a Status.
  const info = Buffer.from('0a0808021080cab5ee01', 'hex');
  const any = Buffer.concat([
    Buffer.from([0x0a, url.length]),
    url,
    Buffer.from([0x12, info.length]),
    info,
  ]);
  const status = Buffer.concat([Buffer.from([0x08, 14, 0x1a, any.length]), any]);
  assert.equal(retryDelayMs(status), 2500);
  assert.equal(retryDelayMs(Buffer.from([0x08, 14])), undefined);
});

test('whatever a receiver answers is an outcome, and its words are one short line', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.integer({ min: 200, max: 599 }), (body, status) => {
      httpOutcome({ status, retryAfter: undefined, contentType: 'application/json', body }, now);
      httpOutcome({ status, retryAfter: undefined, contentType: '', body }, now);
      retryDelayMs(body);
    }),
    { seed: 7, numRuns: 500 },
  );
  const { message } = http(500, undefined, `a\n\x1b[31mb${'c'.repeat(1000)}`) as {
    message: string;
  };
  assert.match(message, /^HTTP 500 a \[31mbc+…$/);
  assert.ok(message.length < 220);
});
