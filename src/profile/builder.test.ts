import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { collectAddresses, KERNEL_INSTANCE } from './address-collection.ts';
import { fuzz, hostileText, rawSamples } from './arbitrary-samples.test-support.ts';
import { ProfileBuilder } from './builder.ts';
import { endReason } from './end-reason.ts';
import {
  aggregate,
  answer,
  buildProfile,
  fixtureFacts,
  plainSample,
  type RawSample,
  sourceLine,
} from './fixture.test-support.ts';
import { framesOf } from './frame.ts';
import type { Profile } from './model.ts';
import { cleanText } from './profile-tables.ts';
import { TallyError } from './tally.ts';

test('small golden: inlined call, unnamed frame, kernel frame, marker', () => {
  const profile = buildProfile([
    { ...plainSample, kernel: [7], user: [3, 5, 8], end: 5, weight: 2 },
    { ...plainSample, user: [8] },
  ]);
  assert.deepEqual(
    profile.stacks.map((stack) => namesOf(profile, stack)),
    [['f7', 'inlined3', 'f3', 'app-42+0x5', 'f8', '[stack cut: no unwind information]'], ['f8']],
  );
  assert.deepEqual([...profile.samples.count], [2, 1]);
  assert.deepEqual(profile.threads, ['']);
  assert.deepEqual(profile.processes, [
    { pid: 42, name: 'app', executable: '', startNs: 1000n, execId: 1 },
  ]);
  assert.deepEqual(
    profile.mappings.map((mapping) => mapping.file),
    ['', '[kernel]', '/usr/bin/app-42'],
  );
  const marker = profile.locations[profile.stacks[0]!.at(-1)!]!;
  assert.equal(marker.type, 'marker');
  assert.deepEqual(profile.tally, {
    taken: 3,
    exported: 3,
    lost: {},
    truncated: { no_unwind_info: 2 },
    deferred: {},
    labelsLost: {},
    framesNamed: 7,
    framesUnnamed: 2,
    eventsLost: {},
    problems: {},
    timingMs: {},
  });
});

// Each was looked up, kept and sent: a million of them in ten seconds ended the agent.
test('a process that invents return addresses has its stacks cut, and no other process has', () => {
  const invented = Array.from({ length: 300 }, (_, sample) => ({
    ...plainSample,
    user: Array.from({ length: 500 }, (_, frame) => 0x10_0000 + sample * 500 + frame),
  }));
  const ordinary = { ...plainSample, pid: 43, user: [3, 5, 8] };
  const profile = buildProfile([...invented, ordinary, ordinary]);
  // 16 for each sample, those of the ordinary process, and the marker.
  assert.equal(profile.locations.length, 16 * 300 + 3 + 1);
  const { exported, truncated } = profile.tally;
  assert.equal(exported, 302);
  assert.deepEqual(truncated, { too_many_addresses: 291 });
  const names = profile.stacks.map((stack) => namesOf(profile, stack));
  assert.ok(names.some((stack) => stack.join() === 'inlined3,f3,app-43+0x5,f8'));
  assert.ok(names.some((stack) => stack.at(-1) === '[stack cut: process with too many addresses]'));
});

test('with many processes that invent addresses another still has its own', () => {
  const inventors = Array.from({ length: 200 }, (_, pid) => ({
    ...plainSample,
    pid: 1000 + pid,
    user: Array.from({ length: 1000 }, (_, frame) => 0x10_0000 + frame),
  }));
  const profile = buildProfile([...inventors, { ...plainSample, pid: 43, user: [3, 5, 8] }]);
  assert.ok(profile.locations.length < 160_000, `${profile.locations.length} locations`);
  const last = namesOf(profile, profile.stacks[profile.samples.stack.at(-1)!]!);
  assert.deepEqual(last, ['inlined3', 'f3', 'app-43+0x5', 'f8']);
  assert.equal(profile.tally.exported, 201);
});

