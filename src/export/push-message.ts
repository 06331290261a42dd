/** Requests of Pyroscope's push API, proto/pyroscope/push.proto. */
import { hash } from 'node:crypto';
import { ProtobufWriter } from '../profile/protobuf-writer.ts';

export interface PushedSeries {
  /** Names and values, by name. */
  readonly labels: readonly (readonly [name: string, value: string])[];
  /** A pprof message, not compressed. */
  readonly profile: Uint8Array;
}

const REQUEST = { series: 1 } as const;
const SERIES = { labels: 1, samples: 2 } as const;
const LABEL = { name: 1, value: 2 } as const;
const SAMPLE = { raw_profile: 1, ID: 2 } as const;
/** Tag and length of each message around a profile, and its id. */
const FRAMING = 64;
const DELIMITED = 2;

/** Bytes of one series in a request, at most. */
export function pushedBytes({ labels, profile }: PushedSeries): number {
  let bytes = profile.length + FRAMING;
  for (const [name, value] of labels) bytes += 3 * (name.length + value.length) + 12;
  return bytes;
}

/** The same series give the same bytes. */
export function encodePush(series: readonly PushedSeries[]): Uint8Array<ArrayBuffer> {
  const writer = new ProtobufWriter(series.reduce((sum, one) => sum + pushedBytes(one), 0));
  for (const { labels, profile } of series) {
    const opened = writer.open(REQUEST.series);
    for (const [name, value] of labels) {
      const label = writer.open(SERIES.labels);
      writer.text(LABEL.name, name);
      writer.text(LABEL.value, value);
      writer.close(label);
    }
    const sample = writer.open(SERIES.samples);
    writer.bytes(SAMPLE.raw_profile, profile);
    writer.text(SAMPLE.ID, idOf(profile));
    writer.close(sample);
    writer.close(opened);
  }
  return writer.finish().message;
}

/** The peer names it in its log and its errors, and tells repetitions by something else: series and time. */
function idOf(profile: Uint8Array): string {
  const digest = hash('sha256', profile, 'hex');
  return [8, 12, 16, 20, 32].map((end, i, ends) => digest.slice(ends[i - 1] ?? 0, end)).join('-');
}

/** What `encodePush` wrote. @throws Error when it did not */
export function decodePush(request: Uint8Array): PushedSeries[] {
  return [...fieldsOf(request)].map(([, series]) => {
    const labels: [string, string][] = [];
    let profile = new Uint8Array();
    for (const [number, message] of fieldsOf(series)) {
      const parts = [...fieldsOf(message)];
      if (number === SERIES.samples) profile = Uint8Array.from(parts[0]?.[1] ?? []);
      else labels.push([textOf(parts[0]?.[1]), textOf(parts[1]?.[1])]);
    }
    return { labels, profile };
  });
}

/** Number of series in what `encodePush` wrote. */
export function countSeries(request: Uint8Array): number {
  let count = 0;
  for (const _ of fieldsOf(request)) count++;
  return count;
}

function textOf(bytes: Uint8Array = new Uint8Array()): string {
  return new TextDecoder().decode(bytes);
}

/** The fields of a message that has only texts, bytes and messages. */
function* fieldsOf(message: Uint8Array): Generator<[number: number, content: Uint8Array]> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; at < message.length; factor *= 128) {
      const byte = message[at++]!;
      value += (byte & 127) * factor;
      if (byte < 128) break;
    }
    return value;
  };
  while (at < message.length) {
    const tag = varint();
    const length = varint();
    if ((tag & 7) !== DELIMITED || at + length > message.length)
      throw new Error('no request of the push API');
    yield [tag >> 3, message.subarray(at, at + length)];
    at += length;
  }
}
