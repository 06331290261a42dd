import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ParseError } from '../elf/source.ts';
import { headerOf, payloadOf } from './payload.test-support.ts';
import {
  attributeKeyMap,
  type ContextValue,
  MAX_PAYLOAD_BYTES,
  parseContextHeader,
  parseProcessContext,
  threadContextSchema,
} from './process-context.ts';

test('a header: when it was published, and where the payload is', () => {
  const publishedAt = 2n ** 60n + 1n;
  const header = headerOf({ publishedAt, payload: 0x7fff_ffff_f000n, size: MAX_PAYLOAD_BYTES });
  assert.deepEqual(parseContextHeader(header), {
    publishedAt,
    payload: 0x7fff_ffff_f000,
    size: MAX_PAYLOAD_BYTES,
  });
});

const refused: [string, Uint8Array][] = [
  ['changing', headerOf({ publishedAt: 0n })],
  ['changing', Buffer.alloc(32)],
  ['signature', headerOf({ signature: 'OTEL_CTY' })],
  ['signature', headerOf({}).subarray(0, 31)],
  ['version', headerOf({ version: 1 })],
  ['version', headerOf({ version: 3 })],
  ['too_large', headerOf({ size: MAX_PAYLOAD_BYTES + 1 })],
  ['too_large', headerOf({ size: 0xffff_ffff })],
  ['pointer', headerOf({ payload: 2n ** 64n - 1n })],
];
for (const [reason, bytes] of refused)
  test(`a header that is refused as ${reason}`, () => {
    assert.throws(() => parseContextHeader(bytes), { name: 'ParseError', reason });
  });

// Typed as they are: other readers need numbers and lists.
test('a payload of every type of value', () => {
  const nested = new Map<string, ContextValue>([
    ['list', ['a', 1, true]],
    ['map', new Map([['deep', 'x']])],
  ]);
  const resource = { 'service.name': 'shop', 'process.pid': 42, 'on.call': false };
  const attributes = {
    negative: -1,
    wide: 2n ** 62n,
    least: -(2n ** 63n),
    fraction: 0.25,
    bytes: Uint8Array.of(0, 255),
    text: 'größer 🔥',
    empty: '',
    nested,
  };
  const context = parseProcessContext(payloadOf(resource, attributes));
  assert.deepEqual(Object.fromEntries(context.resource), resource);
  assert.deepEqual(Object.fromEntries(context.attributes), attributes);
});

test('what threads carry: the schema and the names of attributes by their index', () => {
  const keys = Array.from({ length: 300 }, (_, i) => `key${i}`);
  const context = parseProcessContext(
    payloadOf(
      {},
      {
        'threadlocal.schema_version': 'tlsdesc_v1_dev',
        'threadlocal.attribute_key_map': [keys[0]!, 7, ...keys.slice(2)],
      },
    ),
  );
  assert.equal(threadContextSchema(context), 'tlsdesc_v1_dev');
  assert.deepEqual(attributeKeyMap(context).slice(0, 3), ['key0', '', 'key2']);
  assert.equal(attributeKeyMap(context).length, 256);
  const none = parseProcessContext(
    payloadOf({}, { 'threadlocal.schema_version': 1, 'threadlocal.attribute_key_map': 'x' }),
  );
  assert.equal(threadContextSchema(none), '');
  assert.deepEqual(attributeKeyMap(none), []);
});

test('bytes that are no UTF-8 become replacement characters', () => {
  const payload = payloadOf({ 'service.name': 'abc' });
  payload[payload.indexOf('abc') + 1] = 0xff;
  assert.equal(parseProcessContext(payload).resource.get('service.name'), 'a\ufffdc');
});

test('values within values without end are refused', () => {
  let value: ContextValue = 'x';
  for (let i = 0; i < 6; i++) value = [value];
  assert.throws(() => parseProcessContext(payloadOf({}, { value })), { reason: 'too_deep' });
  let map: ContextValue = 'x';
  for (let i = 0; i < 20; i++) map = new Map([['', map]]);
  assert.throws(() => parseProcessContext(payloadOf({}, { map })), { reason: 'too_deep' });
});

test('more values than anybody has are refused', () => {
  const values: ContextValue = Array.from({ length: 5000 }, () => true);
  assert.throws(() => parseProcessContext(payloadOf({}, { values })), {
    reason: 'too_many_values',
  });
});

// A cut, a flipped bit, noise: values of known types or ParseError, nothing else.
test('whatever the bytes are: a context or a reason', () => {
  const whole = payloadOf({ 'service.name': 'shop' }, { list: ['a', 'b'], number: 7 });
  const damaged = fc
    .tuple(fc.nat(whole.length), fc.nat(whole.length - 1), fc.nat(255))
    .map(([end, at, byte]) => {
      const copy = Buffer.from(whole);
      copy[at] = byte;
      return copy.subarray(0, end);
    });
  let refusals = 0;
  fc.assert(
    fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 300 })), (bytes) => {
      try {
        parseProcessContext(bytes);
      } catch (error) {
        assert.ok(error instanceof ParseError, String(error));
        refusals++;
      }
      try {
        parseContextHeader(bytes);
      } catch (error) {
        assert.ok(error instanceof ParseError, String(error));
      }
    }),
    { numRuns: 3000, seed: 4719 },
  );
  assert.ok(refusals > 1000, `${refusals} refusals`);
});
