import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addressOf,
  detailsAddress,
  flameAddress,
  NOTHING,
  pprofAddress,
  selectionOf,
} from './selection.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const spanId = '00f067aa0ba902b7';

test('an address says which request is shown, and is read as it was written', () => {
  for (const selection of [
    NOTHING,
    { traceId, spanId: '', service: '' },
    { traceId, spanId, service: 'a&b=c #' },
    { traceId: '', spanId, service: '' },
  ]) {
    assert.deepEqual(selectionOf(addressOf(selection)), selection);
  }
});

test('addresses that a tracing UI makes are understood; what is no id is not', () => {
  assert.deepEqual(selectionOf(`?trace_id=${traceId.toUpperCase()}`)?.traceId, traceId);
  const parent = selectionOf(`?trace_id=00-${traceId}-${spanId}-01`);
  assert.deepEqual(parent, { traceId, spanId, service: '' });
  for (const wrong of [
    '?trace_id=x',
    `?trace_id=${'0'.repeat(32)}`,
    `?trace_id=${traceId}&span_id=1`,
  ]) {
    assert.equal(selectionOf(wrong), undefined, wrong);
  }
  assert.deepEqual(selectionOf('?service=a&x=1'), NOTHING);
});

test('a request is asked for over all that is kept, all samples over the chosen time', () => {
  const selection = { traceId, spanId, service: '' };
  assert.equal(flameAddress(NOTHING, 60), 'api/flame?seconds=60');
  assert.equal(flameAddress(NOTHING, 0), 'api/flame?');
  assert.equal(flameAddress(selection, 60), `api/flame?trace_id=${traceId}&span_id=${spanId}`);
  assert.equal(detailsAddress(NOTHING, 60), 'api/traces?seconds=60');
  assert.equal(detailsAddress(selection, 60), `api/traces/${traceId}`);
  assert.equal(detailsAddress({ ...NOTHING, spanId }, 60), `api/spans/${spanId}`);
  assert.equal(pprofAddress(selection), `api/profile.pprof?trace_id=${traceId}&span_id=${spanId}`);
});
