import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseThreadRecord } from './thread-record.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';

function record(options: { trace?: string; span?: string; valid?: number; size?: number } = {}) {
  const { trace = TRACE, span = SPAN, valid = 1, size } = options;
  const attributes = [0, 3, ...Buffer.from('GET'), 2, 1, 0x37, 0, 4, ...Buffer.from('POST')];
  const length = size ?? attributes.length;
  return Uint8Array.from([
    ...Buffer.from(trace, 'hex'),
    ...Buffer.from(span, 'hex'),
    valid,
    1,
    length & 0xff,
    length >> 8,
    ...attributes,
  ]);
}

test('a thread record has its ids in hex and its attributes by number, the last of several', () => {
  assert.deepEqual(parseThreadRecord(record()), {
    traceId: TRACE,
    spanId: SPAN,
    attributes: new Map([
      [0, 'POST'],
      [2, '7'],
    ]),
  });
});

test('only the value 1 makes a record valid', () => {
  for (const valid of [0, 2, 0xff]) assert.equal(parseThreadRecord(record({ valid })), undefined);
});

test('half of a pair of ids is none; none at all is a record without', () => {
  assert.equal(parseThreadRecord(record({ span: '0'.repeat(16) })), undefined);
  assert.equal(parseThreadRecord(record({ trace: '0'.repeat(32) })), undefined);
  const without = parseThreadRecord(record({ trace: '0'.repeat(32), span: '0'.repeat(16) }));
  assert.deepEqual([without?.traceId, without?.spanId], ['', '']);
});

test('attributes end before an entry that is cut, and a size beyond the bytes is a lie', () => {
  assert.deepEqual(parseThreadRecord(record({ size: 6 }))?.attributes, new Map([[0, 'GET']]));
  assert.equal(parseThreadRecord(record({ size: 600 })), undefined);
  assert.equal(parseThreadRecord(record().subarray(0, 27)), undefined);
});

test('any bytes are a record or none, never an error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 700 }), (bytes) => {
      if (bytes.length > 24) bytes[24] = 1;
      const parsed = parseThreadRecord(bytes);
      for (const value of parsed?.attributes.values() ?? []) assert.ok(value.isWellFormed());
    }),
    { seed: 6, numRuns: 2000 },
  );
});
