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
import { FieldCursor, ProtobufError } from '../protobuf/protobuf-reader.ts';
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
import { ProtobufWriter } from './protobuf-writer.ts';

type Table = keyof typeof DICTIONARY;
const TABLES = Object.keys(DICTIONARY) as readonly Table[];
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
  const whole = readRequest(request);
  const samples = whole.resources.reduce((sum, resource) => sum + resource.samples, 0);
  const parts = Math.min(Math.max(1, count), samples);
  return Array.from({ length: parts }, (_, part) => {
    const first = Math.floor((samples * part) / parts);
    const end = Math.floor((samples * (part + 1)) / parts);
    return new Part(whole, first, end, request.length / parts).encode();
  });
}

/**
 * Two requests, divided between the profiles nearest to the middle of the samples. Only a single
 * profile is divided itself: of several a receiver may have stored some, and would know the
 * whole of one and a part of it as different ones. Undefined for a single sample.
 */
export function halvesOfRequest(request: Uint8Array): Uint8Array<ArrayBuffer>[] | undefined {
  const whole = readRequest(request);
  const ends: number[] = [];
  for (const samples of whole.profiles) ends.push((ends.at(-1) ?? 0) + samples);
  const all = ends.at(-1) ?? 0;
  if (all < 2) return undefined;
  let middle: number | undefined;
  for (const end of ends) {
    const isNearer = middle === undefined || Math.abs(2 * end - all) < Math.abs(2 * middle - all);
    if (end > 0 && end < all && isNearer) middle = end;
  }
  middle ??= Math.floor(all / 2);
  return [
    new Part(whole, 0, middle, request.length / 2).encode(),
    new Part(whole, middle, all, request.length / 2).encode(),
  ];
}

/** A message of the request: `from` to before `to`. */
interface Place {
  readonly from: number;
  readonly to: number;
}

interface Counted extends Place {
  readonly samples: number;
}

interface WholeRequest {
  readonly bytes: Uint8Array;
  readonly resources: readonly Counted[];
  /** Samples of each, in their order. */
  readonly profiles: readonly number[];
  readonly tables: Readonly<Record<Table, readonly Place[]>>;
}

function readRequest(bytes: Uint8Array): WholeRequest {
  const resources: Counted[] = [];
  const profiles: number[] = [];
  const tables: Record<Table, Place[]> = {
    mapping_table: [],
    location_table: [],
    function_table: [],
    link_table: [],
    string_table: [],
    attribute_table: [],
    stack_table: [],
  };
  const names = new Map(TABLES.map((table) => [DICTIONARY[table] as number, table]));
  for (const field = new FieldCursor(bytes, 0, bytes.length); field.next(); ) {
    if (field.number === REQUEST.resource_profiles) {
      const place = field.content();
      const counts = samplesOfProfiles(bytes, place);
      resources.push({ ...place, samples: counts.reduce((sum, count) => sum + count, 0) });
      profiles.push(...counts);
    } else if (field.number === REQUEST.dictionary) {
      const { from, to } = field.content();
      for (const entry = new FieldCursor(bytes, from, to); entry.next(); ) {
        const table = names.get(entry.number);
        if (table !== undefined) tables[table].push(entry.content());
      }
    }
  }
  return { bytes, resources, profiles, tables };
}

function samplesOfProfiles(bytes: Uint8Array, { from, to }: Place): number[] {
  const samples: number[] = [];
  for (const scope = new FieldCursor(bytes, from, to); scope.next(); ) {
    if (scope.number !== RESOURCE_PROFILES.scope_profiles) continue;
    const place = scope.content();
    for (const profile = new FieldCursor(bytes, place.from, place.to); profile.next(); )
      if (profile.number === SCOPE_PROFILES.profiles)
        samples.push(samplesOfProfile(bytes, profile.content()));
  }
  return samples;
}

