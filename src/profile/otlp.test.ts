import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nanoseconds, unixTime } from '../units/units.ts';
import { fuzz, hostileText, rawSamples } from './arbitrary-samples.test-support.ts';
import { buildProfile, plainSample, sourceLine } from './fixture.test-support.ts';
import { framesOf } from './frame.ts';
import type { Label, Profile } from './model.ts';
import { encodeOtlp } from './otlp.ts';
import { attributesOf, decode, profilesOf, samplesOf } from './otlp-decoded.test-support.ts';
import * as fields from './otlp-fields.ts';
import { loadMessages, type Request, type ValueType } from './otlp-messages.test-support.ts';

test('small golden', () => {
  const request = decode(
    buildProfile([{ ...plainSample, kernel: [7], user: [3, 5], end: 5, labels: 1, weight: 2 }], {
      threads: true,
      addresses: true,
    }),
  );
  const dictionary = request.dictionary!;
  const text = (index: number): string => dictionary.string_table[index]!;
  const [{ resource, scope_profiles }] = request.resource_profiles as [
    Request['resource_profiles'][number],
  ];
  assert.deepEqual(
    resource!.attributes.map(({ key, value }) => [key, value!.string_value ?? value!.int_value]),
    [
      ['service.name', 'app'],
      ['process.pid', 42n],
      ['process.executable.name', 'app'],
      ['host.name', 'web-1'],
    ],
  );
  assert.equal(scope_profiles[0]!.scope!.name, 'flametap');
  const [profile] = profilesOf(request);
  const typeOf = ({ type_strindex, unit_strindex }: ValueType): string =>
    `${text(type_strindex)}/${text(unit_strindex)}`;
  assert.equal(typeOf(profile!.sample_type!), 'samples/count');
  assert.equal(typeOf(profile!.period_type!), 'cpu/nanoseconds');
  assert.equal(profile!.period, 10_101_010n);
  assert.equal(profile!.time_unix_nano, 1_790_000_000_000_000_001n);
  assert.equal(profile!.duration_nano, 10_000_000_000n);
  assert.deepEqual(
    [...attributesOf(dictionary, profile!.attribute_indices)],
    [
      ['flametap.tally.taken', 2],
      ['flametap.tally.exported', 2],
      ['flametap.tally.frames_named', 4],
      ['flametap.tally.frames_unnamed', 2],
      ['flametap.tally.truncated.no_unwind_info', 2],
    ],
  );
  const [sample] = profile!.samples;
  assert.deepEqual(sample!.values, [2n]);
  assert.deepEqual(
    [...attributesOf(dictionary, sample!.attribute_indices)],
    [['thread.name', 'worker']],
  );
  const link = dictionary.link_table[sample!.link_index]!;
  assert.equal(Buffer.from(link.trace_id).toString('hex'), '0123456789abcdef0123456789abcdef');
  assert.equal(Buffer.from(link.span_id).toString('hex'), '0123456789abcdef');
  const stack = dictionary.stack_table[sample!.stack_index]!.location_indices;
  assert.deepEqual(
    stack.map((index) => {
      const location = dictionary.location_table[index]!;
      const mapping = dictionary.mapping_table[location.mapping_index]!;
      return [
        text(mapping.filename_strindex),
        location.address,
        attributesOf(dictionary, location.attribute_indices).get('profile.frame.type'),
        location.lines.map(({ function_index, line }) => {
          const called = dictionary.function_table[function_index]!;
          return `${text(called.name_strindex)} ${text(called.filename_strindex)}:${line} from ${called.start_line}`;
        }),
      ];
    }),
    [
      ['[kernel]', 0xffff_ffff_8100_0007n, 'kernel', ['f7 app.c:10 from 1']],
      ['/usr/bin/app-42', 3n, 'native', ['inlined3 app.h:3 from 1', 'f3 app.c:13 from 1']],
      ['/usr/bin/app-42', 5n, 'native', ['app-42+0x5 :0 from 0']],
      ['', 0n, 'marker', ['[stack cut: no unwind information] :0 from 0']],
    ],
  );
  assert.deepEqual(
    dictionary.mapping_table
      .slice(1)
      .map((mapping) => [
        mapping.memory_start,
        mapping.memory_limit,
        Object.fromEntries(attributesOf(dictionary, mapping.attribute_indices)),
      ]),
    [
      [0n, 2n ** 64n - 1n, {}],
      [0n, 2n ** 64n - 1n, { 'process.executable.build_id.gnu': 'c0ffee' }],
    ],
  );
});

