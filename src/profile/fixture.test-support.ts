/**
 * Samples as the kernel side would send them, and a resolver that invents
 * names. For tests only.
 */

import type { SourceLine } from '../symbolize/source-line.ts';
import { nanoseconds, unixTime } from '../units/units.ts';
import { type AddressCollection, collectAddresses, KERNEL_INSTANCE } from './address-collection.ts';
import { type Aggregated, Aggregator } from './aggregator.ts';
import { type Answers, type BuilderOptions, ProfileBuilder, type ProfileFacts } from './builder.ts';
import type { Profile } from './model.ts';
import type { ResolvedLocation } from './profile-tables.ts';

export interface RawSample {
  readonly pid: number;
  readonly startLow: number;
  readonly startHigh: number;
  readonly execId: number;
  readonly comm: string;
  readonly thread: string;
  readonly layout: number;
  readonly end: number;
  readonly labels: number;
  /** Low 32 bits, leaf first. */
  readonly kernel: readonly number[];
  readonly user: readonly number[];
  readonly weight: number;
}

export const plainSample: RawSample = {
  pid: 42,
  startLow: 1000,
  startHigh: 0,
  execId: 1,
  comm: 'app',
  thread: 'worker',
  layout: 1,
  end: 0,
  labels: 0,
  kernel: [],
  user: [0x1001, 0x1002],
  weight: 1,
};

export function aggregate(
  samples: readonly RawSample[],
  aggregator: Aggregator = new Aggregator({ maxBytes: 64 * 2 ** 20 }),
): Aggregated {
  for (const sample of samples) addSample(aggregator, sample);
  return aggregator.drain();
}

export function addSample(aggregator: Aggregator, sample: RawSample): boolean {
  const instance = aggregator.instance(
    sample.pid,
    sample.startLow,
    sample.startHigh,
    sample.execId,
    aggregator.comm(commOf(sample.comm), 0),
  );
  // One word before, so that offsets matter; the leaf user address is an exact pc.
  const words = [0xdead];
  for (const low of sample.kernel) words.push(low, 0xffff_ffff);
  sample.user.forEach((low, depth) => {
    words.push(low, depth === 0 ? 0x8000_7f00 : 0x7f00);
  });
  return aggregator.add(
    instance,
    sample.layout,
    sample.end,
    aggregator.comm(commOf(sample.thread), 0),
    sample.labels,
    Uint32Array.from(words),
    1,
    sample.kernel.length,
    sample.user.length,
    sample.weight,
  );
}

export function commOf(name: string): Uint32Array {
  const bytes = new Uint8Array(16);
  bytes.set(new TextEncoder().encode(name).subarray(0, 15));
  return new Uint32Array(bytes.buffer);
}

export function sourceLine(name: string, line = 0, file = ''): SourceLine {
  return { name, systemName: '', file, line, column: 0, startLine: line === 0 ? 0 : 1 };
}

/** By the low word of the address; undefined = nothing is known of it. */
export type NameAddress = (low: number) => readonly SourceLine[] | undefined;

/** Every third address has an inlined call, every fifth no name. */
export const inventNames: NameAddress = (low) => {
  if (low % 5 === 0) return [];
  const called = sourceLine(`f${low}`, 10 + (low % 7), 'app.c');
  return low % 3 === 0 ? [sourceLine(`inlined${low}`, 3, 'app.h'), called] : [called];
};

export function answer(
  aggregated: Aggregated,
  collection: AddressCollection,
  names: NameAddress = inventNames,
): Answers {
  const { queries } = collection;
  const locations: (ResolvedLocation | undefined)[] = [];
  for (let query = 0; query < queries.length; query++) {
    const low = queries.low[query]!;
    const lines = names(low);
    const isKernel = queries.instance[query] === KERNEL_INSTANCE;
    const instance = aggregated.instances[queries.instance[query]!];
    const file = isKernel ? '[kernel]' : `/usr/bin/app-${instance?.pid}`;
    locations.push(
      lines && {
        mapping: {
          start: isKernel ? 0 : 0x1000,
          end: isKernel ? 0 : 0x5_0000,
          fileOffset: 0x1000,
          file,
          buildId: isKernel ? '' : 'c0ffee',
          goBuildId: '',
        },
        address: isKernel ? 0xf_ffff_8100_0000 + low : low,
        type: isKernel ? 'kernel' : 'native',
        lines,
      },
    );
  }
  return { locations, labelSets: fixtureLabelSets };
}

export const fixtureLabelSets = [
  [],
  [
    { key: 'trace_id', value: '0123456789abcdef0123456789abcdef' },
    { key: 'span_id', value: '0123456789abcdef' },
  ],
  [{ key: 'endpoint', value: '/cart' }],
];

export const fixtureFacts: ProfileFacts = {
  startTime: unixTime(1_790_000_000_000_000_001n),
  duration: nanoseconds(10_000_000_000),
  period: nanoseconds(10_101_010),
  host: 'web-1',
};

export function buildProfile(
  samples: readonly RawSample[],
  options: BuilderOptions = { threads: false },
  names: NameAddress = inventNames,
): Profile {
  const aggregated = aggregate(samples);
  const collection = collectAddresses(aggregated);
  const builder = new ProfileBuilder(options);
  builder.add(aggregated, collection, answer(aggregated, collection, names));
  return builder.finish(fixtureFacts);
}
