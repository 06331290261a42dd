/** Divides a pprof message of ours by samples. */
import { type Location, Profile, type Sample, StringTable } from 'pprof-format';

/**
 * The later half starts as many nanoseconds later as the first has samples: see
 * `Series.part`. Undefined for a profile of one sample.
 * @param message not compressed
 */
export function halvesOfPprof(message: Uint8Array): readonly Uint8Array[] | undefined {
  const { sample } = Profile.decode(message);
  if (sample.length < 2) return undefined;
  const middle = Math.ceil(sample.length / 2);
  // Decoded anew for each: encoding renumbers the strings in place.
  return [
    encodePart(Profile.decode(message), 0, middle),
    encodePart(Profile.decode(message), middle, sample.length),
  ];
}

function encodePart(whole: Profile, first: number, end: number): Uint8Array {
  const samples = whole.sample.slice(first, end);
  const locations = whole.location.filter(usedBy(samples.flatMap((one) => one.locationId)));
  const functions = whole.function.filter(usedBy(functionsOf(locations)));
  const mappings = whole.mapping.filter(usedBy(locations.map((one) => one.mappingId)));
  const strings = new StringTable();
  const moved = (index: number | bigint): number =>
    strings.dedup(whole.stringTable.strings[Number(index)]!);
  for (const type of [...whole.sampleType, whole.periodType!]) {
    type.type = moved(type.type);
    type.unit = moved(type.unit);
  }
  for (const label of samples.flatMap((one: Sample) => one.label)) {
    label.key = moved(label.key);
    label.str = moved(label.str);
  }
  for (const mapping of mappings) {
    mapping.filename = moved(mapping.filename);
    mapping.buildId = moved(mapping.buildId);
  }
  for (const called of functions) {
    called.name = moved(called.name);
    called.systemName = moved(called.systemName);
    called.filename = moved(called.filename);
  }
  return new Profile({
    sampleType: whole.sampleType,
    sample: samples,
    mapping: mappings,
    location: locations,
    function: functions,
    timeNanos: BigInt(whole.timeNanos) + BigInt(first),
    durationNanos: whole.durationNanos,
    periodType: whole.periodType!,
    period: whole.period,
    defaultSampleType: moved(whole.defaultSampleType),
    comment: whole.comment.map(moved),
    stringTable: strings,
  }).encode();
}

function functionsOf(locations: readonly Location[]): readonly (number | bigint)[] {
  return locations.flatMap((location) => location.line.map((line) => line.functionId));
}

function usedBy(ids: readonly (number | bigint)[]): (entry: { id: number | bigint }) => boolean {
  const used = new Set(ids.map(Number));
  return (entry) => used.has(Number(entry.id));
}
