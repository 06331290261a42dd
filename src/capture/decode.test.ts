import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Aggregator } from '../profile/aggregator.ts';
import { decode } from './decode.ts';
import { DEFERRED_SHIFT, Header, RecordType, Sample } from './record.ts';
import { drained, eventRecord, exactPc, sampleRecord } from './testing.ts';

const aggregator = () => new Aggregator({ maxBytes: 4 << 20 });
const options = { threads: false };

const stack = new Uint8Array(64).fill(9);

test('finished samples are counted, all else moves to the front in its order', () => {
  const sample = sampleRecord({ kernel: [0x1000], user: [exactPc(0x400000), 0x400100], layout: 3 });
  const deferred = sampleRecord({ stack, kernel: [0x2000] });
  const fork = eventRecord(RecordType.Fork, 8);
  const exit = eventRecord(RecordType.Exit, 8);
  const { buffer, length } = drained(sample, fork, sample, deferred, sample, exit, sample);
  const into = aggregator();
  const decoded = decode(buffer, length, into, options);
  const expected = Buffer.concat([fork, deferred, exit]);
  assert.deepEqual(decoded, {
    samples: 4,
    events: 2,
    forwarded: expected.length,
    malformed: 0,
  });
  assert.deepEqual(Buffer.from(buffer, 0, decoded.forwarded), expected);
  const { rows, count, stacks, layout, instances, comms } = into.drain();
  assert.deepEqual([rows, count[0], layout[0], stacks.kernelCount[0]], [1, 4, 3, 1]);
  assert.deepEqual([instances[0]!.pid, instances[0]!.startNs], [7, 5_000_000_000n]);
  assert.equal(comms[instances[0]!.comm], 'program');
  assert.deepEqual([...stacks.words], [0x1000, 0xfff0_0000, 0x400000, 0x8000_0000, 0x400100, 0]);
});

test('why a sample was deferred is counted, and not part of what it is', () => {
  const plain = sampleRecord({ user: [1] });
  const why = sampleRecord({ user: [1], flags: (9 + 1) << DEFERRED_SHIFT });
  const { buffer, length } = drained(plain, why, why);
  const into = aggregator();
  decode(buffer, length, into, options);
  const { rows, count, deferred } = into.drain();
  assert.deepEqual([rows, count[0]], [1, 3]);
  assert.deepEqual([...deferred], [[9, 2]]);
});

test('a deferred sample for which there is no room counts with what it has', () => {
  const stack = new Uint8Array(4096);
  const deferred = sampleRecord({ stack, kernel: [0x2000], user: [0x3000], end: 9 });
  const { buffer, length } = drained(deferred, deferred, deferred);
  const into = aggregator();
  let room = 1;
  const admits = (pid: number, bytes: number): boolean => {
    assert.deepEqual([pid, bytes], [7, deferred.length]);
    return room-- > 0;
  };
  const { samples, forwarded } = decode(buffer, length, into, { ...options, admits });
  assert.deepEqual([samples, forwarded], [2, deferred.length]);
  const { rows, count, end, deferred: why } = into.drain();
  assert.deepEqual([rows, count[0], end[0], why.size], [1, 2, 9, 0]);
});

test('a record that lies about its length or its addresses ends the buffer, what came before counts', () => {
  const good = sampleRecord({ user: [1, 2, 3] });
  const lies: [number, number, 16 | 32][] = [
    [Header.length, 0, 32],
    [Header.length, Header.size - 1, 32],
    [Header.length, Sample.size - 1, 32],
    [Header.length, 0xffff_ffff, 32],
    [Header.length, 0x7fff_ffff, 32],
    [Header.length, good.length + 1, 32],
    [Sample.userCount, 4, 16],
    [Sample.kernelCount, 0xffff, 16],
  ];
  for (const [at, value, bits] of lies) {
    const bad = good.slice();
    const view = new DataView(bad.buffer);
    if (bits === 16) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    const { buffer, length } = drained(good, eventRecord(RecordType.Exit, 8), bad);
    const into = aggregator();
    const decoded = decode(buffer, length, into, options);
    assert.deepEqual(
      decoded,
      { samples: 1, events: 1, forwarded: 64, malformed: 1 },
      `${at} = ${value}`,
    );
    assert.equal(into.drain().samples, 1);
  }
});

test('cut off anywhere: whole records count', () => {
  const good = sampleRecord({ user: [1, 2] });
  const { buffer, length } = drained(good, good);
  for (let cut = 0; cut < length; cut++) {
    // Exactly so long a buffer, too: nothing behind it is read.
    const exact = buffer.slice(0, Math.ceil(cut / 8) * 8);
    const decoded = decode(exact, cut, aggregator(), options);
    assert.equal(decoded.samples, cut >= good.length ? 1 : 0);
    assert.equal(decoded.malformed, cut === 0 || cut === good.length ? 0 : 1, `cut at ${cut}`);
  }
});

test('any damage is survived, and what is forwarded stays inside the buffer', () => {
  const records = [
    sampleRecord({ user: [1, 2], kernel: [3] }),
    eventRecord(RecordType.Exec, 8),
    sampleRecord({ stack }),
    sampleRecord({ user: [4] }),
    eventRecord(RecordType.Fork, 9),
  ];
  const { length } = drained(...records);
  const change = fc.tuple(fc.nat(length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
      const { buffer } = drained(...records);
      const bytes = new Uint8Array(buffer);
      for (const [at, value] of changes) bytes[at] = value;
      const into = aggregator();
      const { samples, forwarded, malformed } = decode(buffer, length, into, options);
      assert.ok(forwarded <= length && forwarded % 8 === 0);
      assert.ok(malformed === 0 || malformed === 1);
      const drainedCounts = into.drain();
      const lost = Object.values(drainedCounts.lost).reduce((sum, count) => sum + count, 0);
      assert.equal(drainedCounts.samples + lost, samples);
    }),
    { seed: 19, numRuns: 2000 },
  );
});
