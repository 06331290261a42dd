import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cleanName } from '../symbolize/clean-name.ts';
import { fuzz, hostileText, rawSamples } from './arbitrary-samples.test-support.ts';
import { buildProfile, plainSample, sourceLine } from './fixture.test-support.ts';
import { encodeJson } from './json.ts';
import type { Profile } from './model.ts';

const json = (profile: Profile) => JSON.parse([...encodeJson(profile)].join(''));

test('small golden', () => {
  const profile = buildProfile([{ ...plainSample, kernel: [5], user: [3], labels: 1, weight: 2 }], {
    threads: true,
  });
  assert.deepEqual(json(profile), {
    samples: [
      {
        process: 'app',
        pid: 42,
        service: null,
        thread: 'worker',
        stack: [
          {
            name: '[kernel]',
            file: '',
            line: 0,
            module: '[kernel]',
            type: 'kernel',
            inlined: false,
          },
          {
            name: 'inlined3',
            file: 'app.h',
            line: 3,
            module: '/usr/bin/app-42',
            type: 'native',
            inlined: true,
          },
          {
            name: 'f3',
            file: 'app.c',
            line: 13,
            module: '/usr/bin/app-42',
            type: 'native',
            inlined: false,
          },
        ],
        count: 2,
        trace_id: '0123456789abcdef0123456789abcdef',
        span_id: '0123456789abcdef',
        labels: {},
      },
    ],
    tally: {
      taken: 2,
      exported: 2,
      lost: {},
      truncated: {},
      deferred: {},
      labels_lost: {},
      frames_named: 2,
      frames_unnamed: 2,
      events_lost: {},
      problems: {},
      timing_ms: {},
    },
    start_ms: 1_790_000_000_000,
    duration_ns: 10_000_000_000,
    period_ns: 10_101_010,
    host: 'web-1',
  });
});

test('an empty profile is a valid object', () => {
  assert.deepEqual(json(buildProfile([])).samples, []);
});

test('counts add up and hostile names come back as clean as they went in', () => {
  fc.assert(
    fc.property(rawSamples, hostileText, (raw, name) => {
      const profile = buildProfile(raw, { threads: true }, (low) => [sourceLine(name + low)]);
      const text = [...encodeJson(profile)].join('');
      assert.ok(text.isWellFormed());
      const { samples, tally } = JSON.parse(text);
      let sum = 0;
      for (const sample of samples) {
        sum += sample.count;
        for (const frame of sample.stack) {
          if (frame.type === 'marker') continue;
          assert.ok(frame.name.startsWith(cleanName(name).slice(0, 1000)));
        }
      }
      assert.equal(sum, tally.exported);
      assert.equal(
        sum,
        raw.reduce((total, sample) => total + sample.weight, 0),
      );
    }),
    fuzz,
  );
});

test('label keys that mean something to objects are kept', () => {
  const profile: Profile = {
    ...buildProfile([plainSample]),
    labelSets: [
      [
        { key: '__proto__', value: 'a' },
        { key: '"', value: '\ud800' },
      ],
    ],
  };
  const { labels } = json(profile).samples[0];
  assert.deepEqual(Object.entries(labels), [
    ['__proto__', 'a'],
    ['"', '\ud800'],
  ]);
});

test('a name of a megabyte is written in bounded pieces', () => {
  const user = Array.from({ length: 12 }, (_, i) => i * 5 + 1);
  const built = buildProfile([{ ...plainSample, user }]);
  const long = '"'.repeat(2 ** 20);
  const profile: Profile = {
    ...built,
    functions: built.functions.map((called) => ({ ...called, name: long })),
  };
  let longest = 0;
  for (const piece of encodeJson(profile)) longest = Math.max(longest, piece.length);
  assert.ok(longest < 5 * 2 ** 20, `${longest}`);
});

test('the service is what the process states, not what is guessed', () => {
  const profile = buildProfile([plainSample]);
  const resource = [{ key: 'service.name', value: 'shop "1"' }];
  const processes = [{ ...profile.processes[0]!, resource }];
  assert.equal(json({ ...profile, processes }).samples[0].service, 'shop "1"');
  assert.equal(json(profile).samples[0].service, null);
});
