import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { Profile as Pprof } from 'pprof-format';
import { bootTime } from '../units/units.ts';
import { fuzz, hostileText, rawSamples } from './arbitrary-samples.test-support.ts';
import { buildProfile, plainSample, sourceLine } from './fixture.test-support.ts';
import { framesOf, processText, statedService } from './frame.ts';
import type { Profile } from './model.ts';
import { encodePprof, encodePprofMessage } from './pprof.ts';

const decode = (profile: Profile): Pprof => Pprof.decode(gunzipSync(encodePprof(profile)));

test('small golden', () => {
  const profile = buildProfile(
    [{ ...plainSample, kernel: [7], user: [3, 5], end: 5, labels: 1, weight: 2 }],
    { threads: true, addresses: true },
  );
  const pprof = decode(profile);
  const { strings } = pprof.stringTable;
  const text = (index: number | bigint): string => strings[Number(index)]!;
  assert.deepEqual(
    pprof.sampleType.map(({ type, unit }) => `${text(type)}/${text(unit)}`),
    ['samples/count', 'cpu/nanoseconds'],
  );
  assert.equal(text(pprof.defaultSampleType), 'cpu');
  assert.equal(
    `${text(pprof.periodType!.type)}/${text(pprof.periodType!.unit)}`,
    'cpu/nanoseconds',
  );
  assert.equal(pprof.period, 10_101_010);
  assert.equal(pprof.timeNanos, 1_790_000_000_000_000_001n);
  assert.equal(BigInt(pprof.durationNanos), 10_000_000_000n);

  assert.equal(pprof.sample.length, 1);
  const sample = pprof.sample[0]!;
  assert.deepEqual(sample.locationId, [1, 2, 3, 4]);
  assert.deepEqual(sample.value, [2, 20_202_020]);
  assert.deepEqual(
    sample.label.map(({ key, str, num }) => [text(key), text(str), num]),
    [
      ['process', 'app', 0],
      ['pid', '', 42],
      ['thread', 'worker', 0],
      ['trace_id', '0123456789abcdef0123456789abcdef', 0],
      ['span_id', '0123456789abcdef', 0],
    ],
  );
  assert.deepEqual(
    pprof.location.map(({ mappingId, address, line }) => [
      mappingId,
      BigInt(address),
      line.map((one) => {
        const called = pprof.function[Number(one.functionId) - 1]!;
        return `${text(called.name)} ${text(called.filename)}:${one.line} from ${called.startLine}`;
      }),
    ]),
    [
      [1, 0xffff_ffff_8100_0007n, ['f7 app.c:10 from 1']],
      [2, 3n, ['inlined3 app.h:3 from 1', 'f3 app.c:13 from 1']],
      [2, 5n, ['app-42+0x5 :0 from 0']],
      [0, 0n, ['[stack cut: no unwind information] :0 from 0']],
    ],
  );
  assert.deepEqual(
    pprof.mapping.map((mapping) => [
      text(mapping.filename),
      text(mapping.buildId),
      BigInt(mapping.memoryStart),
      BigInt(mapping.memoryLimit),
      [mapping.hasFunctions, mapping.hasFilenames, mapping.hasLineNumbers, mapping.hasInlineFrames],
    ]),
    [
      ['/usr/bin/app-42', 'c0ffee', 0x1000n, 0x5_0000n, [true, true, true, true]],
      ['[kernel]', '', 0n, 0xffff_ffff_ffff_ffffn, [true, true, true, false]],
    ],
  );
  assert.deepEqual(pprof.comment.map(text), [
    'flametap.tally.taken=2',
    'flametap.tally.exported=2',
    'flametap.tally.frames_named=4',
    'flametap.tally.frames_unnamed=2',
    'flametap.tally.truncated.no_unwind_info=2',
  ]);
});

test('read back, each process, thread and stack has its count, whatever the names', () => {
  fc.assert(
    fc.property(rawSamples, hostileText, (raw, name) => {
      const profile = buildProfile(raw, { threads: true }, (low) =>
        low % 4 === 0 ? [] : [sourceLine(name + low, low, name)],
      );
      const pprof = Pprof.decode(encodePprofMessage(profile));
      assert.deepEqual(countsOf(pprof), expectedCounts(profile));
    }),
    fuzz,
  );
});

test('the service that a process states is a label, one that is guessed is not', () => {
  const profile = buildProfile([plainSample, { ...plainSample, pid: 43 }]);
  const resource = [{ key: 'service.name', value: 'shop' }];
  const processes = [{ ...profile.processes[0]!, resource }, profile.processes[1]!];
  const labelled = { ...profile, processes };
  const pprof = Pprof.decode(encodePprofMessage(labelled));
  assert.deepEqual(countsOf(pprof), expectedCounts(labelled));
});

test('the first mapping, which pprof takes for the program, is the busiest executable', () => {
  const built = buildProfile([
    { ...plainSample, pid: 1 },
    { ...plainSample, weight: 2 },
  ]);
  const processes = built.processes.map((process) => ({
    ...process,
    executable: `/usr/bin/app-${process.pid}`,
  }));
  const { mapping, stringTable } = decode({ ...built, processes });
  assert.equal(stringTable.strings[Number(mapping[0]!.filename)], '/usr/bin/app-42');
});

