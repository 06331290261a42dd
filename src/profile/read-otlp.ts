/** Reads an ExportProfilesServiceRequest as `encodeOtlp` writes it. */

import { ProtobufError, type ProtobufField, protobufFields } from '../protobuf/protobuf-reader.ts';
import { type Label, type Profile, SPAN_ID, TRACE_ID } from './model.ts';
import {
  ANY_VALUE,
  DICTIONARY,
  FUNCTION,
  KEY_VALUE,
  KEY_VALUE_AND_UNIT,
  LINE,
  LINK,
  LOCATION,
  MAPPING,
  PROFILE,
  REQUEST,
  RESOURCE,
  RESOURCE_PROFILES,
  SAMPLE,
  SCOPE_PROFILES,
  STACK,
} from './otlp-fields.ts';
import { frameTypeOf, isPlace, mappingOf, ProfileFileError, ProfileRebuilder } from './rebuild.ts';
import { isSpanId, isTraceId } from './request-id.ts';

/** @throws ProfileFileError */
export function readOtlp(message: Uint8Array): Profile {
  try {
    return new OtlpReader(new Message(message)).read();
  } catch (error) {
    if (error instanceof ProtobufError) throw new ProfileFileError(`no OTLP: ${error.message}`);
    throw error;
  }
}

const decoder = new TextDecoder();
const BUILD_ID = 'process.executable.build_id.';
const TALLY = 'flametap.tally.';
const LOW_52 = (1n << 52n) - 1n;

/** The fields of a message by number. */
class Message {
  readonly #fields = new Map<number, ProtobufField[]>();

  constructor(bytes: Uint8Array = new Uint8Array()) {
    for (const field of protobufFields(bytes)) {
      const known = this.#fields.get(field.number);
      if (known === undefined) this.#fields.set(field.number, [field]);
      else known.push(field);
    }
  }

  has(number: number): boolean {
    return this.#fields.has(number);
  }

  *contents(number: number): Generator<Uint8Array> {
    for (const { value } of this.#fields.get(number) ?? []) {
      if (typeof value === 'bigint') throw new ProtobufError(`field ${number} has no length`);
      yield value;
    }
  }

  messages(number: number): Message[] {
    return Array.from(this.contents(number), (bytes) => new Message(bytes));
  }

  message(number: number): Message {
    return this.messages(number).at(-1) ?? new Message();
  }

  bytes(number: number): Uint8Array {
    return [...this.contents(number)].at(-1) ?? new Uint8Array();
  }

  text(number: number): string {
    return decoder.decode(this.bytes(number));
  }

  big(number: number): bigint {
    const value = this.#fields.get(number)?.at(-1)?.value ?? 0n;
    if (typeof value !== 'bigint') throw new ProtobufError(`field ${number} is no number`);
    return value;
  }

  count(number: number): number {
    return Number(this.big(number));
  }

  /** Of a repeated number, packed or not. */
  numbers(number: number): number[] {
    return (this.#fields.get(number) ?? []).flatMap(({ value }) =>
      typeof value === 'bigint' ? [Number(value)] : varints(value),
    );
  }
}

function varints(bytes: Uint8Array): number[] {
  const numbers: number[] = [];
  let value = 0;
  let unit = 1;
  for (const byte of bytes) {
    value += (byte & 127) * unit;
    unit *= 128;
    if (byte >= 128) continue;
    numbers.push(value);
    value = 0;
    unit = 1;
  }
  return numbers;
}

interface Attribute {
  readonly key: string;
  readonly value: string;
}

class OtlpReader {
  readonly #request: Message;
  readonly #rebuilder = new ProfileRebuilder();
  readonly #strings: readonly string[];
  readonly #attributes: readonly Attribute[];
  readonly #links: readonly (readonly Label[])[];
  readonly #locations: readonly number[];
  readonly #stacks: readonly (readonly number[])[];