test('read back, each process, thread, label and stack has its count, whatever the names', () => {
  fc.assert(
    fc.property(rawSamples, hostileText, fc.boolean(), (raw, name, threads) => {
      const profile = buildProfile(raw, { threads }, (low) =>
        low % 4 === 0 ? [] : [sourceLine(name + low, low, name)],
      );
      assert.deepEqual(countsOf(decode(profile)), expectedCounts(profile));
    }),
    fuzz,
  );
});

test('any labels: valid, and no sample is missing', () => {
  const label: fc.Arbitrary<Label> = fc.record({
    key: fc.oneof(
      fc.constantFrom('trace_id', 'span_id', 'goroutine', 'thread.name', 'k'),
      hostileText,
      fc.constant('k'.repeat(2000)),
    ),
    value: fc.oneof(
      hostileText,
      fc.constantFrom('1'.repeat(16), 'a'.repeat(32), 'A'.repeat(32), '0'.repeat(32)),
      fc.constant('ü'.repeat(2000)),
    ),
  });
  const samples = rawSamples.filter((raw) => raw.length > 0);
  fc.assert(
    fc.property(samples, fc.array(label), fc.array(label), fc.boolean(), (raw, a, b, threads) => {
      const built = buildProfile(raw, { threads });
      const labelSets = built.labelSets.map((_, index) => [[], a, b][index] ?? []);
      const request = decode({ ...built, labelSets });
      const total = samplesOf(request).reduce((sum, { values }) => sum + Number(values[0]), 0);
      assert.equal(total, built.tally.exported);
    }),
    fuzz,
  );
});

/** One sample at each of three places, to be replaced by what a test is about. */
const threePlaces = buildProfile([1, 2, 3].map((address) => ({ ...plainSample, user: [address] })));
const named = {
  name: 'f',
  shortName: 'f',
  systemName: 'f',
  file: '',
  startLine: 0,
  unnamed: false,
};
const stacksOf = (count: number) => Array.from({ length: count }, (_, i) => Uint32Array.of(i));

/** Values of all samples, and the functions by name, of locations at one address. */
function atOneAddress(parts: Pick<Profile, 'functions'> & { mappings?: Profile['mappings'] }) {
  const called = [0, 1, 2].map(
    (index) => parts.functions[index] && { function: index, line: 0, column: 0 },
  );
  const locations = called.map(
    (line, index) =>
      ({
        mapping: parts.mappings ? index + 1 : 1,
        address: 16,
        type: 'native',
        lines: line ? [line] : [],
      }) as const,
  );
  const request = decode({ ...threePlaces, ...parts, locations, stacks: stacksOf(3) });
  const { function_table, string_table, mapping_table } = request.dictionary!;
  return {
    values: samplesOf(request).map(({ values }) => Number(values[0])),
    functions: function_table.slice(1).map(({ name_strindex }) => string_table[name_strindex]),
    mappings: mapping_table.length - 1,
  };
}

test('functions that differ in what is not sent are one, and so are their places and stacks', () => {
  const functions = [named, { ...named, unnamed: true }, { ...named, shortName: 'g' }];
  assert.deepEqual(atOneAddress({ functions }), { values: [3], functions: ['f'], mappings: 1 });
});

test('a line without a name is no line', () => {
  const functions = [named, { ...named, name: '' }];
  const expected = { values: [1, 2], functions: ['f', 'app-42+0x10'], mappings: 1 };
  assert.deepEqual(atOneAddress({ functions }), expected);
});