test('nothing is lost from samples to profile, whatever they are', () => {
  fc.assert(
    fc.property(rawSamples, fc.boolean(), (samples, threads) => {
      const profile = buildProfile(samples, { threads });
      const expected = new Map<string, number>();
      for (const sample of samples) {
        const key = expectedKey(sample, threads);
        expected.set(key, (expected.get(key) ?? 0) + sample.weight);
      }
      const actual = new Map<string, number>();
      const rows = new Set<string>();
      for (let row = 0; row < profile.samples.length; row++) {
        const key = profileKey(profile, row);
        actual.set(key, (actual.get(key) ?? 0) + profile.samples.count[row]!);
        const { process, thread, stack, labels } = profile.samples;
        rows.add(`${process[row]} ${thread[row]} ${stack[row]} ${labels[row]}`);
      }
      assert.deepEqual(actual, expected);
      assert.equal(rows.size, profile.samples.length, 'rows are unique');
    }),
    fuzz,
  );
});

test('two instances of one pid keep their rows apart', () => {
  fc.assert(
    fc.property(rawSamples, (samples) => {
      const profile = buildProfile(samples);
      const instances = new Map<string, number>();
      for (const { pid, startHigh, startLow, execId, weight } of samples) {
        const key = `${pid} ${(BigInt(startHigh) << 32n) + BigInt(startLow)} ${execId}`;
        instances.set(key, (instances.get(key) ?? 0) + weight);
      }
      const actual = new Map<string, number>();
      for (let row = 0; row < profile.samples.length; row++) {
        const { pid, startNs, execId } = profile.processes[profile.samples.process[row]!]!;
        const key = `${pid} ${startNs} ${execId}`;
        actual.set(key, (actual.get(key) ?? 0) + profile.samples.count[row]!);
      }
      assert.deepEqual(actual, instances);
    }),
    fuzz,
  );
});

test('rows that differ only before resolution are one row after it', () => {
  const profile = buildProfile([
    { ...plainSample, layout: 1 },
    { ...plainSample, layout: 2, weight: 4 },
  ]);
  assert.deepEqual([...profile.samples.count], [5]);
  assert.equal(profile.stacks.length, 1);
});

test('several aggregates make one profile, and a process named later keeps its rows', () => {
  const builder = new ProfileBuilder({ threads: true });
  for (const name of ['', 'nginx: worker']) {
    const aggregated = aggregate([plainSample]);
    const collection = collectAddresses(aggregated);
    builder.add(aggregated, collection, {
      ...answer(aggregated, collection),
      processes: [{ name, executable: '/usr/sbin/nginx' }],
    });
  }
  const profile = builder.finish(fixtureFacts);
  assert.deepEqual([...profile.samples.count], [2]);
  assert.deepEqual(profile.threads, ['', 'worker']);
  assert.equal(profile.processes[0]!.name, 'nginx: worker');
  assert.equal(profile.processes[0]!.executable, '/usr/sbin/nginx');
});

test('a kernel address is asked for once, a user address once per instance and layout', () => {
  const sample = { ...plainSample, kernel: [1], user: [0x10, 0x20] };
  const { queries } = collectAddresses(
    aggregate([sample, { ...sample, pid: 43 }, { ...sample, layout: 9 }, sample]),
  );
  assert.equal(queries.length, 1 + 3 * 2);
  assert.deepEqual([queries.instance[0], queries.layout[0]], [KERNEL_INSTANCE, 0]);
  assert.deepEqual([...queries.high.subarray(0, 3)], [0xffff_ffff, 0x8000_7f00, 0x7f00]);
  assert.deepEqual([...queries.samples], [4, 2, 2, 1, 1, 1, 1]);
});

test('an address of which nothing is known keeps its place and its exact bits', () => {
  const profile = buildProfile(
    [{ ...plainSample, kernel: [0x8100_0001], user: [0x1234, 0x5678] }],
    { threads: false, addresses: true },
    () => undefined,
  );
  assert.deepEqual(namesOf(profile, profile.stacks[0]!), [
    '[kernel]',
    '0x7f0000001234',
    '0x7f0000005678',
  ]);
  assert.equal(profile.locations[0]!.address, 0xf_ffff_8100_0001);
  assert.equal(profile.tally.framesUnnamed, 3);
});

