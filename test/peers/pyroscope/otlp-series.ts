/**
 * OTLP profiles as Pyroscope turns them into series. (run) as in rules.ts. What is not
 * here: dangling indices, other types of samples than ours, timestamps.
 */
import type {
  AnyValue,
  Dictionary,
  OtlpProfile,
  Request,
  Sample,
} from '../../../src/profile/otlp-messages.test-support.ts';
import type { PushedProfile, PushedSample } from './pushed-profile.ts';

export interface OtlpSeries {
  /** Names may be there twice, which is an error. */
  readonly labels: readonly (readonly [name: string, value: string])[];
  readonly profile: PushedProfile;
}

/** Bytes of a sample, a frame of a stack and a location in the pprof that it becomes, about. */
const SAMPLE_BYTES = 12;
const FRAME_BYTES = 2;
const LOCATION_BYTES = 30;

export function seriesOfOtlp({ resource_profiles: resources, dictionary }: Request): OtlpSeries[] {
  return resources.flatMap(({ resource, scope_profiles: scopes }) => {
    const attributes = (resource?.attributes ?? []).flatMap(({ key, value }) => label(key, value));
    // (run) Keys stay as they are; these four are added and count.
    const labels = [
      ['__name__', 'process_cpu'] as const,
      ['__delta__', 'false'] as const,
      ['__otel__', 'true'] as const,
      ['service_name', new Map(attributes).get('service.name') ?? 'unknown_service'] as const,
      ...attributes,
    ];
    return scopes.flatMap(({ profiles }) =>
      profiles.map((profile) => ({ labels, profile: convert(profile, dictionary!) })),
    );
  });
}

/** (run) Texts and whole numbers only. */
function label(key: string, value: AnyValue | null): [string, string][] {
  const text = value?.string_value ?? value?.int_value?.toString();
  return text === undefined ? [] : [[key, text]];
}

/** (run) samples of CPU time: process_cpu:cpu:nanoseconds:cpu:nanoseconds, values times period. */
function convert(profile: OtlpProfile, dictionary: Dictionary): PushedProfile {
  const cpu = { type: 'cpu', unit: 'nanoseconds' };
  const used = new Set<number>();
  const samples = profile.samples.map((sample): PushedSample => {
    const { location_indices: locations } = dictionary.stack_table[sample.stack_index]!;
    for (const location of locations) used.add(location);
    return {
      stack: locations.flatMap((location) => framesOf(location, dictionary)),
      values: sample.values.map((value) => Number(value * profile.period)),
      labels: labelsOf(sample, dictionary),
    };
  });
  // (run) Each profile gets all names that it uses: 215 kB for sixty processes with the
  // same names became 4.3 MB, and were more than the burst.
  let bytes = samples.reduce(
    (sum, { stack }) => sum + SAMPLE_BYTES + FRAME_BYTES * stack.length,
    0,
  );
  const names = new Set([...used].flatMap((location) => framesOf(location, dictionary)));
  for (const name of names) bytes += LOCATION_BYTES + Buffer.byteLength(name);
  return { timeNs: profile.time_unix_nano, types: [cpu], period: cpu, samples, bytes };
}

function framesOf(location: number, { location_table, function_table, string_table }: Dictionary) {
  return location_table[location]!.lines.map(
    (line) => string_table[function_table[line.function_index]!.name_strindex]!,
  );
}

/** (run) Attributes make series, links are columns; index 0 is no link. */
function labelsOf(sample: Sample, dictionary: Dictionary): ReadonlyMap<string, string> {
  const labels = new Map(
    sample.attribute_indices.flatMap((index) => {
      const { key_strindex: key, value } = dictionary.attribute_table[index]!;
      return label(dictionary.string_table[key]!, value);
    }),
  );
  if (sample.link_index !== 0) {
    const { trace_id: trace, span_id: span } = dictionary.link_table[sample.link_index]!;
    labels.set('trace_id', Buffer.from(trace).toString('hex'));
    labels.set('span_id', Buffer.from(span).toString('hex'));
  }
  return labels;
}
