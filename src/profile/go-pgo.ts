/**
 * Profiles for `go build -pgo=FILE`. The compiler (cmd/internal/pgo) reads the
 * first of samples/count and cpu/nanoseconds, and knows a call by the linker's
 * names of caller and callee and by the line of the call counted from
 * Function.start_line. So names are the linker's, with full type arguments,
 * and stacks are those of Go's own profiler (go-pgo-stacks.ts).
 *
 * No labels, pids or host: such files are checked in beside the source, and
 * equal stacks of many processes become one sample.
 */
import { gzipSync } from 'node:zlib';
import {
  Function as PprofFunction,
  Line as PprofLine,
  Location as PprofLocation,
  Mapping as PprofMapping,
  Profile as PprofProfile,
  Sample as PprofSample,
  StringTable,
  ValueType,
} from 'pprof-format';
import { type GoLocation, GoStacks } from './go-pgo-stacks.ts';
import type { Profile } from './model.ts';

/** A Go binary that samples are from; two builds of one path are two. */
export interface GoProgram {
  /** Path as its processes see it. */
  readonly file: string;
  readonly processes: number;
  readonly samples: number;
}

export interface GoPgoProfile {
  /** The gzipped file. */
  readonly bytes: Uint8Array;
  readonly samples: number;
  /** Most samples first; empty when no sample has Go code on its stack. */
  readonly programs: readonly GoProgram[];
}

/** All Go programs of a profile merged into one; everything else is left out. */
export function encodeGoPgo(profile: Profile): GoPgoProfile {
  const stacks = new GoStacks(profile);
  const encoder = new Encoder(profile);
  const merged = new Map<string, { locationId: number[]; count: number }>();
  const programs = new Map<number, { processes: Set<number>; samples: number }>();
  const { samples: rows } = profile;
  let samples = 0;
  for (let row = 0; row < rows.length; row++) {
    const count = rows.count[row]!;
    const stack = stacks.of(rows.stack[row]!);
    if (count === 0 || stack.length === 0) continue;
    samples += count;
    const locationId = stack.map((location) => encoder.location(location));
    const key = locationId.join();
    const sample = merged.get(key) ?? { locationId, count: 0 };
    merged.set(key, sample);
    sample.count += count;
    const { mapping } = stack[0]!.location;
    const program = programs.get(mapping) ?? { processes: new Set(), samples: 0 };
    programs.set(mapping, program);
    program.processes.add(rows.process[row]!);
    program.samples += count;
  }
  return {
    bytes: gzipSync(encoder.message([...merged.values()])),
    samples,
    programs: [...programs]
      .map(([mapping, { processes, samples: own }]) => ({
        file: profile.mappings[mapping]?.file ?? '',
        processes: processes.size,
        samples: own,
      }))
      .sort((a, b) => b.samples - a.samples),
  };
}

class Encoder {
  readonly #profile: Profile;
  readonly #strings = new StringTable();
  readonly #locations = new Map<number, PprofLocation>();
  readonly #functions = new Map<number, PprofFunction>();
  readonly #mappings = new Map<number, PprofMapping>();

  constructor(profile: Profile) {
    this.#profile = profile;
  }

  /** @returns its id */
  location({ key, location, lines }: GoLocation): number {
    let known = this.#locations.get(key);
    if (!known) {
      known = new PprofLocation({
        id: this.#locations.size + 1,
        mappingId: this.#mapping(location.mapping),
        address: location.address,
        line: lines.map(
          ({ function: index, line }) => new PprofLine({ functionId: this.#function(index), line }),
        ),
      });
      this.#locations.set(key, known);
    }
    return Number(known.id);
  }

  message(samples: readonly { readonly locationId: number[]; readonly count: number }[]) {
    const { startTime, duration, period } = this.#profile;
    const text = (value: string) => this.#strings.dedup(value);
    const cpu = { type: text('cpu'), unit: text('nanoseconds') };
    const periodNs = Math.round(period);
    return new PprofProfile({
      sampleType: [
        new ValueType({ type: text('samples'), unit: text('count') }),
        new ValueType(cpu),
      ],
      sample: samples.map(
        ({ locationId, count }) =>
          new PprofSample({ locationId, value: [count, BigInt(count) * BigInt(periodNs)] }),
      ),
      mapping: [...this.#mappings.values()],
      location: [...this.#locations.values()],
      function: [...this.#functions.values()],
      timeNanos: startTime,
      durationNanos: Math.round(duration),
      periodType: new ValueType(cpu),
      period: periodNs,
      defaultSampleType: cpu.type,
      stringTable: this.#strings,
    }).encode();
  }

  #function(index: number): number {
    let known = this.#functions.get(index);
    if (!known) {
      const { systemName, file, startLine } = this.#profile.functions[index]!;
      const name = this.#strings.dedup(systemName);
      known = new PprofFunction({
        id: this.#functions.size + 1,
        name,
        systemName: name,
        filename: this.#strings.dedup(file),
        startLine,
      });
      this.#functions.set(index, known);
    }
    return Number(known.id);
  }

  #mapping(index: number): number {
    if (index === 0) return 0;
    let known = this.#mappings.get(index);
    if (!known) {
      const { file, buildId, goBuildId } = this.#profile.mappings[index]!;
      known = new PprofMapping({
        id: this.#mappings.size + 1,
        // Addresses are the file's own: pprof takes this for "already adjusted".
        memoryLimit: 0xffff_ffff_ffff_ffffn,
        filename: this.#strings.dedup(file),
        buildId: this.#strings.dedup(buildId || goBuildId),
        hasFunctions: true,
        hasFilenames: true,
        hasLineNumbers: true,
        hasInlineFrames: true,
      });
      this.#mappings.set(index, known);
    }
    return Number(known.id);
  }
}
