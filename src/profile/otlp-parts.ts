/**
 * A request of ours as several smaller ones, by samples. Each has a dictionary of
 * what it needs, as the protocol wants it.
 *
 * Pyroscope keeps one profile of a series and start time. So a profile whose
 * samples come to lie in several requests starts, in each, as many nanoseconds
 * later as it has samples in earlier ones; the encoder counts alike where it makes
 * several profiles of a process, and no two ever start at the same time.
 */
import { createHash } from 'node:crypto';
import {
  DICTIONARY,
  FUNCTION,
  KEY_VALUE_AND_UNIT,
  LINE,
  LOCATION,
  MAPPING,
  PROFILE,
  REQUEST,
  RESOURCE_PROFILES,
  SAMPLE,
  SCOPE_PROFILES,
  STACK,
  VALUE_TYPE,
} from './otlp-fields.ts';
import {
  ProtobufError,
  type ProtobufField,
  packedNumbers,
  protobufFields,
} from './protobuf-reader.ts';
import { ProtobufWriter } from './protobuf-writer.ts';

type Table = keyof typeof DICTIONARY;
/** What a field refers to by index, or the message in it, by field number. */
type References = ReadonlyMap<number, Table | References>;

const references = (...fields: readonly (readonly [number, Table | References])[]): References =>
  new Map(fields);

const VALUE_TYPE_REFERENCES = references(
  [VALUE_TYPE.type_strindex, 'string_table'],
  [VALUE_TYPE.unit_strindex, 'string_table'],
);
const SAMPLE_REFERENCES = references(
  [SAMPLE.stack_index, 'stack_table'],
  [SAMPLE.attribute_indices, 'attribute_table'],
  [SAMPLE.link_index, 'link_table'],
);
const PROFILE_REFERENCES = references(
  [PROFILE.sample_type, VALUE_TYPE_REFERENCES],
  [PROFILE.samples, SAMPLE_REFERENCES],
  [PROFILE.period_type, VALUE_TYPE_REFERENCES],
  [PROFILE.attribute_indices, 'attribute_table'],
);
const ENTRY_REFERENCES: Readonly<Record<Table, References>> = {
  mapping_table: references(
    [MAPPING.filename_strindex, 'string_table'],
    [MAPPING.attribute_indices, 'attribute_table'],
  ),
  location_table: references(
    [LOCATION.mapping_index, 'mapping_table'],
    [LOCATION.lines, references([LINE.function_index, 'function_table'])],
    [LOCATION.attribute_indices, 'attribute_table'],
  ),
  function_table: references(
    [FUNCTION.name_strindex, 'string_table'],
    [FUNCTION.system_name_strindex, 'string_table'],
    [FUNCTION.filename_strindex, 'string_table'],
  ),
  link_table: references(),
  string_table: references(),
  attribute_table: references([KEY_VALUE_AND_UNIT.key_strindex, 'string_table']),
  stack_table: references([STACK.location_indices, 'location_table']),
};

/**
 * So many requests with about as many samples each, or one for each sample if
 * there are fewer; the same for the same request.
 * @param request as `encodeOtlp` writes it, or as it was made here
 * @throws ProtobufError when it is not whole
 */
export function partsOfRequest(request: Uint8Array, count: number): Uint8Array<ArrayBuffer>[] {
  const whole = new WholeRequest(request);
  const samples = whole.countSamples();
  const parts = Math.min(Math.max(1, count), samples);
  return Array.from({ length: parts }, (_, part) => {
    const end = Math.floor((samples * (part + 1)) / parts);
    return new Part(whole, Math.floor((samples * part) / parts), end, request.length).encode();
  });
}

class WholeRequest {
  readonly resources: Uint8Array[] = [];
  readonly tables = {} as Record<Table, Uint8Array[]>;

  constructor(request: Uint8Array) {
    const names = new Map<number, Table>();
    for (const table of Object.keys(DICTIONARY) as Table[]) {
      this.tables[table] = [];
      names.set(DICTIONARY[table], table);
    }
    for (const field of protobufFields(request)) {
      if (field.number === REQUEST.resource_profiles) this.resources.push(content(field));
      if (field.number !== REQUEST.dictionary) continue;
      for (const entry of protobufFields(content(field))) {
        const table = names.get(entry.number);
        if (table !== undefined) this.tables[table].push(content(entry));
      }
    }
  }

  countSamples(): number {
    let samples = 0;
    for (const resource of this.resources)
      for (const scope of within(resource, RESOURCE_PROFILES.scope_profiles))
        for (const profile of within(scope, SCOPE_PROFILES.profiles))
          samples += countSamples(profile);
    return samples;
  }
}

/** The request with the samples from `first` to before `end`, counted through the whole one. */
class Part {
  readonly #whole: WholeRequest;
  readonly #first: number;
  readonly #end: number;
  readonly #writer: ProtobufWriter;
  readonly #tables: Readonly<Record<Table, PartTable>>;
  /** Samples that were gone through. */
  #passed = 0;

