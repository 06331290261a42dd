import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GO_STATES, type GoState } from '../capture/record.ts';
import { collectAddresses } from './address-collection.ts';
import { type Aggregated, Aggregator } from './aggregator.ts';
import { ProfileBuilder } from './builder.ts';
import { commOf, fixtureFacts } from './fixture.test-support.ts';
import { goroutineLabels, selectedLabels } from './goroutine-labels.ts';
import { pairLabels } from './label-pairs.ts';
import type { FrameType } from './model.ts';
import type { ResolvedLocation } from './profile-tables.ts';

const noContexts = { sets: [], missing: [] };
const state = (name: GoState): number => GO_STATES.indexOf(name);

interface Given {
  readonly state: GoState;
  readonly goid?: number;
  readonly creator?: number;
  readonly start?: number;
}

/** One sample of each, with one user frame at 0x1000. */
function counted(given: readonly Given[], maxGoroutines?: number): Aggregated {
  const aggregator = new Aggregator({
    maxBytes: 32 << 20,
    ...(maxGoroutines && { maxGoroutines }),
  });
  const instance = aggregator.instance(7, 1, 0, 0, aggregator.comm(commOf('app'), 0));
  for (const { state: name, goid = 0, creator = 0, start = 0 } of given) {
    const words = Uint32Array.of(goid, Math.floor(goid / 2 ** 32), creator, 0, start, 0, 0x1000, 0);
    const goroutine = aggregator.goroutine(instance, 3, state(name), words, 0);
    const labels = aggregator.labels(goroutine, 0);
    assert.ok(aggregator.add(instance, 3, 0, 0, labels, words, 6, 0, 1));
  }
  return aggregator.drain();
}

const NAMES: Readonly<Record<number, string>> = {
  4096: 'main.work',
  // a return address is looked up before it, a first function where it begins
  8192: 'main.spawn',
  12288: 'main.spawn.func1',
  16384: 'runtime.gcBgMarkWorker',
  20480: 'runtime.runFinalizers',
  24576: 'runtime.rt0_go',
  28672: 'runtime.main',
};

function located(name: string | undefined, type: FrameType): ResolvedLocation | undefined {
  if (name === undefined) return undefined;
  const line = { systemName: name, file: '', line: 1, column: 0, startLine: 1 };
  const inlined = { ...line, name: 'inlined' };
  return { mapping: undefined, address: 1, type, lines: [inlined, { ...line, name }] };
}

function labelled(aggregated: Aggregated, type: FrameType = 'go', wanted?: readonly string[]) {
  const collection = collectAddresses(aggregated);
  const { queries } = collection;
  const locations = Array.from(queries.low, (low, i) => {
    assert.deepEqual([queries.instance[i], queries.layout[i]], [0, 3]);
    const isStart = low >= 0x3000 && low !== 0x6000;
    assert.equal(queries.high[i], isStart ? 0x8000_0000 : 0, `address ${low.toString(16)}`);
    return located(NAMES[low], type);
  });
  const all = goroutineLabels(aggregated, collection, locations);
  const chosen = wanted ? selectedLabels(all, new Set(wanted)) : all;
  const { sets, missing } = pairLabels(aggregated.labelPairs, chosen, noContexts);
  const builder = new ProfileBuilder({ threads: false });
  builder.add(aggregated, collection, { locations, labelSets: sets, labelsMissing: missing });
  const profile = builder.finish(fixtureFacts);
  const rows = Array.from(profile.samples.labels, (set, row) => ({
    count: profile.samples.count[row]!,
    labels: Object.fromEntries(profile.labelSets[set]!.map(({ key, value }) => [key, value])),
  }));
  return { profile, rows };
}

test('a goroutine is its id, the function that made it and the kind that its first function tells', () => {
  const user = { state: 'goroutine', goid: 2 ** 32 + 5, creator: 0x2000, start: 0x3000 } as const;
  const { rows, profile } = labelled(
    counted([
      user,
      user,
      { state: 'goroutine', goid: 4, creator: 0x6000, start: 0x4000 },
      { state: 'goroutine', goid: 9, creator: 0x2000, start: 0x5000 },
      { state: 'goroutine', goid: 1, creator: 0x6000, start: 0x7000 },
      { state: 'goroutine', goid: 17 },
      { state: 'goroutine', goid: 18, start: 0x8000 },
      { ...user, state: 'signal' },
      { state: 'signal' },
      { state: 'scheduler' },
      { state: 'foreign' },
    ]),
  );
  const by = 'main.spawn';
  assert.deepEqual(rows, [
    {
      count: 2,
      labels: { goroutine: '4294967301', goroutine_created_by: by, goroutine_kind: 'user' },
    },
    {
      count: 1,
      labels: {
        goroutine: '4',
        goroutine_created_by: 'runtime.rt0_go',
        goroutine_kind: 'system',
      },
    },
    // finalizers are the program's own functions
    { count: 1, labels: { goroutine: '9', goroutine_created_by: by, goroutine_kind: 'user' } },
    { count: 1, labels: { goroutine: '1', goroutine_kind: 'user' } },
    { count: 1, labels: { goroutine: '17', goroutine_kind: 'user' } },
    // nobody knows the function: no kind
    { count: 1, labels: { goroutine: '18' } },
    {
      count: 1,
      labels: { goroutine: '4294967301', goroutine_created_by: by, goroutine_kind: 'signal' },
    },
    { count: 1, labels: { goroutine_kind: 'signal' } },
    { count: 1, labels: { goroutine_kind: 'scheduler' } },
    { count: 1, labels: {} },
  ]);
  assert.deepEqual(profile.tally.labelsLost, {});
  const names = profile.functions.map(({ name }) => name);
  assert.deepEqual(names, ['inlined', 'main.work'], 'only what is in stacks is in the tables');
});

