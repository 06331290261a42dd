import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outcomeOfPush } from './connect-outcome.ts';
import { retryAfterMs } from './retry-after.ts';
import type { Outcome } from './transport.ts';

const NOW = Date.parse('2026-11-21T12:00:00Z');

function outcome(
  status: number,
  body: unknown = '',
  headers = {},
  series = 1,
  bytes = 1000,
): Outcome {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return outcomeOfPush({ status, headers, body: Buffer.from(text) }, { series, bytes }, NOW);
}

const kind = (...args: Parameters<typeof outcome>): string => outcome(...args).kind;

test('200 is delivered', () => {
  assert.deepEqual(outcome(200), { kind: 'delivered', rejected: 0, message: '' });
});

test('a rate limit is worth another attempt, when the peer says', () => {
  const error = {
    code: 'resource_exhausted',
    message: 'push rate limit (4.0 MiB) exceeded while adding 2.5 MiB',
  };
  const reason = `resource_exhausted: ${error.message}`;
  assert.deepEqual(outcome(429, error), { kind: 'retry', reason });
  assert.deepEqual(outcome(429, error, { 'retry-after': '7' }), {
    kind: 'retry',
    reason,
    afterMs: 7000,
  });
  assert.equal(retryAfterMs('Sat, 21 Nov 2026 12:00:30 GMT', NOW), 30_000);
  assert.equal(retryAfterMs('Sat, 21 Nov 2026 11:00:30 GMT', NOW), 0);
  assert.equal(retryAfterMs('soon', NOW), undefined);
});

test('a large request that a rate limit refuses is divided: it may be more than the burst', () => {
  const message = 'push rate limit (4.0 MiB) exceeded while adding 76 KiB';
  const error = { code: 'resource_exhausted', message };
  assert.equal(kind(429, error, {}, 1, 262_144), 'retry');
  assert.deepEqual(outcome(429, error, {}, 1, 262_145), { kind: 'too_large', message });
  assert.equal(kind(429, 'slow down', {}, 1, 1_000_000), 'retry');
});

test('limits on sizes ask for smaller requests, whatever their code', () => {
  const sizes: [number, string, string][] = [
    [429, 'resource_exhausted', 'message size 300000000 is larger than configured max 268435456'],
    [400, 'invalid_argument', 'uncompressed profile payload size exceeds limit of 4.2 MB'],
    [400, 'invalid_argument', 'uncompressed batched profile payload size exceeds limit of 268 MB'],
    [
      400,
      'invalid_argument',
      "the profile with labels '{}' exceeds the samples count limit (max_profile_stacktrace_samples, actual: 16001, limit: 16000)",
    ],
    [
      400,
      'invalid_argument',
      "the profile with labels '{}' exceeds the size limit (max_profile_size_byte, actual: 9, limit: 8)",
    ],
  ];
  for (const [status, code, message] of sizes)
    assert.deepEqual(outcome(status, { code, message }), { kind: 'too_large', message });
  assert.equal(kind(413, '<html>Request Entity Too Large</html>'), 'too_large');
});

test('errors that pass are worth another attempt, also those that Pyroscope calls unknown', () => {
  for (const code of ['aborted', 'canceled', 'deadline_exceeded', 'unavailable'])
    assert.equal(kind(500, { code, message: 'x' }), 'retry', code);
  const message = 'rpc error: code = Unavailable desc = service is unavailable';
  assert.equal(kind(500, { code: 'unknown', message }), 'retry');
  for (const status of [408, 429, 502, 503, 504]) assert.equal(kind(status, 'oops'), 'retry');
});

test('all other refusals are for good', () => {
  const codes = ['invalid_argument', 'unauthenticated', 'permission_denied', 'unimplemented'];
  for (const code of [...codes, 'unknown', 'internal', 'not_found', 'data_loss']) {
    const refused = outcome(500, { code, message: 'why' });
    assert.deepEqual(refused, { kind: 'refused', reason: code, message: 'why' });
  }
  assert.deepEqual(outcome(404, '404 page not found\n'), {
    kind: 'refused',
    reason: 'unimplemented',
    message: '404 page not found',
  });
  assert.deepEqual(outcome(302), {
    kind: 'refused',
    reason: 'http_302',
    message: 'HTTP status 302',
  });
});

test('one bad series does not take the others with it: the request is divided', () => {
  const error = { code: 'invalid_argument', message: "has duplicate label name: 'a'" };
  assert.equal(kind(400, error, {}, 2), 'too_large');
  assert.equal(kind(400, error, {}, 1), 'refused');
  const outdated = { code: 'invalid_argument', message: 'profile is outside of ingestion window' };
  assert.equal(kind(400, outdated, {}, 2), 'refused');
});

test('answers that are no errors of the protocol say something short', () => {
  for (const body of ['{', '{}', '{"code":7}', '{"code":"<b>"}', 'null', '\xff'.repeat(9999)]) {
    const answer = outcome(400, body);
    assert.ok(answer.kind === 'refused' && answer.reason === 'invalid_argument');
    assert.ok(answer.message.length > 0 && answer.message.length <= 500);
  }
});
