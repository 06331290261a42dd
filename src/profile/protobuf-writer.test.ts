import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { fuzz, hostileText } from './arbitrary-samples.test-support.ts';
import { ProtobufWriter } from './protobuf-writer.ts';

/** What protobufjs reads after one tag. */
function readBack<T>(
  write: (writer: ProtobufWriter) => void,
  read: (reader: protobuf.Reader) => T,
) {
  const writer = new ProtobufWriter(1);
  write(writer);
  const { message } = writer.finish();
  const reader = protobuf.Reader.create(message);
  const tag = reader.uint32();
  const value = read(reader);
  assert.equal(reader.pos, message.length, 'nothing follows');
  return { field: tag >>> 3, wire: tag & 7, value };
}

test('numbers of up to 53 bits', () => {
  const values = fc.oneof(
    fc.maxSafeNat(),
    fc.nat(),
    fc.constantFrom(1, 127, 128, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 35, 2 ** 53 - 1),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 15 }), values, (field, value) => {
      const back = readBack(
        (writer) => writer.member(field, value),
        (reader) => BigInt(reader.uint64().toString()),
      );
      assert.deepEqual(back, { field, wire: 0, value: BigInt(value) });
      const one = readBack(
        (writer) => writer.packedOne(field, value),
        (reader) => [reader.uint32(), BigInt(reader.uint64().toString())],
      );
      assert.deepEqual([one.wire, one.value[1]], [2, BigInt(value)]);
    }),
    fuzz,
  );
});

test('halves of 64 bits, and fixed ones', () => {
  const words = fc.oneof(fc.nat(0xffff_ffff), fc.constantFrom(0, 1, 7, 8, 15, 16, 0xffff_ffff));
  fc.assert(
    fc.property(words, words, (high, low) => {
      const value = (BigInt(high) << 32n) | BigInt(low);
      const asText = (reader: protobuf.Reader) => BigInt(reader.uint64().toString());
      if (value > 0n) {
        const back = readBack((writer) => writer.wide(2, high, low), asText);
        assert.equal(back.value, value);
      }
      const fixed = readBack(
        (writer) => writer.fixed64(3, value),
        (reader) => BigInt(reader.fixed64().toString()),
      );
      assert.deepEqual(fixed, { field: 3, wire: 1, value });
    }),
    fuzz,
  );
});

test('texts of any length and kind', () => {
  const texts = fc.oneof(
    hostileText,
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.constantFrom('a'.repeat(31), 'ü'.repeat(63), 'a'.repeat(127), 'a'.repeat(128), '\ud800'),
    fc.constant('💥'.repeat(5000)),
  );
  fc.assert(
    fc.property(texts, (text) => {
      const back = readBack(
        (writer) => writer.text(5, text),
        (reader) => reader.string(),
      );
      assert.deepEqual(back, { field: 5, wire: 2, value: text.toWellFormed() });
    }),
    fuzz,
  );
});

test('zeros and empty lists are left out', () => {
  const writer = new ProtobufWriter(1);
  writer.count(1, 0);
  writer.wide(1, 0, 0);
  writer.packed(1, []);
  writer.packedBy(1, new Uint32Array(), new Uint32Array());
  assert.equal(writer.length, 0);
});

test('messages in messages, and marks that move with them', () => {
  const sizes = fc.array(fc.constantFrom(0, 1, 100, 126, 127, 128, 20_000), { maxLength: 6 });
  fc.assert(
    fc.property(sizes, (contents) => {
      const writer = new ProtobufWriter(1);
      const opened = contents.map((size) => {
        const place = writer.open(1);
        writer.bytes(2, new Uint8Array(size).fill(0xaa));
        writer.bytes(3, Uint8Array.of(7));
        writer.mark();
        return place;
      });
      for (const place of opened.reverse()) writer.close(place);
      const { message, marks } = writer.finish();
      assert.deepEqual(
        marks.map((mark) => message[mark - 1]),
        contents.map(() => 7),
      );
      const reader = protobuf.Reader.create(message);
      let rest = message.length;
      for (const size of contents) {
        assert.equal(reader.uint32(), (1 << 3) | 2);
        assert.equal(reader.uint32(), rest - reader.pos);
        assert.equal(reader.uint32(), (2 << 3) | 2);
        assert.equal(reader.bytes().length, size);
        assert.equal(reader.uint32(), (3 << 3) | 2);
        assert.equal(reader.bytes().length, 1);
        rest = message.length;
      }
      assert.equal(reader.pos, message.length);
    }),
    fuzz,
  );
});

test('lengths of deep messages find room, however tight the buffer is', () => {
  for (let expected = 64; expected < 1200; expected++) {
    const writer = new ProtobufWriter(expected);
    const opened = Array.from({ length: 60 }, () => writer.open(1));
    writer.bytes(2, new Uint8Array(200).fill(7));
    for (const place of opened.reverse()) writer.close(place);
    const { message } = writer.finish();
    const reader = protobuf.Reader.create(message);
    for (let depth = 0; depth < 60; depth++) {
      assert.equal(reader.uint32(), (1 << 3) | 2);
      assert.equal(reader.uint32(), message.length - reader.pos);
    }
    assert.equal(reader.uint32(), (2 << 3) | 2);
    assert.deepEqual(Buffer.from(reader.bytes()), Buffer.alloc(200, 7));
  }
});
