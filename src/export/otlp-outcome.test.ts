import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzz } from '../profile/arbitrary-samples.test-support.ts';
import type { FaultCode } from './fault.ts';
import {
  connectionError,
  grpcOutcome,
  httpOutcome,
  retryDelayMs,
  successOutcome,
} from './otlp-outcome.ts';
import { KEYS } from './otlp-receivers.test-support.ts';
import { retryAfterMs } from './retry-after.ts';
import type { Outcome } from './transport.ts';

const now = Date.parse('2026-11-21T16:00:00Z');
const http = (status: number, retryAfter?: string, text = '', series = 1) =>
  httpOutcome({ status, retryAfter, contentType: '', body: Buffer.from(text) }, series, now, KEYS);
const grpc = (code: number, message = '', retryDelayMs?: number, series = 1) =>
  grpcOutcome({ code, message, retryDelayMs }, series, KEYS);

const PASSING = [408, 425, 429, 502, 503, 504];
const FAULTY = [401, 402, 403, 404, 405, 406, 407, 410, 415, 421, 426, 431, 451];

test('every status of HTTP', () => {
  for (let status = 200; status < 600; status++) {
    const rest =
      status >= 400 && status < 500 && !FAULTY.includes(status) && !PASSING.includes(status);
    const other = status === 413 ? 'too_large' : rest ? 'refused' : 'retry';
    assert.equal(http(status).kind, status < 300 ? 'delivered' : other, `${status}`);
    const outcome = http(status);
    // What an operator can mend is told from an outage, which passes by itself.
    if (outcome.kind === 'retry')
      assert.equal(outcome.fault === undefined, PASSING.includes(status), `${status}`);
  }
});

test('what an operator can mend waits, and says by which key', () => {
  const cases: readonly (readonly [Outcome, FaultCode, RegExp])[] = [
    [
      http(401, undefined, '{"code":"unauthenticated","message":"no org id"}'),
      'tenant',
      /\{headers\}/,
    ],
    [http(401), 'unauthenticated', /\{headers\}/],
    [http(400, undefined, 'no org id'), 'tenant', /X-Scope-OrgID/],
    [http(403), 'forbidden', /\{headers\}/],
    [http(404, undefined, '404 page not found'), 'not_found', /\{endpoint\}/],
    [http(404, undefined, "tenant 'x' not found"), 'tenant', /X-Scope-OrgID/],
    [http(405), 'not_found', /\{endpoint\}/],
    [http(407), 'proxy', /HTTPS_PROXY/],
    [http(415), 'unsupported', /\{compression\}/],
    [http(400, undefined, 'unsupported Content-Encoding'), 'unsupported', /\{compression\}/],
    [
      http(400, undefined, 'Client sent an HTTP request to an HTTPS server.'),
      'wrong_protocol',
      /https:\/\/ in \{endpoint\}/,
    ],
    [http(500), 'server_error', /log/],
    [grpc(16, 'Received HTTP status code 401'), 'unauthenticated', /X-Scope-OrgID/],
    [grpc(7), 'forbidden', /\{headers\}/],
    [grpc(5), 'not_found', /\{endpoint\}/],
    [grpc(12, 'unknown service'), 'not_found', /\{endpoint\}/],
    [grpc(3, 'invalid or unsupported otlp-profiles-development-version'), 'unsupported', /update/],
    [grpc(2), 'server_error', /log/],
  ];
  for (const [outcome, code, mend] of cases) {
    assert.equal(outcome.kind, 'retry', JSON.stringify(outcome));
    if (outcome.kind !== 'retry') continue;
    assert.equal(outcome.fault, code, JSON.stringify(outcome));
    assert.match(outcome.mend ?? '', mend);
  }
});

test('requests that can never be taken are not kept', () => {
  for (const outcome of [
    http(400, undefined, 'Failed to parse protobuf request'),
    http(400, undefined, 'profile is outside of ingestion window'),
    http(400, undefined, 'max label names per series exceeded (per-tenant limit)'),
    http(422),
    grpc(3, 'Permanent error: bad profile'),
    grpc(13, 'grpc: error unmarshalling request: proto: wrong wire type'),
  ])
    assert.equal(outcome.kind, 'refused', JSON.stringify(outcome));
});

test('a web site that answers 200 to everything has taken nothing', () => {
  const body = Buffer.from('<!doctype html>');
  const answer = {
    status: 200,
    retryAfter: undefined,
    contentType: 'text/html; charset=utf-8',
    body,
  };
  const outcome = httpOutcome(answer, 1, now, KEYS);
  assert.ok(outcome.kind === 'retry' && outcome.fault === 'not_found', JSON.stringify(outcome));
});

test('every code of gRPC, with and without a RetryInfo', () => {
  const retryable = [1, 4, 10, 11, 14, 15];
  for (let code = 1; code <= 16; code++) {
    const outcome = grpc(code);
    assert.equal(outcome.kind, [3, 6].includes(code) ? 'refused' : 'retry', `${code}`);
    if (outcome.kind === 'retry')
      assert.equal(outcome.fault === undefined, retryable.includes(code), `${code}`);
    const withInfo = grpc(code, '', 1500);
    const passes = retryable.includes(code) || code === 8;
    assert.equal(withInfo.kind, passes ? 'retry' : grpc(code).kind, `${code} with RetryInfo`);
    if (passes) assert.deepEqual(withInfo.kind === 'retry' && withInfo.afterMs, 1500);
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
  const { message } = http(422, undefined, `a\n\x1b[31mb${'c'.repeat(1000)} limit 30`) as {
    message: string;
  };
  assert.match(message, /^HTTP 422 a \[31mbc+ … c+ limit 30$/);
  assert.ok(message.length < 320);
});

test("grpc-js's empty note is left out", () => {
  const said = (message: string) => connectionError({ code: 14, message, retryDelayMs: undefined });
  assert.equal(said('No connection established. Resolution note: '), 'No connection established.');
  const refused =
    'No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:4317 (2026-11-30T17:54:16.040Z).';
  assert.equal(said(`${refused} Resolution note: `), 'connect ECONNREFUSED 127.0.0.1:4317');
  assert.equal(said('data refused due to high memory usage'), undefined, "the peer's own words");
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
      assert.equal(httpOutcome(answer, 1, now, KEYS).kind, 'retry');
    }),
    fuzz,
  );
});
