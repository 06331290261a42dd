/** OTLP requests as multisets of samples that can be compared whatever their tables look like. */
import {
  type AnyValue,
  type Dictionary,
  decodeRequest,
  type KeyValue,
  type Request,
  requestType,
  type Sample,
} from '../../src/profile/otlp-messages.test-support.ts';

const type = requestType();

/**
 * Values by everything that tells samples apart: resource, types, period, stack
 * with all that is known of its frames, attributes, link. What was split over
 * requests is one again; indices, times and profile ids play no part.
 */
export function sampleValues(requests: Iterable<Uint8Array>): Map<string, bigint> {
  const values = new Map<string, bigint>();
  for (const bytes of requests) {
    for (const [key, value] of samplesOf(decodeRequest(type, bytes))) {
      values.set(key, (values.get(key) ?? 0n) + value);
    }
  }
  return values;
}

export const sumOfValues = (values: ReadonlyMap<string, bigint>): number =>
  Number([...values.values()].reduce((sum, value) => sum + value, 0n));

function* samplesOf(request: Request): Generator<[string, bigint]> {
  if (request.dictionary === null) throw new Error('a request without dictionary');
  const tables = new Tables(request.dictionary);
  for (const { resource, scope_profiles } of request.resource_profiles) {
    const attributes = tables.inline(resource?.attributes ?? []);
    for (const { profiles } of scope_profiles) {
      for (const { sample_type, period_type, period, samples } of profiles) {
        const types = [sample_type, period_type].map((one) => [
          tables.text(one?.type_strindex ?? 0),
          tables.text(one?.unit_strindex ?? 0),
        ]);
        for (const sample of samples) {
          const key = [attributes, types, period, ...tables.sample(sample)];
          yield [JSON.stringify(key, plain), sample.values.reduce((sum, one) => sum + one, 0n)];
        }
      }
    }
  }
}

class Tables {
  readonly #dictionary: Dictionary;
  /** By index: most stacks are asked for once, locations often. */
  readonly #locations = new Map<number, unknown>();

  constructor(dictionary: Dictionary) {
    this.#dictionary = dictionary;
  }

  sample({ stack_index, attribute_indices, link_index }: Sample): unknown[] {
    const stack = at(this.#dictionary.stack_table, stack_index).location_indices;
    const link = at(this.#dictionary.link_table, link_index);
    return [
      stack.map((index) => this.#location(index)),
      this.#attributes(attribute_indices),
      [link.trace_id, link.span_id].map((id) => identifier(id)),
    ];
  }

  /** Attributes of resources: keys and values are there, or indices of them. */
  inline(attributes: readonly KeyValue[]): unknown {
    return sorted(
      attributes.map(({ key, key_strindex, value }) => [
        key === '' ? this.text(key_strindex) : key,
        this.#value(value),
      ]),
    );
  }

  text(index: number): string {
    return at(this.#dictionary.string_table, index);
  }

  #location(index: number): unknown {
    let found = this.#locations.get(index);
    if (found === undefined) {
      const { mapping_index, address, lines, attribute_indices } = at(
        this.#dictionary.location_table,
        index,
      );
      const mapping = at(this.#dictionary.mapping_table, mapping_index);
      found = [
        address,
        lines.map(({ function_index, line, column }) => {
          const called = at(this.#dictionary.function_table, function_index);
          const names = [
            called.name_strindex,
            called.system_name_strindex,
            called.filename_strindex,
          ];
          return [...names.map((name) => this.text(name)), called.start_line, line, column];
        }),
        this.#attributes(attribute_indices),
        [mapping.memory_start, mapping.memory_limit, mapping.file_offset],
        this.text(mapping.filename_strindex),
        this.#attributes(mapping.attribute_indices),
      ];
      this.#locations.set(index, found);
    }
    return found;
  }

  #attributes(indices: readonly number[]): unknown {
    return sorted(
      indices.map((index) => {
        const { key_strindex, value, unit_strindex } = at(this.#dictionary.attribute_table, index);
        return [this.text(key_strindex), this.#value(value), this.text(unit_strindex)];
      }),
    );
  }

  #value(value: AnyValue | null): unknown {
    const { string_value_strindex, ...others } = value ?? {};
    if (!string_value_strindex) return others;
    return { string_value: this.text(string_value_strindex) };
  }
}

/** The Collector spells "none" in zeros. */
const identifier = (id: Uint8Array): string =>
  id.every((byte) => byte === 0) ? '' : Buffer.from(id).toString('hex');

function at<Entry>(table: readonly Entry[], index: number): Entry {
  const entry = table[index];
  if (entry === undefined) throw new Error(`index ${index} of a table of ${table.length}`);
  return entry;
}

const sorted = (rows: unknown[][]): unknown[][] =>
  rows.sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1));

const plain = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? String(value) : value;

/** What one has and the other has not, a few lines of it; empty when they are equal. */
export function differences(
  ours: ReadonlyMap<string, bigint>,
  theirs: ReadonlyMap<string, bigint>,
): string[] {
  const missing = (from: typeof ours, to: typeof ours, mark: string): string[] =>
    [...from]
      .filter(([key, value]) => to.get(key) !== value)
      .map(
        ([key, value]) =>
          `${mark} ${value} x ${key.length > 900 ? `${key.slice(0, 500)} … ${key.slice(-400)}` : key}`,
      );
  const [left, right] = [missing(ours, theirs, '-'), missing(theirs, ours, '+')];
  const count = left.length + right.length;
  return count === 0 ? [] : [`${count} of ${ours.size}`, ...left.slice(0, 2), ...right.slice(0, 2)];
}
