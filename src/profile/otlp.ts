/**
 * OpenTelemetry profiles: an ExportProfilesServiceRequest of proto/otlp, written
 * straight from the columns. One ResourceProfiles per process instance; sample
 * type (samples, count), period (cpu, nanoseconds), which Pyroscope reads as
 * CPU time. The tally travels as attributes of the first profile.
 */
import { createHash, hash } from 'node:crypto';
import { programText, serviceText } from './frame.ts';
import type { Process, Profile } from './model.ts';
import {
  PROFILE,
  REQUEST,
  RESOURCE_PROFILES,
  SAMPLE,
  SCOPE,
  SCOPE_PROFILES,
  VALUE_TYPE,
} from './otlp-fields.ts';
import { type OtlpRows, otlpRows, type RowOptions } from './otlp-rows.ts';
import { attributeKey, OtlpStrings, writeAttribute } from './otlp-strings.ts';
import { OtlpTables } from './otlp-tables.ts';
import { ProtobufWriter } from './protobuf-writer.ts';
import { tallyEntries } from './tally.ts';

export interface OtlpOptions extends RowOptions {
  /** Of every resource; those win over what was found out. */
  readonly attributes?: Readonly<Record<string, string>>;
}

/** Pyroscope refuses a profile with more; one process with more gets several. */
const MAX_SAMPLES = 16_000;
const ID_BYTES = 16;

/**
 * The request, uncompressed. The same profile gives the same bytes, so that a
 * receiver can tell a repetition. Without samples there are no ResourceProfiles,
 * and nothing that is worth sending.
 */
export function encodeOtlp(profile: Profile, options: OtlpOptions = {}): Uint8Array<ArrayBuffer> {
  return new RequestEncoder(profile, options).encode();
}

class RequestEncoder {
  readonly #profile: Profile;
  readonly #options: OtlpOptions;
  readonly #strings = new OtlpStrings();
  readonly #tables: OtlpTables;
  readonly #rows: OtlpRows;
  /** Samples written so far, by pid. */
  readonly #written = new Map<number, number>();

  constructor(profile: Profile, options: OtlpOptions) {
    this.#profile = profile;
    this.#options = options;
    this.#tables = new OtlpTables(profile, this.#strings);
    this.#rows = otlpRows(profile, options, this.#strings, this.#tables);
  }

  encode(): Uint8Array<ArrayBuffer> {
    const { order } = this.#rows;
    const { process } = this.#profile.samples;
    const writer = new ProtobufWriter(this.#expectedBytes());
    for (let first = 0, end = 0; first < order.length; first = end) {
      while (end < order.length && process[order[end]!] === process[order[first]!]) end++;
      this.#writeResource(writer, first, end);
    }
    const { length } = writer;
    this.#writeDictionary(writer);
    const { message, marks } = writer.finish();
    fillProfileIds(message, message.subarray(0, length), marks);
    return message;
  }

  #expectedBytes(): number {
    const { processes } = this.#profile;
    const ofSample = 12 + 2 * Math.min(1, this.#rows.labelSets.length);
    const tables = this.#tables.expectedBytes + this.#strings.expectedBytes;
    return 2048 + ofSample * this.#rows.order.length + 300 * processes.length + tables;
  }

  #writeResource(writer: ProtobufWriter, first: number, end: number): void {
    const { samples } = this.#profile;
    const opened = writer.open(REQUEST.resource_profiles);
    const resource = writer.open(RESOURCE_PROFILES.resource);
    const process = this.#profile.processes[samples.process[this.#rows.order[first]!]!]!;
    const { attributes = {} } = this.#options;
    const found = resourceAttributes(process, this.#profile.host);
    // Keys may not be there twice.
    for (const [key, value] of new Map([...found, ...Object.entries(attributes)])) {
      writeAttribute(writer, key, value);
    }
    writer.close(resource);
    const ofScope = writer.open(RESOURCE_PROFILES.scope_profiles);
    const scope = writer.open(SCOPE_PROFILES.scope);
    writer.text(SCOPE.name, 'flametap');
    writer.close(scope);
    // A process before and after its exec may look the same: then it is one series.
    const before = this.#written.get(process.pid) ?? 0;
    this.#written.set(process.pid, before + end - first);
    for (let at = first; at < end; at += MAX_SAMPLES) {
      const later = BigInt(before + at - first);
      this.#writeProfile(writer, at, Math.min(end, at + MAX_SAMPLES), later);
    }
    writer.close(ofScope);
    writer.close(opened);
  }

  /** @param later nanoseconds: see otlp-parts.ts, which divides profiles further */
  #writeProfile(writer: ProtobufWriter, first: number, end: number, later: bigint): void {
    const { startTime, duration, period, tally } = this.#profile;
    const opened = writer.open(SCOPE_PROFILES.profiles);
    this.#writeType(writer, PROFILE.sample_type, 'samples', 'count');
    this.#writeSamples(writer, first, end);
    writer.fixed64(PROFILE.time_unix_nano, startTime + later);
    writer.count(PROFILE.duration_nano, Math.round(duration));
    this.#writeType(writer, PROFILE.period_type, 'cpu', 'nanoseconds');
    writer.count(PROFILE.period, Math.round(period));
    writer.bytes(PROFILE.profile_id, new Uint8Array(ID_BYTES));
    writer.mark();
    if (first === 0) {
      const attributes = tallyEntries(tally).map(([key, value]) =>
        this.#strings.attribute(key, value),
      );
      writer.packed(PROFILE.attribute_indices, attributes);
    }
    writer.close(opened);
  }

