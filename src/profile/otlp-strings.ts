/** The tables of an OTLP dictionary that anything may refer to: strings, attributes, links. */

import {
  ANY_VALUE,
  DICTIONARY,
  KEY_VALUE,
  KEY_VALUE_AND_UNIT,
  LINK,
  RESOURCE,
} from './otlp-fields.ts';
import type { ProtobufWriter } from './protobuf-writer.ts';

/** Whole numbers are below 2^53. */
export type AttributeValue = string | number;

/** Pyroscope refuses a whole series for a longer one; it takes names of 1024. */
const MAX_VALUE_BYTES = 2048;
const MAX_KEY_BYTES = 1024;
const NO_TRACE = '0'.repeat(32);
const NO_SPAN = '0'.repeat(16);

export class OtlpStrings {
  readonly #strings = new Map<string, number>([['', 0]]);
  /** Length of all strings. */
  #units = 0;
  readonly #attributes = new Map<string, number>();
  readonly #attributeList: { readonly key: number; readonly value: AttributeValue }[] = [];
  readonly #links = new Map<string, number>([[NO_TRACE + NO_SPAN, 0]]);

  /** Index of a text; 0 for the empty one. */
  string(text: string): number {
    let index = this.#strings.get(text);
    if (index === undefined) {
      // Halves of surrogate pairs become U+FFFD on the wire, and then equal each other.
      if (!text.isWellFormed()) return this.string(text.toWellFormed());
      index = this.#strings.size;
      this.#strings.set(text, index);
      this.#units += text.length;
    }
    return index;
  }

  /** Index of an attribute, 0 for one that says nothing. @param key as `attributeKey` made it */
  attribute(key: string, value: AttributeValue): number {
    if (key === '' || value === '') return 0;
    const name = this.string(key);
    const fit = typeof value === 'string' ? fitting(value, MAX_VALUE_BYTES) : value;
    const identity = `${name} ${typeof fit} ${fit}`;
    let index = this.#attributes.get(identity);
    if (index === undefined) {
      this.#attributeList.push({ key: name, value: fit });
      index = this.#attributeList.length;
      this.#attributes.set(identity, index);
    }
    return index;
  }

  /** @param traceId 32, and `spanId` 16 digits of lower-case hex */
  link(traceId: string, spanId: string): number {
    const identity = traceId + spanId;
    const index = this.#links.get(identity) ?? this.#links.size;
    this.#links.set(identity, index);
    return index;
  }

  /** Bytes of all strings with their lengths, at most, if they are mostly ASCII. */
  get expectedBytes(): number {
    return this.#units + 3 * this.#strings.size + 40 * (this.#attributes.size + this.#links.size);
  }

  writeLinks(writer: ProtobufWriter): void {
    // Entry 0 is written as zeros: some decoders take no id of another length.
    this.#links.forEach((_, identity) => {
      const opened = writer.open(DICTIONARY.link_table);
      writer.hex(LINK.trace_id, identity.slice(0, NO_TRACE.length));
      writer.hex(LINK.span_id, identity.slice(NO_TRACE.length));
      writer.close(opened);
    });
  }

  /** After everything that asks for strings. */
  writeStrings(writer: ProtobufWriter): void {
    // An iterator would make an object for each of thousands.
    this.#strings.forEach((_, text) => {
      writer.text(DICTIONARY.string_table, text);
    });
  }

  writeAttributes(writer: ProtobufWriter): void {
    writer.close(writer.open(DICTIONARY.attribute_table));
    for (const { key, value } of this.#attributeList) {
      const opened = writer.open(DICTIONARY.attribute_table);
      writer.count(KEY_VALUE_AND_UNIT.key_strindex, key);
      writeValue(writer, KEY_VALUE_AND_UNIT.value, value);
      writer.close(opened);
    }
  }
}

/** The key that is sent for a name that anybody may have chosen. */
export function attributeKey(name: string): string {
  return fitting(name.toWellFormed(), MAX_KEY_BYTES);
}

/** An attribute with key and value spelled out: Pyroscope resolves no references in a resource. */
export function writeAttribute(writer: ProtobufWriter, key: string, value: AttributeValue): void {
  if (value === '') return;
  const opened = writer.open(RESOURCE.attributes);
  writer.text(KEY_VALUE.key, key);
  const fit = typeof value === 'string' ? fitting(value, MAX_VALUE_BYTES) : value;
  writeValue(writer, KEY_VALUE.value, fit);
  writer.close(opened);
}

function writeValue(writer: ProtobufWriter, field: number, value: AttributeValue): void {
  const opened = writer.open(field);
  if (typeof value === 'string') writer.text(ANY_VALUE.string_value, value);
  else writer.member(ANY_VALUE.int_value, value);
  writer.close(opened);
}

/** As much of a text as `maxBytes` hold, and valid UTF-8. */
function fitting(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return text;
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(maxBytes));
  return text.slice(0, read);
}