test('an empty profile keeps its types and its tally', () => {
  const pprof = decode(buildProfile([]));
  assert.equal(pprof.sample.length, 0);
  assert.equal(pprof.sampleType.length, 2);
  assert.equal(pprof.comment.length, 4);
});

test('no submessage is empty: an empty one would silently cut the rest off', () => {
  const built = buildProfile([plainSample]);
  const profile: Profile = {
    ...built,
    processes: [{ pid: 0, name: '', executable: '', startNs: bootTime(0n), execId: 0 }],
    labelSets: [
      [
        { key: '', value: '' },
        { key: 'k', value: '' },
      ],
    ],
    functions: built.functions.map((called) => ({ ...called, name: '', systemName: '' })),
  };
  const pprof = decode(profile);
  const { strings } = pprof.stringTable;
  assert.deepEqual(
    pprof.sample[0]!.label.map(({ key, str }) => [strings[Number(key)], strings[Number(str)]]),
    [
      ['process', '[pid 0]'],
      ['pid', ''],
    ],
  );
  assert.equal(pprof.period, 10_101_010, 'what is written last is still there');
  assert.equal(strings[Number(pprof.defaultSampleType)], 'cpu');
});

test('a goroutine is a number, of which no receiver makes a series; who made it is text', () => {
  const labels = [
    { key: 'goroutine', value: '4294967301' },
    { key: 'goroutine_created_by', value: 'main.serve' },
  ];
  const pprof = decode({ ...buildProfile([plainSample]), labelSets: [labels] });
  const { strings } = pprof.stringTable;
  const found = pprof.sample[0]!.label.map(({ key, str, num }) => [
    strings[Number(key)],
    strings[Number(str)],
    Number(num),
  ]).filter(([key]) => String(key).startsWith('goroutine'));
  assert.deepEqual(found, [
    ['goroutine', '', 4294967301],
    ['goroutine_created_by', 'main.serve', 0],
  ]);
});

test('values and addresses beyond 2^53 are exact', () => {
  const built = buildProfile([{ ...plainSample, kernel: [0x1fff], weight: 0xffff_ffff }], {
    threads: false,
    addresses: true,
  });
  const profile = { ...built, period: 1_000_000_007 as Profile['period'] };
  const pprof = decode(profile);
  assert.equal(pprof.sample[0]!.value[1], 0xffff_ffffn * 1_000_000_007n);
  assert.equal(pprof.location[0]!.address, 0xffff_ffff_8100_1fffn);
});

test('rows without samples are left out', () => {
  const built = buildProfile([plainSample, { ...plainSample, user: [9] }]);
  const samples = { ...built.samples, count: Uint32Array.from([0, 3]) };
  assert.deepEqual(
    decode({ ...built, samples }).sample.map((sample) => sample.value[0]),
    [3],
  );
});

test('a name of a megabyte comes back whole', () => {
  const built = buildProfile([plainSample]);
  const name = 'ü'.repeat(2 ** 20);
  const functions = built.functions.map((called) => ({ ...called, name }));
  assert.ok(decode({ ...built, functions }).stringTable.strings.includes(name));
});

function countsOf(pprof: Pprof): Map<string, number> {
  const text = (index: number | bigint) => pprof.stringTable.strings[Number(index)]!;
  const counts = new Map<string, number>();
  for (const { label, locationId, value } of pprof.sample) {
    const labels = label.map(({ key, str, num }) => [text(key), str ? text(str) : Number(num)]);
    const names = locationId.flatMap((id) =>
      pprof.location[Number(id) - 1]!.line.map((line) =>
        text(pprof.function[Number(line.functionId) - 1]!.name),
      ),
    );
    assert.equal(BigInt(value[1]!), BigInt(value[0]!) * BigInt(pprof.period));
    const key = JSON.stringify([labels, names]);
    counts.set(key, (counts.get(key) ?? 0) + Number(value[0]));
  }
  return counts;
}

function expectedCounts(profile: Profile): Map<string, number> {
  const { samples } = profile;
  const counts = new Map<string, number>();
  for (let row = 0; row < samples.length; row++) {
    const process = profile.processes[samples.process[row]!]!;
    const thread = profile.threads[samples.thread[row]!]!;
    const labels: [string, string | number][] = [
      ['process', processText(process)],
      ['pid', process.pid],
    ];
    if (statedService(process) !== '') labels.push(['service_name', statedService(process)]);
    if (thread !== '') labels.push(['thread', thread]);
    for (const { key, value } of profile.labelSets[samples.labels[row]!]!)
      labels.push([key, value]);
    const names = [...profile.stacks[samples.stack[row]!]!].flatMap((location) =>
      framesOf(profile, profile.locations[location]!).map((frame) => frame.name),
    );
    const key = JSON.stringify([labels, names]);
    counts.set(key, (counts.get(key) ?? 0) + samples.count[row]!);
  }
  return counts;
}
