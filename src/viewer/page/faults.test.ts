import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultText } from './faults.ts';

test('a fault is told with its exporter and what waits', () => {
  const message = 'http://x takes no profiles: HTTP 401; set exporters.0.otlp.headers';
  const faults = [{ exporter: 'otlp', code: 'unauthenticated', message, waiting: 1200 }];
  assert.equal(faultText({ agent: { faults } }), `Exporter otlp: ${message}. 1,200 requests wait.`);
  assert.match(
    faultText({ agent: { faults: [{ ...faults[0], sinceMs: 0 }] } }),
    /^Exporter otlp since /,
  );
});

test('no faults, and what is none', () => {
  for (const status of [
    null,
    {},
    { agent: null },
    { agent: { faults: [] } },
    { agent: { faults: [null, {}, 7] } },
  ])
    assert.equal(faultText(status), '');
});