  #writeType(writer: ProtobufWriter, field: number, type: string, unit: string): void {
    const opened = writer.open(field);
    writer.count(VALUE_TYPE.type_strindex, this.#strings.string(type));
    writer.count(VALUE_TYPE.unit_strindex, this.#strings.string(unit));
    writer.close(opened);
  }

  #writeSamples(writer: ProtobufWriter, first: number, end: number): void {
    const { order, sums, threads, labels, labelSets } = this.#rows;
    const { stack, thread, labels: labelColumn, count } = this.#profile.samples;
    const { stackIndex } = this.#tables;
    for (let at = first; at < end; at++) {
      const row = order[at]!;
      const ofThread = threads[thread[row]!]!;
      const set = labels[labelColumn[row]!]!;
      const opened = writer.open(PROFILE.samples);
      writer.count(SAMPLE.stack_index, stackIndex[stack[row]!]!);
      const { attributes, link } = labelSets[set]!;
      if (ofThread !== 0) writer.packed(SAMPLE.attribute_indices, [ofThread, ...attributes]);
      else if (attributes.length > 0) writer.packed(SAMPLE.attribute_indices, attributes);
      writer.count(SAMPLE.link_index, link);
      writer.packedOne(SAMPLE.values, sums === undefined ? count[row]! : sums[at]!);
      writer.close(opened);
    }
  }

  #writeDictionary(writer: ProtobufWriter): void {
    const opened = writer.open(REQUEST.dictionary);
    this.#tables.writeMappings(writer);
    this.#tables.writeLocations(writer);
    this.#tables.writeFunctions(writer);
    this.#strings.writeLinks(writer);
    this.#strings.writeStrings(writer);
    this.#strings.writeAttributes(writer);
    this.#tables.writeStacks(writer);
    writer.close(opened);
  }
}

function* resourceAttributes(
  process: Process,
  host: string,
): Generator<readonly [key: string, value: string | number]> {
  yield ['service.name', serviceText(process)];
  for (const { key, value } of process.resource ?? []) yield [attributeKey(key), value];
  yield ['process.pid', process.pid];
  yield ['process.executable.name', programText(process)];
  yield ['process.executable.path', process.executable];
  yield ['host.name', host];
}

/**
 * Ids are made of the profiles, with their time and host, and the place among
 * them: two profiles have the same id only if they are the same.
 * @param ends where in the message each id ends
 */
function fillProfileIds(message: Uint8Array, profiles: Uint8Array, ends: readonly number[]): void {
  const content = hash('sha256', profiles, 'buffer');
  const index = new Uint32Array(1);
  for (const end of ends) {
    const id = createHash('sha256').update(content).update(index).digest();
    message.set(id.subarray(0, ID_BYTES), end - ID_BYTES);
    index[0]!++;
  }
}
