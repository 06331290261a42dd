import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSpanId, isTraceId, pastedRequest, requestOf } from './request-id.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

test('ids as people paste them are the ids that samples have', () => {
  const pasted: [string, string, string][] = [
    [TRACE, TRACE, ''],
    [` ${TRACE.toUpperCase()}\n`, TRACE, ''],
    ['4BF92F35-77B3-4DA6-A3CE-929D0E0E4736', TRACE, ''],
    [`0x${TRACE}`, TRACE, ''],
    [SPAN, '', SPAN],
    [`0X${SPAN.toUpperCase()}`, '', SPAN],
    [`00-${TRACE}-${SPAN}-01`, TRACE, SPAN],
  ];
  for (const [text, traceId, spanId] of pasted) {
    assert.deepEqual(pastedRequest(text), { traceId, spanId }, text);
  }
});

test('what is no id is none: zeros, other lengths, other characters, words of hex digits', () => {
  for (const text of [
    '',
    'main',
    'deadbeef',
    'facade',
    '0'.repeat(32),
    '0'.repeat(16),
    TRACE.slice(1),
    `${TRACE}0`,
    `${TRACE.slice(1)}g`,
    `4bf92f35-77b34da6a3ce929d0e0e4736`,
    `00-${'0'.repeat(32)}-${SPAN}-01`,
    `/${TRACE}/`,
  ]) {
    assert.equal(pastedRequest(text), undefined, text);
  }
  assert.equal(isTraceId(TRACE.toUpperCase()), false);
  assert.equal(isSpanId(`${SPAN}\n`), false);
});

test('of labels, what is no id does not count, and the last id does', () => {
  const label = (key: string, value: string) => ({ key, value });
  assert.deepEqual(requestOf([]), { traceId: '', spanId: '' });
  assert.deepEqual(
    requestOf([
      label('trace_id', 'f'.repeat(32)),
      label('trace_id', TRACE),
      label('trace_id', 'no hex'),
      label('span_id', '0'.repeat(16)),
      label('endpoint', SPAN),
    ]),
    { traceId: TRACE, spanId: '' },
  );
});