test('samples are told apart by the wanted labels only; none is missing where none is wanted', () => {
  const one = { state: 'goroutine', creator: 0x2000, start: 0x3000 } as const;
  const two = [
    { ...one, goid: 5 },
    { ...one, goid: 6 },
  ];
  const kinds = labelled(counted(two), 'go', ['goroutine_kind']);
  assert.deepEqual(kinds.rows, [{ count: 2, labels: { goroutine_kind: 'user' } }]);
  const none = labelled(counted([...two, { state: 'goroutine_unreadable' }]), 'go', ['thread']);
  assert.deepEqual(none.rows, [{ count: 3, labels: {} }]);
  assert.deepEqual(none.profile.tally.labelsLost, {});
});

test('what could not be known for sure is counted, and not mixed with other reasons', () => {
  const given: Given[] = [
    { state: 'goroutine_changing' },
    { state: 'goroutine_changing' },
    { state: 'goroutine_unreadable' },
    { state: 'go_layout_unknown' },
    { state: 'unknown_process' },
    { state: 'none' },
  ];
  const { rows, profile } = labelled(counted(given));
  assert.deepEqual(rows, [{ count: 6, labels: {} }]);
  const { unknown_process, ...always } = profile.tally.labelsLost;
  assert.deepEqual(always, {
    goroutine_changing: 2,
    goroutine_unreadable: 1,
    go_layout_unknown: 1,
  });
  assert.equal(unknown_process, 2, 'none and unknown');
  const c = labelled(counted(given), 'native').profile.tally.labelsLost;
  assert.deepEqual(c, always, 'a process that is not Go has no goroutine to miss');
});

test('goroutines beyond the limit: samples are kept, without labels, and counted', () => {
  const aggregated = counted(
    [1, 2, 3, 4, 5, 2, 1, 9].map((goid) => ({ state: 'goroutine', goid })),
    // what stands for none and for the rest is among them
    5,
  );
  const { rows, profile } = labelled(aggregated);
  assert.deepEqual(
    rows.map(({ count, labels }) => [count, labels.goroutine]),
    [
      [2, '1'],
      [2, '2'],
      [1, '3'],
      [3, undefined],
    ],
  );
  assert.deepEqual(profile.tally.labelsLost, { labels_overflow: 3 });
  assert.equal(profile.tally.exported, 8);
});

test('100,000 goroutines in an interval: bounded tables, nothing lost', () => {
  const aggregator = new Aggregator({ maxBytes: 32 << 20 });
  const builder = new ProfileBuilder({ threads: false });
  for (let part = 0; part < 4; part++) {
    const instance = aggregator.instance(7, 1, 0, 0, aggregator.comm(commOf('app'), 0));
    for (let i = 0; i < 25_000; i++) {
      const words = Uint32Array.of(part * 25_000 + i + 1, 0, 0, 0, 0, 0, 0x1000, 0);
      const goroutine = aggregator.goroutine(instance, 3, state('goroutine'), words, 0);
      const labels = aggregator.labels(goroutine, 0);
      aggregator.add(instance, 3, 0, 0, labels, words, 6, 0, 1);
    }
    assert.ok(aggregator.bytes < 8 << 20, `${aggregator.bytes} bytes`);
    const aggregated = aggregator.drain();
    const collection = collectAddresses(aggregated);
    const all = goroutineLabels(aggregated, collection, []);
    const { sets, missing } = pairLabels(aggregated.labelPairs, all, noContexts);
    builder.add(aggregated, collection, { locations: [], labelSets: sets, labelsMissing: missing });
  }
  const { tally, labelSets, samples } = builder.finish(fixtureFacts);
  assert.equal(tally.exported, 100_000);
  assert.equal(labelSets.length, 16_384);
  assert.equal(samples.length, 16_384);
  const wrong = Array.from(samples.count).filter((count, row) => samples.labels[row] && count > 1);
  assert.deepEqual(wrong, [], 'merged under a label that is not theirs');
  assert.deepEqual(tally.labelsLost, { labels_overflow: 100_000 - 16_383 });
});