function samplesOfProfile(bytes: Uint8Array, { from, to }: Place): number {
  let samples = 0;
  for (const field = new FieldCursor(bytes, from, to); field.next(); )
    if (field.number === PROFILE.samples) samples++;
  return samples;
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
    this.#writer = new ProtobufWriter(expectedBytes);
    this.#tables = Object.fromEntries(
      TABLES.map((table) => [table, new PartTable(table, whole.tables[table])]),
    ) as Record<Table, PartTable>;
  }

  encode(): Uint8Array<ArrayBuffer> {
    // Index 0 of each table stands for nothing.
    for (const table of TABLES) this.#refer(this.#tables[table], 0);
    for (const resource of this.#whole.resources) this.#addResource(resource);
    const opened = this.#writer.open(REQUEST.dictionary);
    for (const table of TABLES) this.#writer.raw(this.#tables[table].writer.finish().message);
    this.#writer.close(opened);
    return this.#writer.finish().message;
  }

  #addResource({ from, to, samples }: Counted): void {
    if (!this.#overlaps(samples)) return;
    const opened = this.#writer.open(REQUEST.resource_profiles);
    for (const field = this.#fields(from, to); field.next(); ) {
      if (field.number === RESOURCE_PROFILES.scope_profiles) this.#addScope(field.content());
      else this.#writer.raw(field.raw());
    }
    this.#writer.close(opened);
  }

  /** @returns whether some of the samples that come next are in this part; else they are passed */
  #overlaps(samples: number): boolean {
    if (this.#passed < this.#end && this.#passed + samples > this.#first) return true;
    this.#passed += samples;
    return false;
  }

  /** A resource of ours has one, which so is in the part when the resource is. */
  #addScope({ from, to }: Place): void {
    const opened = this.#writer.open(RESOURCE_PROFILES.scope_profiles);
    for (const field = this.#fields(from, to); field.next(); ) {
      if (field.number === SCOPE_PROFILES.profiles) this.#addProfile(field.content());
      else this.#writer.raw(field.raw());
    }
    this.#writer.close(opened);
  }

  #addProfile(place: Place): void {
    const samples = samplesOfProfile(this.#whole.bytes, place);
    if (!this.#overlaps(samples)) return;
    const first = Math.max(0, this.#first - this.#passed);
    const end = Math.min(samples, this.#end - this.#passed);
    this.#passed += samples;
    const opened = this.#writer.open(SCOPE_PROFILES.profiles);
    if (end - first === samples) this.#copy(this.#writer, place, PROFILE_REFERENCES);
    else this.#addPartOfProfile(place, first, end);
    this.#writer.close(opened);
  }

  #addPartOfProfile({ from, to }: Place, first: number, end: number): void {
    let sample = 0;
    for (const field = this.#fields(from, to); field.next(); ) {
      const { number } = field;
      if (number === PROFILE.samples) {
        if (sample >= first && sample < end)
          this.#copyField(this.#writer, field, PROFILE_REFERENCES);
        sample++;
      } else if (number === PROFILE.time_unix_nano) {
        this.#writer.fixed64(number, field.fixed64() + BigInt(first));
      } else if (number === PROFILE.profile_id) {
        const id = field.content();
        const bytes = this.#whole.bytes.subarray(id.from, id.to);
        this.#writer.bytes(number, partId(bytes, first, end));
      } else if (number !== PROFILE.attribute_indices || first === 0) {
        // The tally, which counts once.
        this.#copyField(this.#writer, field, PROFILE_REFERENCES);
      }
    }
  }

  #fields(from: number, to: number): FieldCursor {
    return new FieldCursor(this.#whole.bytes, from, to);
  }

  #copy(writer: ProtobufWriter, { from, to }: Place, known: References): void {
    for (const field = this.#fields(from, to); field.next(); )
      this.#copyField(writer, field, known);
  }

  #copyField(writer: ProtobufWriter, field: FieldCursor, known: References): void {
    const { number } = field;
    const reference = known.get(number);
    if (reference === undefined) {
      writer.raw(field.raw());
    } else if (typeof reference === 'object') {
      const opened = writer.open(number);
      this.#copy(writer, field.content(), reference);
      writer.close(opened);
    } else {
      const table = this.#tables[reference];
      if (field.isNumber) writer.count(number, this.#refer(table, field.value));
      else
        writer.packed(
          number,
          field.packed().map((index) => this.#refer(table, index)),
        );
    }
  }

  /** @returns the index in this part */
  #refer(table: PartTable, index: number): number {
    const known = table.indices[index];
    if (known === undefined) throw new ProtobufError(`no entry ${index} in ${table.name}`);
    if (known >= 0) return known;
    const moved = table.length++;
    table.indices[index] = moved;
    const entry = table.entries[index]!;
    const { writer } = table;
    const within = ENTRY_REFERENCES[table.name];
    if (within.size === 0) {
      writer.bytes(DICTIONARY[table.name], this.#whole.bytes.subarray(entry.from, entry.to));
    } else {
      // No entry refers to one of its own table, so that nothing comes between.
      const opened = writer.open(DICTIONARY[table.name]);
      this.#copy(writer, entry, within);
      writer.close(opened);
    }
    return moved;
  }
}

class PartTable {
  readonly name: Table;
  readonly entries: readonly Place[];
  readonly writer = new ProtobufWriter(1024);
  /** In the part, by index in the whole; -1 = not there so far. */
  readonly indices: Int32Array;
  length = 0;

  constructor(name: Table, entries: readonly Place[]) {
    this.name = name;
    this.entries = entries;
    this.indices = new Int32Array(entries.length).fill(-1);
  }
}

function partId(id: Uint8Array, first: number, end: number): Uint8Array {
  const place = new Uint32Array([first, end]);
  return createHash('sha256').update(id).update(place).digest().subarray(0, id.length);
}
