/**
 * pprof files: https://github.com/google/pprof/blob/main/proto/profile.proto,
 * gzipped. Values are (samples, count) and (cpu, nanoseconds). The tally
 * travels as comments, one `flametap.tally.KEY=VALUE` each.
 */
import { gzipSync } from 'node:zlib';
import {
  Function as PprofFunction,
  Line as PprofLine,
  Location as PprofLocation,
  Mapping as PprofMapping,
  Profile as PprofProfile,
  StringTable,
  ValueType,
} from 'pprof-format';
import { type Frame, framesOf, isNamed } from './frame.ts';
import type { Location, Profile } from './model.ts';
import { encodeSamples, type PprofContent } from './pprof-samples.ts';
import { tallyLines } from './tally.ts';

/** The gzipped file, as `go tool pprof` reads it. */
export function encodePprof(profile: Profile): Uint8Array {
  return gzipSync(encodePprofMessage(profile));
}

/** The message before compression. */
export function encodePprofMessage(profile: Profile, content: PprofContent = 'file'): Uint8Array {
  const strings = new StringTable();
  const cpu = { type: strings.dedup('cpu'), unit: strings.dedup('nanoseconds') };
  const samples = { type: strings.dedup('samples'), unit: strings.dedup('count') };
  const locations = new LocationEncoder(profile, strings);
  // Before the rest, which ends with the table of all strings.
  const sampleFields = encodeSamples(profile, strings, content);
  const comments = content === 'file' ? tallyLines(profile.tally) : [];
  const rest = new PprofProfile({
    sampleType: (content === 'file' ? [samples, cpu] : [cpu]).map((type) => new ValueType(type)),
    location: profile.locations.map((location, index) => locations.encode(location, index + 1)),
    mapping: mainBinaryFirst(profile, encodeMappings(profile, strings)),
    function: locations.functions,
    timeNanos: profile.startTime,
    durationNanos: Math.round(profile.duration),
    periodType: new ValueType(cpu),
    period: Math.round(profile.period),
    comment: comments.map((line) => strings.dedup(line)),
    defaultSampleType: cpu.type,
    stringTable: strings,
  });
  const message = new Uint8Array(rest.length + sampleFields.length);
  rest.encode(message);
  message.set(sampleFields, message.length - sampleFields.length);
  return message;
}

class LocationEncoder {
  readonly functions: PprofFunction[] = [];
  readonly #profile: Profile;
  readonly #strings: StringTable;
  readonly #ids = new Map<string, number>();

  constructor(profile: Profile, strings: StringTable) {
    this.#profile = profile;
    this.#strings = strings;
  }

  /** Always with a line: viewers show nothing for a location without. */
  encode(location: Location, id: number): PprofLocation {
    return new PprofLocation({
      id,
      mappingId: location.mapping,
      address: location.type === 'kernel' ? kernelAddress(location.address) : location.address,
      line: framesOf(this.#profile, location).map(
        (frame, depth) =>
          new PprofLine({
            functionId: this.#function(frame),
            line: frame.line,
            column: location.lines[depth]?.column ?? 0,
          }),
      ),
    });
  }

  #function(frame: Frame): number {
    const name = this.#strings.dedup(frame.name);
    const systemName = this.#strings.dedup(frame.systemName);
    const filename = this.#strings.dedup(frame.file);
    const key = `${name} ${systemName} ${filename} ${frame.startLine}`;
    return cached(this.#ids, key, () => {
      const id = this.functions.length + 1;
      this.functions.push(
        new PprofFunction({ id, name, systemName, filename, startLine: frame.startLine }),
      );
      return id;
    });
  }
}

function encodeMappings(profile: Profile, strings: StringTable): PprofMapping[] {
  const features = profile.mappings.map(() => ({
    hasFunctions: false,
    hasFilenames: false,
    hasLineNumbers: false,
    hasInlineFrames: false,
    isKernel: false,
  }));
  for (const location of profile.locations) {
    const known = features[location.mapping]!;
    if (location.type === 'kernel') known.isKernel = true;
    if (!isNamed(profile, location)) continue;
    known.hasFunctions = true;
    if (location.lines.length > 1) known.hasInlineFrames = true;
    for (const line of location.lines) {
      if (line.line > 0) known.hasLineNumbers = true;
      if (profile.functions[line.function]!.file !== '') known.hasFilenames = true;
    }
  }
  return profile.mappings.slice(1).map((mapping, index) => {
    const { isKernel, ...has } = features[index + 1]!;
    const common = {
      ...has,
      id: index + 1,
      filename: strings.dedup(mapping.file),
      buildId: strings.dedup(mapping.buildId || mapping.goBuildId),
    };
    // Locations carry the file's own addresses, and so does the mapping: as if
    // the file had been loaded where it was linked. Tools find its code by that.
    // A mapping of the whole address space at offset 0 means the same to
    // pprof (elfexec.GetBase), but not to the disassembler of `go tool pprof`.
    const place = (address: number) => (isKernel ? kernelAddress(address) : address);
    return new PprofMapping({
      ...common,
      memoryStart: mapping.start === 0 ? 0 : place(mapping.start),
      memoryLimit: mapping.end === 0 ? wholeAddressSpace : place(mapping.end),
      fileOffset: mapping.end === 0 ? 0 : mapping.fileOffset,
    });
  });
}

/** pprof titles a profile by its first mapping: the executable with most samples, rather files than `[kernel]`. */
function mainBinaryFirst(profile: Profile, mappings: PprofMapping[]): PprofMapping[] {
  const perExecutable = new Map<string, number>();
  const { samples } = profile;
  for (let row = 0; row < samples.length; row++) {
    const { executable } = profile.processes[samples.process[row]!]!;
    perExecutable.set(executable, (perExecutable.get(executable) ?? 0) + samples.count[row]!);
  }
  const rank = (mapping: PprofMapping): number => {
    const { file } = profile.mappings[Number(mapping.id)]!;
    return file.startsWith('[') ? -1 : (perExecutable.get(file) ?? 0);
  };
  return mappings.sort((a, b) => rank(b) - rank(a));
}

const wholeAddressSpace = 0xffff_ffff_ffff_ffffn;

/** The model keeps the low 52 bits, the others are ones; 0 = not told. */
function kernelAddress(low: number): bigint {
  return low === 0 ? 0n : 0xfff0_0000_0000_0000n | BigInt(low);
}

function cached<Key, Value>(map: Map<Key, Value>, key: Key, compute: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) {
    value = compute();
    map.set(key, value);
  }
  return value;
}