test('halves of surrogate pairs are the replacement character that they become', () => {
  const functions = ['\ud800', '\ufffd', '\udc00'].map((name) => ({
    ...named,
    name,
    systemName: name,
  }));
  const expected = { values: [3], functions: ['\ufffd'], mappings: 1 };
  assert.deepEqual(atOneAddress({ functions }), expected);
});

test('mappings that differ in what is not sent are one', () => {
  const mapping = threePlaces.mappings[1]!;
  const starts = [0x1000, 0x2000, 0x3000].map((start) => ({ ...mapping, start }));
  const mappings = [threePlaces.mappings[0]!, ...starts];
  const functions = [named, { ...named, name: 'g' }, { ...named, unnamed: true }];
  const expected = { values: [2, 1], functions: ['f', 'g'], mappings: 1 };
  assert.deepEqual(atOneAddress({ functions, mappings }), expected);
  const same = [named, { ...named, name: 'g' }, { ...named, name: 'h' }];
  assert.deepEqual(atOneAddress({ functions: same, mappings }).mappings, 1);
});

test('equal locations of equal mappings are one', () => {
  const mapping = threePlaces.mappings[1]!;
  const mappings = [threePlaces.mappings[0]!, mapping, { ...mapping, start: 0x2000 }];
  const locations = [1, 2].map(
    (index) =>
      ({
        mapping: index,
        address: 16,
        type: 'native',
        lines: [{ function: 0, line: 1, column: 0 }],
      }) as const,
  );
  const stacks = [Uint32Array.of(0), Uint32Array.of(1), Uint32Array.of(0, 1)];
  const request = decode({ ...threePlaces, functions: [named], mappings, locations, stacks });
  assert.deepEqual(
    samplesOf(request).map(({ values }) => Number(values[0])),
    [2, 1],
  );
});

test('a name is sent as the system name only where that differs', () => {
  const functions = [named, { ...named, systemName: '_Z1fv' }];
  const [first, second] = decode({
    ...threePlaces,
    functions,
    locations: [0, 1, 0].map((called, index) => ({
      mapping: 1,
      address: index,
      type: 'native',
      lines: [{ function: called, line: 1, column: 0 }],
    })),
    stacks: stacksOf(3),
  }).dictionary!.function_table.slice(1);
  assert.equal(first!.system_name_strindex, 0);
  assert.notEqual(second!.system_name_strindex, 0);
});

test('rows that differ in the goroutine only are added up, unless it is asked for', () => {
  const built = buildProfile([
    plainSample,
    { ...plainSample, labels: 1, weight: 2 },
    { ...plainSample, labels: 2, weight: 4 },
  ]);
  const goroutine = (value: string): Label[] => [{ key: 'goroutine', value }];
  const profile = { ...built, labelSets: [[], goroutine('17'), goroutine('18')] };
  const samples = samplesOf(decode(profile));
  assert.deepEqual(
    samples.map(({ values, attribute_indices }) => [...values, ...attribute_indices]),
    [[7n]],
  );
  const request = decode(profile, true);
  assert.deepEqual(
    samplesOf(request).map(({ attribute_indices }) => [
      ...attributesOf(request.dictionary!, attribute_indices).values(),
    ]),
    [[], ['17'], ['18']],
  );
});

test('sums beyond 32 bits and addresses beyond 53 are exact', () => {
  const built = buildProfile(
    [
      { ...plainSample, kernel: [0x1fff], weight: 0xffff_ffff },
      { ...plainSample, kernel: [0x1fff], labels: 1, weight: 0xffff_ffff },
    ],
    { threads: false, addresses: true },
  );
  const labelSets = [[], [{ key: 'goroutine', value: '1' }]];
  const request = decode({ ...built, labelSets });
  assert.deepEqual(samplesOf(request)[0]!.values, [2n * 0xffff_ffffn]);
  assert.equal(request.dictionary!.location_table[1]!.address, 0xffff_ffff_8100_1fffn);
  const far = built.locations.map((location) => ({ ...location, address: 2 ** 52 - 1 }));
  const [, kernel, user] = decode({ ...built, locations: far }).dictionary!.location_table;
  assert.equal(kernel!.address, 2n ** 64n - 1n);
  assert.equal(user!.address, 2n ** 52n - 1n);
});

