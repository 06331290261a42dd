import assert from 'node:assert/strict';
import { test } from 'node:test';
import v8 from 'node:v8';
import vm from 'node:vm';
import fc from 'fast-check';
import { type Aggregated, Aggregator } from './aggregator.ts';
import { fuzz, rawSamples } from './arbitrary-samples.test-support.ts';
import {
  addSample,
  aggregate,
  commOf,
  plainSample,
  type RawSample,
} from './fixture.test-support.ts';

test('every row holds exactly the samples that agree in everything', () => {
  fc.assert(
    fc.property(rawSamples, (samples) => {
      const expected = new Map<string, number>();
      for (const sample of samples) {
        const key = keyOfSample(sample);
        expected.set(key, (expected.get(key) ?? 0) + sample.weight);
      }
      const aggregated = aggregate(samples);
      const actual = new Map<string, number>();
      for (let row = 0; row < aggregated.rows; row++) {
        const key = keyOfRow(aggregated, row);
        assert.ok(!actual.has(key), 'rows are unique');
        actual.set(key, aggregated.count[row]!);
      }
      assert.deepEqual(actual, expected);
      assert.equal(
        aggregated.samples,
        samples.reduce((sum, sample) => sum + sample.weight, 0),
      );
      assert.deepEqual(aggregated.lost, {});
    }),
    fuzz,
  );
});

test('a pid used again is another process, by start time (all 64 bits) or by exec', () => {
  const aggregated = aggregate([
    plainSample,
    { ...plainSample, startLow: 1001 },
    { ...plainSample, startHigh: 1 },
    { ...plainSample, execId: 2 },
    plainSample,
  ]);
  assert.deepEqual([...aggregated.count], [2, 1, 1, 1]);
  assert.deepEqual([...aggregated.stack], [0, 0, 0, 0]);
  assert.equal(aggregated.instances[2]!.startNs, 2n ** 32n + 1000n);
});

test('the boundary between kernel and user addresses is part of a stack', () => {
  const aggregator = new Aggregator({ maxBytes: 2 ** 20 });
  const words = Uint32Array.from([1, 2, 3, 4]);
  const instance = aggregator.instance(1, 0, 0, 0, aggregator.comm(commOf('x'), 0));
  aggregator.add(instance, 0, 0, 0, 0, words, 0, 1, 1);
  aggregator.add(instance, 0, 0, 0, 0, words, 0, 2, 0);
  assert.deepEqual([...aggregator.drain().stacks.kernelCount], [1, 2]);
});

test('the last comm of an instance is its name', () => {
  const aggregated = aggregate([
    { ...plainSample, comm: 'bash', thread: '' },
    { ...plainSample, comm: 'renamed', thread: '' },
  ]);
  assert.equal(aggregated.rows, 1);
  assert.equal(aggregated.comms[aggregated.instances[0]!.comm], 'renamed');
});

test('a comm that is no UTF-8 becomes valid text', () => {
  const aggregator = new Aggregator({ maxBytes: 2 ** 20 });
  const bytes = new Uint8Array(16).fill(0xff);
  aggregator.comm(new Uint32Array(bytes.buffer), 0);
  assert.equal(aggregator.drain().comms[0], '\ufffd'.repeat(16));
});

test('over the byte limit samples are lost with a reason and known stacks still count', () => {
  const aggregator = new Aggregator({ maxBytes: 200_000 });
  let refused = 0;
  for (let i = 0; i < 5000; i++) {
    if (!addSample(aggregator, { ...plainSample, user: [i, i + 1, i + 2], weight: 2 })) refused++;
    assert.ok(aggregator.bytes <= 200_000);
  }
  assert.ok(refused > 0 && refused < 4900);
  assert.ok(addSample(aggregator, { ...plainSample, user: [0, 1, 2], weight: 2 }));
  const aggregated = aggregator.drain();
  assert.deepEqual(aggregated.lost, { aggregation_full: refused * 2 });
  assert.equal(aggregated.samples, (5001 - refused) * 2);
  assert.equal(
    aggregated.count.reduce((sum, count) => sum + count, 0),
    aggregated.samples,
  );
});