test('a sample without any address is shown as such', () => {
  const profile = buildProfile([
    { ...plainSample, user: [] },
    { ...plainSample, user: [], end: 9 },
  ]);
  assert.deepEqual(
    profile.stacks.map((stack) => namesOf(profile, stack)),
    [['[no stack]'], ['[stack cut: process not known yet]']],
  );
});

test('names of any content and length become valid text that fits', () => {
  fc.assert(
    fc.property(hostileText, (name) => {
      const profile = buildProfile([{ ...plainSample, user: [1] }], { threads: true }, () => [
        sourceLine(name, 1, name),
      ]);
      for (const { name, file } of profile.functions) {
        assert.ok(name.isWellFormed() && file.isWellFormed());
      }
    }),
    fuzz,
  );
  const cut = cleanText('💥'.repeat(500_000));
  assert.ok(cut.isWellFormed() && cut.endsWith('…') && Buffer.byteLength(cut) < 65_535);
});

test('control characters and marks of direction do not travel, wherever they come from', () => {
  const hostile = 'a\u001b[31m\n\u202eb';
  const profile = buildProfile(
    [{ ...plainSample, user: [1], comm: hostile, thread: hostile }],
    { threads: true },
    () => [{ ...sourceLine(hostile, 1, hostile), systemName: hostile }],
  );
  const clean = 'a\ufffd[31m\ufffd\ufffdb';
  const { name, systemName, file } = profile.functions[0]!;
  assert.deepEqual([name, systemName, file], [clean, clean, clean]);
  assert.deepEqual([profile.processes[0]!.name, profile.threads[1]], [clean, clean]);
});

test('functions have a short form by their language; places are no names', () => {
  const profile = buildProfile([{ ...plainSample, user: [1, 2] }], { threads: false }, (low) =>
    low === 1
      ? [{ ...sourceLine('void f<int>(int)'), systemName: '_Z1fIiEvT_' }]
      : [{ ...sourceLine('app+0x1000'), unnamed: true }],
  );
  assert.deepEqual(
    profile.functions.map(({ name, shortName, unnamed }) => [name, shortName, unnamed]),
    [
      ['void f<int>(int)', 'f<...>', false],
      ['app+0x1000', 'app+0x1000', true],
    ],
  );
  assert.deepEqual([profile.tally.framesNamed, profile.tally.framesUnnamed], [1, 1]);
});

test('numbers that are no counts, as hostile debug information has them, are not known', () => {
  const profile = buildProfile([{ ...plainSample, user: [1] }], { threads: false }, () => [
    { ...sourceLine('f', Number.NaN), column: -1, startLine: 2 ** 64 },
  ]);
  assert.deepEqual(profile.locations[0]!.lines, [{ function: 0, line: 0, column: 0 }]);
  assert.equal(profile.functions[0]!.startLine, 0);
});

test('a count that outgrows 32 bits is a loss with a reason', () => {
  const builder = new ProfileBuilder({ threads: false });
  for (const weight of [0xffff_fff0, 0x20]) {
    const aggregated = aggregate([{ ...plainSample, weight }]);
    const collection = collectAddresses(aggregated);
    builder.add(aggregated, collection, answer(aggregated, collection));
  }
  const { samples, tally } = builder.finish({ ...fixtureFacts, taken: 0x1_0000_0010 });
  assert.deepEqual([...samples.count], [0xffff_ffff]);
  assert.deepEqual(tally.lost, { count_overflow: 0x11 });
});

