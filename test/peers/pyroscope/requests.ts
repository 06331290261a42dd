/** Profiles for a Pyroscope, and push requests that are made by hand. */
import {
  Label,
  Line,
  Location,
  Profile as Pprof,
  Function as PprofFunction,
  Sample,
  StringTable,
  ValueType,
} from 'pprof-format';
import { buildProfile, plainSample } from '../../../src/profile/fixture.test-support.ts';
import type { Profile } from '../../../src/profile/model.ts';
import { unixTime } from '../../../src/units/units.ts';

/** A real one keeps what earlier runs have sent. */
const run = `t${Date.now().toString(36)}`;
/** Of a sample, nanoseconds. */
export const period = 10_101_010;

/** Comm holds 15 bytes. */
export const serviceOf = (test: string): string => `${run}${test}`.slice(-15);

/** Processes of the service are called by the test. */
export function profileOf(service: string, rows = 3): Profile {
  const samples = Array.from({ length: rows }, (_, i) => ({
    ...plainSample,
    comm: service,
    user: [0x1001, 0x2000 + i],
    weight: 1 + i,
  }));
  return { ...buildProfile(samples), startTime: unixTime(BigInt(Date.now()) * 1_000_000n) };
}

export type Pair = [name: string, value: string];
export const named = (service: string): Pair[] => [
  ['__name__', 'process_cpu'],
  ['service_name', service],
];

export interface Shape {
  readonly samples?: number;
  readonly timeMs?: number;
  readonly values?: number[];
  readonly padding?: number;
  readonly label?: Pair;
  readonly type?: string;
}

export function pprof(shape: Shape = {}): Uint8Array {
  const { samples = 1, timeMs = Date.now(), values = [1000], padding = 0, label } = shape;
  const strings = new StringTable();
  const type = { type: strings.dedup(shape.type ?? 'cpu'), unit: strings.dedup('nanoseconds') };
  const ids = Array.from({ length: samples }, (_, i) => i + 1);
  const labels = label
    ? [new Label({ key: strings.dedup(label[0]), str: strings.dedup(label[1]) })]
    : [];
  return new Pprof({
    sampleType: [new ValueType(type)],
    sample: ids.map((id) => new Sample({ locationId: [id], value: values, label: labels })),
    location: ids.map((id) => new Location({ id, line: [new Line({ functionId: id, line: 1 })] })),
    function: ids.map(
      (id) => new PprofFunction({ id, name: strings.dedup(`f${id}${'x'.repeat(padding)}`) }),
    ),
    timeNanos: BigInt(timeMs) * 1_000_000n,
    durationNanos: 10_000_000_000,
    periodType: new ValueType(type),
    period: 1,
    stringTable: strings,
  }).encode();
}