  constructor(whole: WholeRequest, first: number, end: number, expectedBytes: number) {
    this.#whole = whole;
    this.#first = first;
    this.#end = end;
    this.#writer = new ProtobufWriter(expectedBytes / 4);
    this.#tables = Object.fromEntries(
      Object.entries(whole.tables).map(([table, entries]) => [table, new PartTable(entries)]),
    ) as Record<Table, PartTable>;
  }

  encode(): Uint8Array<ArrayBuffer> {
    for (const table of Object.keys(DICTIONARY) as Table[]) this.#refer(table, 0);
    for (const resource of this.#whole.resources) this.#addResource(resource);
    const opened = this.#writer.open(REQUEST.dictionary);
    for (const { writer } of Object.values(this.#tables)) this.#writer.raw(writer.finish().message);
    this.#writer.close(opened);
    return this.#writer.finish().message;
  }

  #addResource(resource: Uint8Array): void {
    let samples = 0;
    for (const scope of within(resource, RESOURCE_PROFILES.scope_profiles))
      for (const profile of within(scope, SCOPE_PROFILES.profiles))
        samples += countSamples(profile);
    if (!this.#overlaps(samples)) return;
    const opened = this.#writer.open(REQUEST.resource_profiles);
    for (const field of protobufFields(resource)) {
      if (field.number === RESOURCE_PROFILES.scope_profiles) this.#addScope(content(field));
      else this.#writer.raw(field.raw);
    }
    this.#writer.close(opened);
  }

  /** @returns whether some of the samples that come next are in this part; else they are passed */
  #overlaps(samples: number): boolean {
    if (this.#passed < this.#end && this.#passed + samples > this.#first) return true;
    this.#passed += samples;
    return false;
  }

  /** Ours have one scope, which so is in the part when the resource is. */
  #addScope(scope: Uint8Array): void {
    const opened = this.#writer.open(RESOURCE_PROFILES.scope_profiles);
    for (const field of protobufFields(scope)) {
      if (field.number === SCOPE_PROFILES.profiles) this.#addProfile(content(field));
      else this.#writer.raw(field.raw);
    }
    this.#writer.close(opened);
  }

  #addProfile(profile: Uint8Array): void {
    const samples = countSamples(profile);
    if (!this.#overlaps(samples)) return;
    const first = Math.max(0, this.#first - this.#passed);
    const end = Math.min(samples, this.#end - this.#passed);
    this.#passed += samples;
    const opened = this.#writer.open(SCOPE_PROFILES.profiles);
    if (end - first === samples) this.#copy(this.#writer, profile, PROFILE_REFERENCES);
    else this.#addPartOfProfile(profile, first, end);
    this.#writer.close(opened);
  }

  #addPartOfProfile(profile: Uint8Array, first: number, end: number): void {
    let sample = 0;
    for (const field of protobufFields(profile)) {
      const { number, wire, value } = field;
      if (number === PROFILE.samples) {
        if (sample >= first && sample < end)
          this.#copyField(this.#writer, field, PROFILE_REFERENCES);
        sample++;
      } else if (number === PROFILE.time_unix_nano && wire === 1) {
        this.#writer.fixed64(number, value + BigInt(first));
      } else if (number === PROFILE.profile_id) {
        this.#writer.bytes(number, partId(content(field), first, end));
      } else if (number !== PROFILE.attribute_indices || first === 0) {
        // The tally, which counts once.
        this.#copyField(this.#writer, field, PROFILE_REFERENCES);
      }
    }
  }

  #copy(writer: ProtobufWriter, message: Uint8Array, known: References): void {
    for (const field of protobufFields(message)) this.#copyField(writer, field, known);
  }

  #copyField(writer: ProtobufWriter, field: ProtobufField, known: References): void {
    const { number } = field;
    const reference = known.get(number);
    if (reference === undefined) {
      writer.raw(field.raw);
    } else if (typeof reference === 'object') {
      const opened = writer.open(number);
      this.#copy(writer, content(field), reference);
      writer.close(opened);
    } else if (field.wire === 2) {
      const moved = packedNumbers(field.value).map((index) => this.#refer(reference, index));
      writer.packed(number, moved);
    } else {
      writer.count(number, this.#refer(reference, Number(field.value)));
    }
  }

  /** @returns the index in this part */
  #refer(name: Table, index: number): number {
    const table = this.#tables[name];
    const known = table.indices[index];
    if (known === undefined) throw new ProtobufError(`no entry ${index} in ${name}`);
    if (known >= 0) return known;
    const moved = table.length++;
    table.indices[index] = moved;
    // No entry refers to one of its own table, so that nothing comes between.
    const opened = table.writer.open(DICTIONARY[name]);
    const entry = table.entries[index]!;
    const within = ENTRY_REFERENCES[name];
    if (within.size === 0) table.writer.raw(entry);
    else this.#copy(table.writer, entry, within);
    table.writer.close(opened);
    return moved;
  }
}

class PartTable {
  readonly entries: readonly Uint8Array[];
  readonly writer = new ProtobufWriter(1024);
  /** In the part, by index in the whole; -1 = not there so far. */
  readonly indices: Int32Array;
  length = 0;

  constructor(entries: readonly Uint8Array[]) {
    this.entries = entries;
    this.indices = new Int32Array(entries.length).fill(-1);
  }
}

function content(field: ProtobufField): Uint8Array {
  if (field.wire !== 2) throw new ProtobufError(`field ${field.number} is no message`);
  return field.value;
}

function* within(message: Uint8Array, number: number): Generator<Uint8Array> {
  for (const field of protobufFields(message)) if (field.number === number) yield content(field);
}

function countSamples(profile: Uint8Array): number {
  let samples = 0;
  for (const { number } of protobufFields(profile)) if (number === PROFILE.samples) samples++;
  return samples;
}

function partId(id: Uint8Array, first: number, end: number): Uint8Array {
  const place = new Uint32Array([first, end]);
  return createHash('sha256').update(id).update(place).digest().subarray(0, id.length);
}
