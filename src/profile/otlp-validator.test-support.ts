/**
 * Checks an ExportProfilesServiceRequest against everything that the protocol
 * asks for and what Pyroscope and the Collector silently lose or refuse. The
 * Collector itself accepts nearly all of it and is no judge. For tests only.
 */
import type {
  AnyValue,
  Dictionary,
  KeyValue,
  OtlpProfile,
  Request,
  ResourceProfiles,
  Sample,
} from './otlp-messages.test-support.ts';
import { loadMessages, requestType } from './otlp-messages.test-support.ts';
import { type Report, readStrict } from './strict-protobuf.test-support.ts';

const messages = loadMessages();

/** Limits of Pyroscope: a series with more or longer labels is refused; 4 of 30 labels are its own. */
const MAX_LABELS = 26;
const MAX_VALUE_BYTES = 2048;
const MAX_KEY_BYTES = 1024;
const MAX_TEXT_BYTES = 65_535;
const MAX_SAMPLES = 16_000;

const TABLES = [
  'mapping_table',
  'location_table',
  'function_table',
  'link_table',
  'string_table',
  'attribute_table',
  'stack_table',
] as const satisfies readonly (keyof Dictionary)[];
type Table = (typeof TABLES)[number];

/** What is wrong with a request, as `rule at path`; none for a good one. */
export function violations(bytes: Uint8Array): string[] {
  const found: string[] = [];
  const report: Report = (rule, path) => found.push(`${rule} at ${path}`);
  // Not as a Buffer, which JSON would write in a form of its own.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  const request = readStrict(requestType(messages), plain, report) as unknown as Request;
  if (request.dictionary === null) report('no_dictionary', '');
  else new Validator(request, request.dictionary, report).check();
  return found;
}

class Validator {
  readonly #request: Request;
  readonly #dictionary: Dictionary;
  readonly #report: Report;
  /** Entries of each table that something refers to. */
  readonly #used: Readonly<Record<Table, Set<number>>>;
  readonly #profileIds = new Set<string>();

