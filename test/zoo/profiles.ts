/** The profiles that an agent wrote, as what the zoo asks of them: stacks with ids, by process, and the tally. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type AnyValue,
  type Dictionary,
  decodeRequest,
  type OtlpProfile,
  requestType,
} from '../../src/profile/otlp-messages.test-support.ts';

export interface StackFrame {
  readonly name: string;
  readonly file: string;
  /** Such as `native`, `kernel`, `v8js`. */
  readonly type: string;
  readonly module: string;
}

export interface ReadSample {
  readonly pid: number;
  /** Leaf first. */
  readonly stack: readonly StackFrame[];
  /** 32 hex digits; '' = none. */
  readonly traceId: string;
  readonly spanId: string;
  readonly count: number;
}

export interface ReadProfile {
  /** Milliseconds of the wall clock. */
  readonly from: number;
  readonly to: number;
  readonly samples: readonly ReadSample[];
  /** Such as `taken`, `lost.ring_full`, `problems.perf_map_line_malformed`. */
  readonly tally: Readonly<Record<string, number>>;
}

const TALLY = 'flametap.tally.';

/** Requests in a folder of the exporter `files` with format otlp, in the order of their names. */
export function* readProfiles(folder: string): Generator<ReadProfile> {
  const type = requestType();
  for (const name of readdirSync(folder).sort()) {
    if (name.startsWith('.')) continue;
    const request = decodeRequest(type, readFileSync(join(folder, name)));
    if (request.dictionary === null) continue;
    const reader = new Reader(request.dictionary);
    const samples: ReadSample[] = [];
    const tally: Record<string, number> = {};
    let [from, to] = [Number.POSITIVE_INFINITY, 0];
    for (const { resource, scope_profiles } of request.resource_profiles) {
      const pid = Number(
        resource?.attributes.find(({ key }) => key === 'process.pid')?.value?.int_value ?? 0n,
      );
      for (const profile of scope_profiles.flatMap(({ profiles }) => profiles)) {
        const began = Number(profile.time_unix_nano / 1_000_000n);
        from = Math.min(from, began);
        to = Math.max(to, began + Number(profile.duration_nano / 1_000_000n));
        for (const [key, value] of reader.numbers(profile.attribute_indices)) {
          if (key.startsWith(TALLY)) tally[key.slice(TALLY.length)] = value;
        }
        samples.push(...reader.samples(profile, pid));
      }
    }
    yield { from, to, samples, tally };
  }
}

class Reader {
  readonly #dictionary: Dictionary;
  readonly #locations = new Map<number, readonly StackFrame[]>();

  constructor(dictionary: Dictionary) {
    this.#dictionary = dictionary;
  }

  samples({ samples }: OtlpProfile, pid: number): ReadSample[] {
    return samples.map(({ stack_index, link_index, values }) => {
      const stack = this.#dictionary.stack_table[stack_index]!.location_indices;
      const link = this.#dictionary.link_table[link_index]!;
      return {
        pid,
        stack: stack.flatMap((index) => this.#location(index)),
        traceId: identifier(link.trace_id),
        spanId: identifier(link.span_id),
        count: Number(values.reduce((sum, value) => sum + value, 0n)),
      };
    });
  }

  *numbers(indices: readonly number[]): Generator<[string, number]> {
    for (const [key, value] of this.#attributes(indices)) {
      if (value?.int_value !== undefined) yield [key, Number(value.int_value)];
    }
  }

  #location(index: number): readonly StackFrame[] {
    const known = this.#locations.get(index);
    if (known) return known;
    const { string_table, function_table, location_table, mapping_table } = this.#dictionary;
    const location = location_table[index]!;
    const module = string_table[mapping_table[location.mapping_index]!.filename_strindex]!;
    let type = '';
    for (const [key, value] of this.#attributes(location.attribute_indices)) {
      if (key !== 'profile.frame.type') continue;
      type = value?.string_value ?? string_table[value?.string_value_strindex ?? 0]!;
    }
    const frames = location.lines.map(({ function_index }) => {
      const called = function_table[function_index]!;
      const [name, file] = [called.name_strindex, called.filename_strindex];
      return { name: string_table[name]!, file: string_table[file]!, type, module };
    });
    const all = frames.length > 0 ? frames : [{ name: '', file: '', type, module }];
    this.#locations.set(index, all);
    return all;
  }

  *#attributes(indices: readonly number[]): Generator<[string, AnyValue | null]> {
    const { attribute_table, string_table } = this.#dictionary;
    for (const index of indices) {
      const { key_strindex, value } = attribute_table[index]!;
      yield [string_table[key_strindex]!, value];
    }
  }
}

const identifier = (id: Uint8Array): string =>
  id.every((byte) => byte === 0) ? '' : Buffer.from(id).toString('hex');