test('a process with more samples than Pyroscope takes gets several profiles at different times', () => {
  const raw = Array.from({ length: 16_001 }, (_, index) => ({
    ...plainSample,
    user: [index + 1],
  }));
  const [first, second, ...others] = profilesOf(decode(buildProfile(raw)));
  assert.equal(others.length, 0);
  assert.equal(first!.samples.length, 16_000);
  assert.equal(second!.samples.length, 1);
  assert.equal(second!.time_unix_nano, first!.time_unix_nano + 16_000n);
  assert.deepEqual(second!.attribute_indices, [], 'the tally travels once');
});

test('the same profile has the same bytes, and another time other ids', () => {
  const profile = buildProfile([plainSample, { ...plainSample, pid: 7 }]);
  assert.deepEqual(encodeOtlp(profile), encodeOtlp(profile));
  const later = { ...profile, startTime: unixTime(profile.startTime + 1n) };
  const longer = { ...profile, duration: nanoseconds(profile.duration + 1) };
  const ids = [profile, later, longer, { ...profile, host: 'web-2' }]
    .flatMap((one) => profilesOf(decode(one)))
    .map(({ profile_id }) => Buffer.from(profile_id).toString('hex'));
  assert.equal(new Set(ids).size, 8);
});

test('a mapping says where the code was linked, if all of its locations are there', () => {
  const raw = [0x1000, 0x1001, 0x4_ffff].map((address) => ({ ...plainSample, user: [address] }));
  const [, mapping] = decode(buildProfile(raw)).dictionary!.mapping_table;
  const { memory_start, memory_limit, file_offset } = mapping!;
  assert.deepEqual([memory_start, memory_limit, file_offset], [0x1000n, 0x5_0000n, 0x1000n]);
  const far = buildProfile([...raw, { ...plainSample, user: [0x5_0001] }]);
  const [, whole] = decode(far).dictionary!.mapping_table;
  assert.deepEqual(
    [whole!.memory_start, whole!.memory_limit, whole!.file_offset],
    [0n, 2n ** 64n - 1n, 0n],
  );
});

test('rows without samples leave nothing behind', () => {
  const built = buildProfile([plainSample, { ...plainSample, pid: 7, user: [9] }]);
  const samples = { ...built.samples, count: Uint32Array.from([0, 3]) };
  const request = decode({ ...built, samples });
  assert.deepEqual(
    samplesOf(request).map(({ values }) => values),
    [[3n]],
  );
  const texts = request.dictionary!.string_table;
  assert.ok(texts.includes('f9') && !texts.includes('/usr/bin/app-42'));
});

test('an empty profile is a dictionary of nothing', () => {
  const request = decode(buildProfile([]));
  assert.deepEqual(request.resource_profiles, []);
  assert.deepEqual(request.dictionary!.string_table, ['']);
});