test('labels beyond the limits, by number or by bytes, are left out and counted', () => {
  const requests = 50;
  const aggregated = {
    ...aggregate(Array.from({ length: requests }, (_, at) => ({ ...plainSample, user: [at] }))),
    labels: Uint32Array.from({ length: requests }, (_, at) => at + 1),
  };
  const collection = collectAddresses(aggregated);
  // 8 + 32 bytes each.
  const labelSets = Array.from({ length: requests + 1 }, (_, at) =>
    at === 0 ? [] : [{ key: 'trace_id', value: String(at).padStart(32, 'a') }],
  );
  for (const [limits, kept] of [
    [{ sets: 21, bytes: 1e6 }, 20],
    [{ sets: 1e6, bytes: 40 * 30 }, 30],
    [{ sets: 1, bytes: 1 }, 0],
  ] as const) {
    const builder = new ProfileBuilder({ threads: false, labelLimits: limits });
    builder.add(aggregated, collection, { ...answer(aggregated, collection), labelSets });
    const { samples, tally, labelSets: sets } = builder.finish(fixtureFacts);
    assert.equal(sets.length, kept + 1);
    assert.equal(tally.exported, requests, 'no sample is lost with its labels');
    assert.equal(samples.labels.filter((set) => set > 0).length, kept);
    assert.deepEqual(tally.labelsLost, { labels_overflow: requests - kept });
  }
});

test('samples unwound in user space are told by why', () => {
  const aggregated = { ...aggregate([{ ...plainSample, weight: 5 }]), deferred: new Map([[4, 3]]) };
  const collection = collectAddresses(aggregated);
  const builder = new ProfileBuilder({ threads: false });
  builder.add(aggregated, collection, answer(aggregated, collection));
  assert.deepEqual(builder.finish(fixtureFacts).tally.deferred, { no_table: 3 });
});

test('losses of all stages add up, and a sample that nobody accounts for is an error', () => {
  const aggregated = { ...aggregate([plainSample]), lost: { aggregation_full: 2 } };
  const collection = collectAddresses(aggregated);
  const builder = new ProfileBuilder({ threads: false });
  builder.add(aggregated, collection, answer(aggregated, collection));
  const lost = { ring_full: 3, aggregation_full: 1 };
  assert.deepEqual(builder.finish({ ...fixtureFacts, taken: 7, lost }).tally.lost, {
    aggregation_full: 3,
    ring_full: 3,
  });
  assert.throws(
    () => builder.finish({ ...fixtureFacts, taken: 8, lost }),
    new TallyError('8 samples taken, but 1 exported + 6 lost = 7'),
  );
});

function namesOf(profile: Profile, stack: Uint32Array): string[] {
  return [...stack].flatMap((location) =>
    framesOf(profile, profile.locations[location]!).map((frame) => frame.name),
  );
}

function profileKey(profile: Profile, row: number): string {
  const { samples } = profile;
  const { pid, startNs, execId } = profile.processes[samples.process[row]!]!;
  return JSON.stringify([
    [pid, String(startNs), execId],
    profile.threads[samples.thread[row]!],
    profile.labelSets[samples.labels[row]!]!.map((label) => label.key),
    namesOf(profile, profile.stacks[samples.stack[row]!]!),
  ]);
}

/** What the invented names of the fixture make of a sample, worked out anew. */
function expectedKey(sample: RawSample, threads: boolean): string {
  const frame = (low: number, unnamed: string): string[] => {
    if (low % 5 === 0) return [unnamed];
    return low % 3 === 0 ? [`inlined${low}`, `f${low}`] : [`f${low}`];
  };
  const names = [
    ...sample.kernel.flatMap((low) => frame(low, '[kernel]')),
    ...sample.user.flatMap((low) => frame(low, `app-${sample.pid}+0x${low.toString(16)}`)),
  ];
  const { words } = endReason(sample.end);
  if (words !== undefined) names.push(`[stack cut: ${words}]`);
  return JSON.stringify([
    [
      sample.pid,
      String((BigInt(sample.startHigh) << 32n) + BigInt(sample.startLow)),
      sample.execId,
    ],
    threads ? sample.thread : '',
    [[], ['trace_id', 'span_id'], ['endpoint']][sample.labels],
    names.length === 0 ? ['[no stack]'] : names,
  ]);
}