test('any byte limit keeps the sum: counted + lost = given', () => {
  fc.assert(
    fc.property(fc.integer({ min: 110_000, max: 300_000 }), (maxBytes) => {
      const aggregator = new Aggregator({ maxBytes });
      for (let i = 0; i < 3000; i++) {
        addSample(aggregator, {
          ...plainSample,
          pid: i,
          comm: `p${i}`,
          user: Array.from({ length: i % 20 }, (_, depth) => i + depth),
        });
      }
      const { samples, lost, count } = aggregator.drain();
      assert.equal(samples + (lost.aggregation_full ?? 0), 3000);
      assert.equal(
        count.reduce((sum, value) => sum + value, 0),
        samples,
      );
    }),
    { seed: fuzz.seed, numRuns: 20 },
  );
});

test('words that are not all there are a malformed sample, not garbage', () => {
  const aggregator = new Aggregator({ maxBytes: 2 ** 20 });
  assert.equal(aggregator.add(0, 0, 0, 0, 0, new Uint32Array(7), 0, 2, 2, 3), false);
  assert.deepEqual(aggregator.drain().lost, { malformed_sample: 3 });
});

test('deferred samples are counted by why, only when they were counted at all', () => {
  const aggregator = new Aggregator({ maxBytes: 2 ** 20 });
  const words = new Uint32Array(4);
  const instance = aggregator.instance(1, 0, 0, 0, aggregator.comm(commOf('x'), 0));
  aggregator.add(instance, 0, 0, 0, 0, words, 0, 0, 2, 1, 9);
  aggregator.add(instance, 0, 0, 0, 0, words, 0, 0, 2, 2, 9);
  aggregator.add(instance, 0, 0, 0, 0, words, 0, 0, 3, 1, 4);
  assert.deepEqual(aggregator.drain().deferred, new Map([[9, 3]]));
});

test('a drain starts anew', () => {
  const aggregator = new Aggregator({ maxBytes: 2 ** 20 });
  aggregate([plainSample, { ...plainSample, user: [5] }], aggregator);
  const second = aggregate([{ ...plainSample, pid: 7, comm: 'other', thread: 't' }], aggregator);
  assert.equal(second.rows, 1);
  assert.deepEqual([...second.count], [1]);
  assert.deepEqual(second.comms, ['other', 't']);
  assert.deepEqual(
    second.instances.map((instance) => instance.pid),
    [7],
  );
});

test('a repeated sample allocates nothing', () => {
  v8.setFlagsFromString('--expose-gc');
  const gc: () => void = vm.runInNewContext('gc');
  const aggregator = new Aggregator({ maxBytes: 2 ** 20 });
  const comm = commOf('app');
  // Kernel halves above 2^31 are where a careless number becomes a heap object.
  const words = Uint32Array.from({ length: 60 }, (_, i) => 0xffff_ff00 + i);
  const addMany = (count: number): void => {
    for (let i = 0; i < count; i++) {
      const name = aggregator.comm(comm, 0);
      const instance = aggregator.instance(0xffff_fff0, 0xffff_ffff, 0xffff_ffff, 1, name);
      aggregator.add(instance, 0xffff_ffff, 0, name, 0, words, 0, 5, 25);
    }
  };
  addMany(200_000);
  gc();
  const before = v8.getHeapStatistics().used_heap_size;
  addMany(200_000);
  const perSample = (v8.getHeapStatistics().used_heap_size - before) / 200_000;
  assert.ok(perSample < 2, `${perSample} bytes per sample`);
  assert.equal(aggregator.drain().samples, 400_000);
});

function keyOfSample(sample: RawSample): string {
  return JSON.stringify([
    [
      sample.pid,
      String((BigInt(sample.startHigh) << 32n) + BigInt(sample.startLow)),
      sample.execId,
    ],
    sample.layout,
    sample.end,
    sample.thread,
    sample.labels,
    sample.kernel,
    sample.user,
  ]);
}

function keyOfRow(aggregated: Aggregated, row: number): string {
  const instance = aggregated.instances[aggregated.instance[row]!]!;
  const { start, words, kernelCount } = aggregated.stacks;
  const stack = aggregated.stack[row]!;
  const lows: number[] = [];
  for (let at = start[stack]!; at < start[stack + 1]!; at += 2) lows.push(words[at]!);
  return JSON.stringify([
    [instance.pid, String(instance.startNs), instance.execId],
    aggregated.layout[row],
    aggregated.end[row],
    aggregated.comms[aggregated.thread[row]!],
    aggregated.labels[row],
    lows.slice(0, kernelCount[stack]),
    lows.slice(kernelCount[stack]),
  ]);
}