test('numbers of fields are those of proto/otlp', () => {
  const messages = loadMessages();
  const names: Readonly<Record<keyof typeof fields, string>> = {
    REQUEST: 'collector.profiles.v1development.ExportProfilesServiceRequest',
    RESOURCE_PROFILES: 'profiles.v1development.ResourceProfiles',
    RESOURCE: 'resource.v1.Resource',
    SCOPE_PROFILES: 'profiles.v1development.ScopeProfiles',
    SCOPE: 'common.v1.InstrumentationScope',
    KEY_VALUE: 'common.v1.KeyValue',
    ANY_VALUE: 'common.v1.AnyValue',
    PROFILE: 'profiles.v1development.Profile',
    VALUE_TYPE: 'profiles.v1development.ValueType',
    SAMPLE: 'profiles.v1development.Sample',
    DICTIONARY: 'profiles.v1development.ProfilesDictionary',
    MAPPING: 'profiles.v1development.Mapping',
    LOCATION: 'profiles.v1development.Location',
    LINE: 'profiles.v1development.Line',
    FUNCTION: 'profiles.v1development.Function',
    LINK: 'profiles.v1development.Link',
    KEY_VALUE_AND_UNIT: 'profiles.v1development.KeyValueAndUnit',
    STACK: 'profiles.v1development.Stack',
  };
  assert.deepEqual(Object.keys(fields).sort(), Object.keys(names).sort());
  for (const [name, numbers] of Object.entries(fields)) {
    const found = messages.lookupType(`opentelemetry.proto.${names[name as keyof typeof fields]}`);
    for (const [field, number] of Object.entries(numbers)) {
      assert.equal(found.fields[field]?.id, number, `${name}.${field}`);
    }
  }
});

/** Number of samples by everything that tells them apart. */
function countsOf(request: Request): Map<string, number> {
  const dictionary = request.dictionary!;
  const text = (index: number): string => dictionary.string_table[index]!;
  const counts = new Map<string, number>();
  for (const { resource, scope_profiles } of request.resource_profiles) {
    const pid = Number(
      resource!.attributes.find(({ key }) => key === 'process.pid')!.value!.int_value,
    );
    for (const sample of scope_profiles.flatMap(({ profiles }) => profiles[0]!.samples)) {
      const attributes = attributesOf(dictionary, sample.attribute_indices);
      const { trace_id, span_id } = dictionary.link_table[sample.link_index]!;
      const frames = dictionary.stack_table[sample.stack_index]!.location_indices.flatMap(
        (index) => {
          const location = dictionary.location_table[index]!;
          const frameType = attributesOf(dictionary, location.attribute_indices)
            .values()
            .next().value;
          const module = text(dictionary.mapping_table[location.mapping_index]!.filename_strindex);
          return location.lines.map(({ function_index, line }) => {
            const called = dictionary.function_table[function_index]!;
            const name = text(called.name_strindex);
            const systemName = text(called.system_name_strindex) || name;
            const file = text(called.filename_strindex);
            return [
              name,
              systemName,
              file,
              Number(line),
              Number(called.start_line),
              module,
              frameType,
            ];
          });
        },
      );
      const key = JSON.stringify([
        pid,
        Object.fromEntries(attributes),
        Buffer.from(trace_id).toString('hex'),
        Buffer.from(span_id).toString('hex'),
        frames,
      ]);
      counts.set(key, (counts.get(key) ?? 0) + Number(sample.values[0]));
    }
  }
  return counts;
}

function expectedCounts(profile: Profile): Map<string, number> {
  const { samples } = profile;
  const counts = new Map<string, number>();
  for (let row = 0; row < samples.length; row++) {
    const thread = profile.threads[samples.thread[row]!]!;
    const labels = new Map(
      profile.labelSets[samples.labels[row]!]!.map(({ key, value }) => [key, value]),
    );
    const traceId = labels.get('trace_id') ?? '0'.repeat(32);
    const spanId = labels.get('span_id') ?? '0'.repeat(16);
    labels.delete('trace_id');
    labels.delete('span_id');
    const attributes = new Map([
      ...(thread === '' ? [] : [['thread.name', thread] as const]),
      ...labels,
    ]);
    const frames = [...profile.stacks[samples.stack[row]!]!].flatMap((index) =>
      framesOf(profile, profile.locations[index]!).map((frame) => [
        frame.name,
        frame.systemName,
        frame.file,
        frame.line,
        frame.startLine,
        frame.module,
        frame.type,
      ]),
    );
    const key = JSON.stringify([
      profile.processes[samples.process[row]!]!.pid,
      Object.fromEntries(attributes),
      traceId,
      spanId,
      frames,
    ]);
    counts.set(key, (counts.get(key) ?? 0) + samples.count[row]!);
  }
  return counts;
}