  constructor(request: Message) {
    this.#request = request;
    if (!request.has(REQUEST.dictionary)) throw new ProfileFileError('OTLP without a dictionary');
    const dictionary = request.message(REQUEST.dictionary);
    this.#strings = Array.from(dictionary.contents(DICTIONARY.string_table), (bytes) =>
      decoder.decode(bytes),
    );
    this.#attributes = dictionary.messages(DICTIONARY.attribute_table).map((entry) => ({
      key: this.#text(entry.count(KEY_VALUE_AND_UNIT.key_strindex)),
      value: attributeValue(entry.message(KEY_VALUE_AND_UNIT.value)),
    }));
    this.#links = dictionary.messages(DICTIONARY.link_table).map((link) => {
      const traceId = Buffer.from(link.bytes(LINK.trace_id)).toString('hex');
      const spanId = Buffer.from(link.bytes(LINK.span_id)).toString('hex');
      return [
        ...(isTraceId(traceId) ? [{ key: TRACE_ID, value: traceId }] : []),
        ...(isSpanId(spanId) ? [{ key: SPAN_ID, value: spanId }] : []),
      ];
    });
    this.#locations = this.#readLocations(dictionary);
    this.#stacks = dictionary
      .messages(DICTIONARY.stack_table)
      .map((stack) =>
        stack.numbers(STACK.location_indices).map((index) => at(this.#locations, index)),
      );
  }

  read(): Profile {
    let startNs = 0n;
    let endNs = 0n;
    let periodNs = 0;
    let host = '';
    const tally: [string, number][] = [];
    for (const ofResource of this.#request.messages(REQUEST.resource_profiles)) {
      const resource = new Map(
        ofResource
          .message(RESOURCE_PROFILES.resource)
          .messages(RESOURCE.attributes)
          .map((entry) => [
            entry.text(KEY_VALUE.key),
            attributeValue(entry.message(KEY_VALUE.value)),
          ]),
      );
      host ||= resource.get('host.name') ?? '';
      const process = this.#process(resource);
      for (const profile of ofResource
        .messages(RESOURCE_PROFILES.scope_profiles)
        .flatMap((scope) => scope.messages(SCOPE_PROFILES.profiles))) {
        const start = profile.big(PROFILE.time_unix_nano);
        const end = start + profile.big(PROFILE.duration_nano);
        if (startNs === 0n || start < startNs) startNs = start;
        // Parts of a profile start later than it by as many nanoseconds as they skip samples.
        if (end > endNs) endNs = end;
        periodNs = profile.count(PROFILE.period) || periodNs;
        for (const { key, value } of this.#attributesOf(profile, PROFILE.attribute_indices)) {
          if (key.startsWith(TALLY)) tally.push([key.slice(TALLY.length), Number(value)]);
        }
        for (const sample of profile.messages(PROFILE.samples)) this.#addSample(process, sample);
      }
    }
    const durationNs = Number(endNs - startNs);
    return this.#rebuilder.finish({ startNs, durationNs, periodNs, host, tally });
  }

  #process(resource: ReadonlyMap<string, string>): number {
    const get = (key: string) => resource.get(key) ?? '';
    const name = get('process.executable.name');
    // Without a statement of its own a process is its program.
    const service = get('service.name') === name ? '' : get('service.name');
    const pid = Number(get('process.pid'));
    return this.#rebuilder.process(pid, name, get('process.executable.path'), service);
  }

  #addSample(process: number, sample: Message): void {
    let thread = '';
    const labels = [...at(this.#links, sample.count(SAMPLE.link_index))];
    for (const { key, value } of this.#attributesOf(sample, SAMPLE.attribute_indices)) {
      if (key === 'thread.name') thread = value;
      else labels.push({ key, value });
    }
    const stack = at(this.#stacks, sample.count(SAMPLE.stack_index));
    const [count = 0] = sample.numbers(SAMPLE.values);
    this.#rebuilder.add(process, thread, stack, labels, count);
  }

  #readLocations(dictionary: Message): number[] {
    const mappings = dictionary.messages(DICTIONARY.mapping_table).map((mapping) => {
      const file = this.#text(mapping.count(MAPPING.filename_strindex));
      const ids = new Map(
        this.#attributesOf(mapping, MAPPING.attribute_indices).map(({ key, value }) => [
          key,
          value,
        ]),
      );
      return mappingOf(file, {
        buildId: ids.get(`${BUILD_ID}gnu`) ?? '',
        goBuildId: ids.get(`${BUILD_ID}go`) ?? '',
        htlHash: ids.get(`${BUILD_ID}htlhash`) ?? '',
      });
    });
    const functions = dictionary.messages(DICTIONARY.function_table).map((called) => {
      const name = this.#text(called.count(FUNCTION.name_strindex));
      return {
        name,
        systemName: this.#text(called.count(FUNCTION.system_name_strindex)),
        file: this.#text(called.count(FUNCTION.filename_strindex)),
        startLine: called.count(FUNCTION.start_line),
        ...(isPlace(name) ? { unnamed: true as const } : {}),
      };
    });
    return dictionary.messages(DICTIONARY.location_table).map((location) => {
      const type = this.#attributesOf(location, LOCATION.attribute_indices).find(
        ({ key }) => key === 'profile.frame.type',
      )?.value;
      return this.#rebuilder.location({
        mapping: at(mappings, location.count(LOCATION.mapping_index)),
        address: Number(location.big(LOCATION.address) & LOW_52),
        type: frameTypeOf(type),
        lines: location.messages(LOCATION.lines).map((line) => ({
          ...at(functions, line.count(LINE.function_index)),
          line: line.count(LINE.line),
          column: line.count(LINE.column),
        })),
      });
    });
  }

  #attributesOf(message: Message, field: number): Attribute[] {
    return message.numbers(field).map((index) => at(this.#attributes, index));
  }

  #text(index: number): string {
    return at(this.#strings, index);
  }
}

function at<Entry>(table: readonly Entry[], index: number): Entry {
  if (!Number.isInteger(index) || index < 0 || index >= table.length) {
    throw new ProfileFileError('an index leads nowhere');
  }
  return table[index]!;
}

function attributeValue(value: Message): string {
  if (value.has(ANY_VALUE.int_value)) return String(value.big(ANY_VALUE.int_value));
  return value.text(ANY_VALUE.string_value);
}
