import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { exampleProfile } from '../viewer/example-profile.test-support.ts';
import { fuzz, rawSamples } from './arbitrary-samples.test-support.ts';
import { buildProfile } from './fixture.test-support.ts';
import { statedService } from './frame.ts';
import { encodeJson } from './json.ts';
import type { Profile } from './model.ts';
import { encodeOtlp } from './otlp.ts';
import { encodePprof } from './pprof.ts';
import { readProfile } from './read-profile.ts';
import { ProfileFileError } from './rebuild.ts';

const jsonOf = (profile: Profile): string => [...encodeJson(profile)].join('');
const FORMS: Readonly<Record<string, (profile: Profile) => Uint8Array>> = {
  pprof: encodePprof,
  otlp: (profile) => encodeOtlp(profile),
  json: (profile) => Buffer.from(jsonOf(profile)),
};

interface Row {
  readonly pid: number;
  readonly trace_id: string | null;
  readonly span_id: string | null;
  readonly stack: readonly {
    readonly name: string;
    readonly file: string;
    readonly line: number;
  }[];
  readonly count: number;
}

/** Samples by what every form says of them. */
function samplesOf(profile: Profile): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { pid, trace_id, span_id, stack, count } of JSON.parse(jsonOf(profile))
    .samples as Row[]) {
    const frames = stack.map(({ name, file, line }) => `${name} ${file}:${line}`);
    const key = [pid, trace_id, span_id, ...frames].join(';');
    counts[key] = (counts[key] ?? 0) + count;
  }
  return Object.fromEntries(Object.entries(counts).sort());
}

test('what is written is read again: samples, ids, time, period and tally', () => {
  const profile = exampleProfile({ samples: 1_500, traces: 5 });
  for (const [form, write] of Object.entries(FORMS)) {
    const read = readProfile(write(profile));
    assert.deepEqual(samplesOf(read), samplesOf(profile), form);
    assert.equal(read.startTime, profile.startTime, form);
    assert.equal(read.duration, profile.duration, form);
    assert.equal(read.period, profile.period, form);
    assert.deepEqual(read.tally.lost, { ring_full: 7 }, form);
    assert.equal(read.tally.taken, profile.tally.taken, form);
    const types = new Set(read.locations.map(({ type }) => type));
    for (const type of ['kernel', 'go', 'rust', 'v8js'] as const) {
      assert.ok(types.has(type), `${form}: ${type}`);
    }
  }
});

test('processes keep their pids, and what service they state to be', () => {
  const plain = exampleProfile({ samples: 400 });
  const processes = plain.processes.map((process, at) => ({
    ...process,
    ...(at % 2 === 0 ? {} : { resource: [{ key: 'service.name', value: `shop-${at}` }] }),
  }));
  const profile = { ...plain, processes };
  const stated = new Map(processes.map((process) => [process.pid, statedService(process)]));
  for (const [form, write] of Object.entries(FORMS)) {
    const read = readProfile(write(profile)).processes;
    assert.equal(read.length, processes.length, form);
    for (const process of read) {
      assert.equal(statedService(process), stated.get(process.pid), form);
    }
  }
});

test('any profile: every form says the same of it', () => {
  fc.assert(
    fc.property(rawSamples, (samples) => {
      const profile = buildProfile(samples);
      const wanted = Object.values(samplesOf(profile)).reduce((sum, count) => sum + count, 0);
      for (const write of Object.values(FORMS)) {
        const read = Object.values(samplesOf(readProfile(write(profile))));
        assert.equal(
          read.reduce((sum, count) => sum + count, 0),
          wanted,
        );
      }
    }),
    fuzz,
  );
});

test('what is damaged or no profile is refused with a reason, and nothing else happens', () => {
  const profile = exampleProfile({ samples: 60, traces: 2 });
  for (const text of ['', '{}', '{', '<!doctype html>', 'main;a 1\n', '\0\0\0']) {
    assert.throws(() => readProfile(Buffer.from(text)), ProfileFileError, text);
  }
  const bombs = [gzipSync(Buffer.alloc(10)), Buffer.from([0x1f, 0x8b, 1])];
  for (const bomb of bombs) assert.throws(() => readProfile(bomb), ProfileFileError);
  for (const write of [FORMS.otlp!, FORMS.json!]) {
    const whole = write(profile);
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.boolean(), (at, byte, cut) => {
        const bytes = Buffer.from(cut ? whole.subarray(0, at) : whole);
        if (!cut) bytes[at] = byte;
        try {
          readProfile(bytes);
        } catch (error) {
          assert.ok(error instanceof ProfileFileError, String(error));
        }
      }),
      fuzz,
    );
  }
});
