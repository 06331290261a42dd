/** Ids of requests as Links, or as attributes where there is only one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildProfile, plainSample } from './fixture.test-support.ts';
import { attributesOf, decode, samplesOf } from './otlp-decoded.test-support.ts';

test('a request is one link; one id alone, or of another form, is an attribute of its name', () => {
  const built = buildProfile([1, 2, 3, 4, 5].map((at) => ({ ...plainSample, user: [at] })));
  const samples = { ...built.samples, labels: Uint32Array.of(1, 2, 3, 4, 5) };
  const labelSets = [
    [],
    [
      { key: 'trace_id', value: 'no hex' },
      { key: 'span_id', value: '0'.repeat(16) },
    ],
    [{ key: 'trace_id', value: 'f'.repeat(32) }],
    [{ key: 'span_id', value: 'f'.repeat(16) }],
    [
      { key: 'trace_id', value: 'f'.repeat(32) },
      { key: 'span_id', value: 'f'.repeat(16) },
    ],
    [
      { key: 'endpoint', value: '/cart' },
      { key: 'span_id', value: 'f'.repeat(16) },
      { key: 'trace_id', value: 'f'.repeat(32) },
    ],
  ];
  const request = decode({ ...built, samples, labelSets });
  const [first, second, third, fourth, fifth] = samplesOf(request);
  assert.equal(first!.link_index, 0);
  assert.deepEqual(
    [...attributesOf(request.dictionary!, first!.attribute_indices)],
    [
      ['trace_id', 'no hex'],
      ['span_id', '0'.repeat(16)],
    ],
  );
  for (const [sample, key, length] of [
    [second, 'trace_id', 32],
    [third, 'span_id', 16],
  ] as const) {
    assert.equal(sample!.link_index, 0);
    assert.deepEqual(
      [...attributesOf(request.dictionary!, sample!.attribute_indices)],
      [[key, 'f'.repeat(length)]],
    );
  }
  assert.equal(request.dictionary!.link_table.length, 2);
  assert.deepEqual([fourth!.link_index, fifth!.link_index], [1, 1]);
  assert.deepEqual(fourth!.attribute_indices, []);
  assert.deepEqual(
    [...attributesOf(request.dictionary!, fifth!.attribute_indices)],
    [['endpoint', '/cart']],
  );
  const link = request.dictionary!.link_table[1]!;
  assert.equal(Buffer.from(link.trace_id).toString('hex'), 'f'.repeat(32));
  assert.equal(Buffer.from(link.span_id).toString('hex'), 'f'.repeat(16));
});
