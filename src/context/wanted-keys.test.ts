import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalValue, DEFAULT_LABELS, wantedKeys } from './wanted-keys.ts';

test('both ids are looked for by every name that libraries give them', () => {
  const keys = wantedKeys(DEFAULT_LABELS).map(({ key, label }) => `${label}: ${key}`);
  assert.ok(keys.includes('trace_id: otel_traceid'));
  assert.ok(keys.includes('span_id: span id'));
  assert.ok(keys.indexOf('span_id: span_id') < keys.indexOf('span_id: profile_id'));
});

test('labels that we make ourselves are not looked for; others are, once', () => {
  const keys = wantedKeys(['goroutine', 'thread', 'tenant', 'tenant', 'http.route']);
  assert.deepEqual(
    keys.map(({ key }) => key),
    ['tenant', 'http.route'],
  );
});

test('a key that cannot be read is an error that says what can', () => {
  assert.throws(() => wantedKeys(['x'.repeat(33)]), /1 to 32 bytes/);
  assert.throws(() => wantedKeys(['']), /1 to 32 bytes/);
  assert.throws(() => wantedKeys(Array.from({ length: 65 }, (_, i) => `k${i}`)), /at most 64/);
});

test('ids become lower-case hex; what is no id is nothing', () => {
  assert.equal(canonicalValue('B7AD6B7169203331', 'hex16'), 'b7ad6b7169203331');
  assert.equal(canonicalValue('13235353014750950193', 'decimal64'), 'b7ad6b7169203331');
  assert.equal(canonicalValue('1', 'decimal64'), '0000000000000001');
  for (const value of ['', '0', '-1', '18446744073709551616', '1e3', 'b7ad6b7169203331']) {
    assert.equal(canonicalValue(value, 'decimal64'), undefined, value);
  }
  for (const value of ['', '0000000000000000', 'b7ad6b716920333', 'b7ad6b716920333g']) {
    assert.equal(canonicalValue(value, 'hex16'), undefined, value);
  }
  assert.equal(canonicalValue('GET /a', 'text'), 'GET /a');
});
