/** Looks for addresses of memory in whatever leaves the agent. */
import { gunzipSync } from 'node:zlib';
import { ProtobufError, type ProtobufField, protobufFields } from '../protobuf/protobuf-reader.ts';

/** The kernel's half of 48 bits; all ones stand for "no end". */
const isOfKernel = (value: bigint): boolean =>
  value >= 0xffff_8000_0000_0000n && value < 2n ** 64n - 1n;
/** Where Linux puts programs, libraries and anonymous memory of a process with a random base. */
const isOfProcess = (value: bigint): boolean =>
  (value >= 0x5500_0000_0000n && value < 0x5700_0000_0000n) ||
  (value >= 0x7e00_0000_0000n && value < 0x8000_0000_0000n);

const WORD =
  /(?<![0-9a-f])(?:0x)?(ffff[89a-f][0-9a-f]{11}|(?:55|56|7e|7f)[0-9a-f]{10})(?![0-9a-f])/gi;

/** @param bytes text, or a protobuf message, gzipped or not. @returns what is found, as hex */
export function toldAddresses(bytes: Uint8Array): string[] {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return toldAddresses(gunzipSync(bytes));
  const fields = isText(bytes) ? undefined : fieldsOf(bytes);
  return fields === undefined ? toldInText(bytes) : toldIn(fields);
}

function toldIn(fields: readonly ProtobufField[]): string[] {
  const found: string[] = [];
  // Programs choose their ids: those of 0x66 alone read as the text of an address.
  if (isLink(fields)) return found;
  for (const { wire, value } of fields) {
    if (wire === 2) {
      // Only what it is can be read as such: a text, or a message.
      if (isText(value)) found.push(...toldInText(value));
      found.push(...toldIn(fieldsOf(value) ?? []));
    } else if (isOfKernel(value) || isOfProcess(value)) found.push(`0x${value.toString(16)}`);
  }
  return found;
}

const toldInText = (bytes: Uint8Array): string[] =>
  [...Buffer.from(bytes).toString('latin1').matchAll(WORD)].map(([word]) => word);

/** Numbers of a list have bytes below the space among them. */
const isText = (bytes: Uint8Array): boolean =>
  bytes.every((byte) => byte >= 0x20 || (byte >= 0x09 && byte <= 0x0d));

/** Of OTLP: the ids of a trace and of a span. */
const isLink = ([trace, span, ...more]: readonly ProtobufField[]): boolean =>
  trace?.wire === 2 &&
  trace.value.length === 16 &&
  span?.wire === 2 &&
  span.value.length === 8 &&
  more.length === 0;

function fieldsOf(bytes: Uint8Array): ProtobufField[] | undefined {
  try {
    return [...protobufFields(bytes)];
  } catch (error) {
    if (error instanceof ProtobufError) return undefined;
    throw error;
  }
}
