import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outcomeOfPush } from './connect-outcome.ts';
import type { FaultCode, FaultKeys } from './fault.ts';
import { retryAfterMs } from './retry-after.ts';
import type { Outcome } from './transport.ts';

const KEYS: FaultKeys = {
  address: '{url}',
  credentials: '{basic_auth}, {bearer_token_file} or {headers}',
  tenant: '{tenant}',
  encoding: '',
};
const NOW = Date.parse('2026-11-21T12:00:00Z');

function outcome(
  status: number,
  body: unknown = '',
  headers = {},
  series = 1,
  bytes = 1000,
): Outcome {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return outcomeOfPush({ status, headers, body: Buffer.from(text) }, { series, bytes }, NOW, KEYS);
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

test('requests that can never be taken are refused', () => {
  for (const code of ['invalid_argument', 'already_exists', 'out_of_range']) {
    const refused = outcome(400, { code, message: 'why' });
    assert.deepEqual(refused, { kind: 'refused', reason: code, message: 'why' });
  }
  for (const status of [400, 409, 411, 417, 422])
    assert.equal(kind(status), 'refused', `${status}`);
});

test('what an operator can mend waits, and says by which key', () => {
  const coded = (code: string, status = 500, message = 'why') => outcome(status, { code, message });
  const cases: readonly (readonly [Outcome, FaultCode, RegExp])[] = [
    [coded('unauthenticated', 401, 'no org id'), 'tenant', /\{tenant\}/],
    [coded('unauthenticated', 401), 'unauthenticated', /\{basic_auth\}/],
    [coded('permission_denied', 403), 'forbidden', /\{bearer_token_file\}/],
    [coded('not_found', 404), 'not_found', /\{url\}/],
    [coded('unimplemented', 404), 'not_found', /\{url\}/],
    [outcome(404, '404 page not found\n'), 'not_found', /\{url\}/],
    [outcome(405), 'not_found', /\{url\}/],
    [
      outcome(302, '', { location: 'https://other/' }),
      'redirected',
      /set \{url\} to https:\/\/other\//,
    ],
    [outcome(407), 'proxy', /HTTPS_PROXY/],
    [coded('internal'), 'server_error', /log/],
    [coded('unknown'), 'server_error', /log/],
    [outcome(200, '<html>', { 'content-type': 'text/html' }), 'not_found', /\{url\}/],
  ];
  for (const [found, code, mend] of cases) {
    assert.ok(found.kind === 'retry' && found.fault === code, JSON.stringify(found));
    assert.match(found.mend ?? '', mend);
  }
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