  constructor(request: Request, dictionary: Dictionary, report: Report) {
    this.#request = request;
    this.#dictionary = dictionary;
    this.#report = report;
    this.#used = Object.fromEntries(
      TABLES.map((table) => [table, new Set([0])]),
    ) as unknown as Record<Table, Set<number>>;
  }

  check(): void {
    this.#checkTables();
    for (const [index, ofResource] of this.#request.resource_profiles.entries()) {
      this.#checkResource(ofResource, `resource_profiles[${index}]`);
    }
    for (const table of TABLES) {
      for (let index = 1; index < this.#dictionary[table].length; index++) {
        if (!this.#used[table].has(index)) this.#report('orphan', `${table}[${index}]`);
      }
    }
  }

  #checkTables(): void {
    for (const table of TABLES) {
      const entries: readonly unknown[] = this.#dictionary[table];
      const seen = new Set<string>();
      for (const [index, entry] of entries.entries()) {
        const identity = identityOf(entry);
        if (seen.has(identity)) this.#report('duplicate', `${table}[${index}]`);
        seen.add(identity);
      }
      if (entries.length === 0 || !isZero(table, entries[0])) this.#report('zero_entry', table);
    }
    for (const [index, text] of this.#dictionary.string_table.entries()) {
      if (Buffer.byteLength(text) > MAX_TEXT_BYTES) {
        this.#report('long_text', `string_table[${index}]`);
      }
    }
    this.#dictionary.attribute_table.forEach((entry, index) => {
      if (index > 0) this.#checkAttribute(entry, `attribute_table[${index}]`);
    });
    this.#dictionary.link_table.forEach(({ trace_id, span_id }, index) => {
      const isWhole = trace_id.length === 16 && span_id.length === 8;
      if (!isWhole) this.#report('link_length', `link_table[${index}]`);
      // Pyroscope takes zeros for an id.
      const isHalf = index > 0 && [trace_id, span_id].some((id) => id.every((byte) => byte === 0));
      if (isHalf) this.#report('half_link', `link_table[${index}]`);
    });
    this.#checkCode();
  }

  #checkAttribute(entry: Dictionary['attribute_table'][number], path: string): void {
    const key = this.#text(entry.key_strindex, `${path}.key_strindex`);
    if (key === '') this.#report('no_key', path);
    if (Buffer.byteLength(key) > MAX_KEY_BYTES) this.#report('long_key', path);
    this.#text(entry.unit_strindex, `${path}.unit_strindex`);
    this.#checkValue(entry.value, path);
  }

  #checkCode(): void {
    const { mapping_table, location_table, function_table, stack_table } = this.#dictionary;
    mapping_table.forEach((mapping, index) => {
      if (index > 0) this.#checkMapping(mapping, `mapping_table[${index}]`);
    });
    location_table.forEach((location, index) => {
      if (index > 0) this.#checkLocation(location, `location_table[${index}]`);
    });
    function_table.forEach((called, index) => {
      if (index === 0) return;
      const path = `function_table[${index}]`;
      if (this.#text(called.name_strindex, path) === '') this.#report('no_name', path);
      this.#text(called.system_name_strindex, path);
      this.#text(called.filename_strindex, path);
      if (called.start_line < 0n) this.#report('line_number', path);
    });
    stack_table.forEach(({ location_indices }, index) => {
      const path = `stack_table[${index}]`;
      if (index > 0 && location_indices.length === 0) this.#report('empty_stack', path);
      for (const location of location_indices) {
        this.#use('location_table', location, path);
        if (location === 0) this.#report('empty_location', path);
      }
    });
  }

  #checkMapping(mapping: Dictionary['mapping_table'][number], path: string): void {
    const file = this.#text(mapping.filename_strindex, path);
    if (mapping.memory_limit <= mapping.memory_start) this.#report('mapping_range', path);
    const keys = this.#attributes(mapping.attribute_indices, path);
    // What is in brackets is no file and has none.
    const isFile = !file.startsWith('[');
    const ids = ['gnu', 'go', 'htlhash'].map((kind) => `process.executable.build_id.${kind}`);
    if (isFile && !ids.some((key) => keys.has(key))) this.#report('build_id', path);
  }

  #checkLocation(location: Dictionary['location_table'][number], path: string): void {
    this.#use('mapping_table', location.mapping_index, path);
    const mapping = this.#dictionary.mapping_table[location.mapping_index];
    if (mapping !== undefined && location.mapping_index > 0) {
      const { address } = location;
      // A limit of all ones stands for the end of the address space.
      const isInside = address >= mapping.memory_start && address <= mapping.memory_limit;
      if (!isInside) this.#report('address_range', path);
    }
    if (location.lines.length === 0) this.#report('empty_location', path);
    for (const { function_index, line, column } of location.lines) {
      this.#use('function_table', function_index, path);
      if (function_index === 0) this.#report('no_function', path);
      if (line < 0n || column < 0n) this.#report('line_number', path);
    }
    const keys = this.#attributes(location.attribute_indices, path);
    if (!keys.has('profile.frame.type')) this.#report('frame_type', path);
  }

  #checkResource({ resource, scope_profiles }: ResourceProfiles, path: string): void {
    const attributes = resource?.attributes ?? [];
    const keys = this.#keyValues(attributes, path);
    if (!keys.has('service.name')) this.#report('service_name', path);
    if (scope_profiles.length === 0) this.#report('empty_envelope', path);
    for (const [index, { scope, profiles }] of scope_profiles.entries()) {
      const place = `${path}.scope_profiles[${index}]`;
      if (profiles.length === 0) this.#report('empty_envelope', place);
      const ofScope = this.#keyValues(scope?.attributes ?? [], place);
      const times = new Set<bigint>();
      for (const [nth, profile] of profiles.entries()) {
        const here = `${place}.profiles[${nth}]`;
        // Pyroscope keeps one profile per series and time.
        if (times.has(profile.time_unix_nano)) this.#report('same_time', here);
        times.add(profile.time_unix_nano);
        this.#checkProfile(profile, keys.size + ofScope.size, here);
      }
    }
  }

  #checkProfile(profile: OtlpProfile, labels: number, path: string): void {
    const type = this.#type(profile.sample_type, path);
    if (type.includes('-')) this.#report('sample_type', path);
    const isOffCpu = type === 'off_cpu/nanoseconds';
    if (isOffCpu) {
      // With a period Pyroscope takes it for another type.
      if (profile.period_type !== null || profile.period !== 0n) this.#report('period', path);
    } else {
      this.#type(profile.period_type, path);
      if (profile.period <= 0n) this.#report('period', path);
    }
    if (profile.time_unix_nano === 0n) this.#report('time', path);
    if (profile.duration_nano === 0n) this.#report('duration', path);
    const id = Buffer.from(profile.profile_id).toString('hex');
    if (!/^[0-9a-f]{32}$/.test(id) || /^0+$/.test(id)) this.#report('profile_id', path);
    if (this.#profileIds.has(id)) this.#report('profile_id', path);
    this.#profileIds.add(id);
    this.#attributes(profile.attribute_indices, path);
    if (profile.samples.length === 0) this.#report('empty_envelope', path);
    if (profile.samples.length > MAX_SAMPLES) this.#report('many_samples', path);
    this.#checkSamples(profile, labels, path);
  }

  #checkSamples(profile: OtlpProfile, labels: number, path: string): void {
    const identities = new Set<string>();
    const shapes = new Set<string>();
    for (const [index, sample] of profile.samples.entries()) {
      const place = `${path}.samples[${index}]`;
      this.#use('stack_table', sample.stack_index, place);
      if (sample.stack_index === 0) this.#report('empty_stack', place);
      this.#use('link_table', sample.link_index, place);
      const keys = this.#attributes(sample.attribute_indices, place);
      if (labels + keys.size > MAX_LABELS) this.#report('many_labels', place);
      const attributes = [...sample.attribute_indices].sort((a, b) => a - b);
      const identity = `${sample.stack_index} ${sample.link_index} ${attributes}`;
      if (identities.has(identity)) this.#report('same_sample', place);
      identities.add(identity);
      shapes.add(this.#shape(sample, profile, place));
    }
    if (shapes.size > 1) this.#report('mixed_shapes', path);
  }

  #shape({ values, timestamps_unix_nano }: Sample, profile: OtlpProfile, path: string): string {
    for (const value of values) if (value <= 0n) this.#report('value', path);
    const end = profile.time_unix_nano + profile.duration_nano;
    for (const time of timestamps_unix_nano) {
      if (time < profile.time_unix_nano || time >= end) this.#report('timestamp', path);
    }
    if (timestamps_unix_nano.length === 0) {
      if (values.length !== 1) this.#report('value_count', path);
      return 'value';
    }
    // Pyroscope refuses a value per timestamp, though the protocol has it.
    if (values.length !== 0) this.#report('value_count', path);
    return 'timestamps';
  }

  #type(type: OtlpProfile['sample_type'], path: string): string {
    const name = this.#text(type?.type_strindex ?? 0, path);
    const unit = this.#text(type?.unit_strindex ?? 0, path);
    if (name === '' || unit === '') this.#report('value_type', path);
    return `${name}/${unit}`;
  }

  /** @returns the keys */
  #attributes(indices: readonly number[], path: string): Set<string> {
    const keys = new Set<string>();
    for (const index of indices) {
      this.#use('attribute_table', index, path);
      if (index === 0) this.#report('empty_attribute', path);
      const entry = this.#dictionary.attribute_table[index];
      const key = this.#dictionary.string_table[entry?.key_strindex ?? 0] ?? '';
      if (keys.has(key)) this.#report('same_key', path);
      keys.add(key);
    }
    return keys;
  }

  #keyValues(attributes: readonly KeyValue[], path: string): Set<string> {
    const keys = new Set<string>();
    for (const { key, key_strindex, value } of attributes) {
      // Pyroscope and older Collectors resolve no references here.
      if (key_strindex !== 0) this.#report('reference', path);
      if (key === '') this.#report('no_key', path);
      if (Buffer.byteLength(key) > MAX_KEY_BYTES) this.#report('long_key', path);
      // A label of that name is Pyroscope's own.
      if (key === 'service_name' || keys.has(key)) this.#report('same_key', path);
      keys.add(key);
      this.#checkValue(value, path);
    }
    return keys;
  }

  #checkValue(value: AnyValue | null, path: string): void {
    if (value?.string_value_strindex !== undefined) this.#report('reference', path);
    const text = value?.string_value;
    if (text === '' || value === null || Object.keys(value).length === 0) {
      this.#report('empty_value', path);
    }
    if (text !== undefined && Buffer.byteLength(text) > MAX_VALUE_BYTES) {
      this.#report('long_value', path);
    }
  }

  #text(index: number, path: string): string {
    this.#use('string_table', index, path);
    return this.#dictionary.string_table[index] ?? '';
  }

  #use(table: Table, index: number, path: string): void {
    if (index < 0 || index >= this.#dictionary[table].length) {
      this.#report('dangling', `${path} to ${table}[${index}]`);
    }
    this.#used[table].add(index);
  }
}

/** Equal for entries of equal value; attributes are a set. */
function identityOf(entry: unknown): string {
  return JSON.stringify(entry, (key, value) => {
    if (typeof value === 'bigint') return `${value}n`;
    if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
    if (key === 'attribute_indices') return [...(value as number[])].sort((a, b) => a - b);
    return value;
  });
}

function isZero(table: Table, entry: unknown): boolean {
  if (table === 'link_table') {
    const { trace_id, span_id } = entry as Dictionary['link_table'][number];
    return identityOf([trace_id, span_id]) === JSON.stringify(['0'.repeat(32), '0'.repeat(16)]);
  }
  return isDefault(entry);
}

function isDefault(value: unknown): boolean {
  if (value instanceof Uint8Array || Array.isArray(value)) return value.length === 0;
  if (typeof value === 'object' && value !== null) return Object.values(value).every(isDefault);
  return value === null || value === '' || value === 0 || value === 0n;
}
