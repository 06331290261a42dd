/** A pprof as the receiver reads it, which is not how we write it. */
import { gunzipSync } from 'node:zlib';
import { Profile } from 'pprof-format';

export interface PushedSample {
  /** Names of functions, leaf first. */
  readonly stack: readonly string[];
  readonly values: readonly number[];
  /** Those with a text. */
  readonly labels: ReadonlyMap<string, string>;
}

export interface PushedProfile {
  readonly timeNs: bigint;
  readonly types: readonly { readonly type: string; readonly unit: string }[];
  readonly period: { readonly type: string; readonly unit: string };
  readonly samples: readonly PushedSample[];
  readonly bytes: number;
}

/** @param raw gzipped or not, as the server takes both (run) */
export function readPushed(raw: Uint8Array): PushedProfile {
  const message = raw[0] === 0x1f && raw[1] === 0x8b ? gunzipSync(raw) : raw;
  const profile = Profile.decode(message);
  const text = (index: number | bigint): string => profile.stringTable.strings[Number(index)] ?? '';
  const typeOf = (one: { type: number | bigint; unit: number | bigint }) => ({
    type: text(one.type),
    unit: text(one.unit),
  });
  const functions = new Map(profile.function.map((one) => [Number(one.id), text(one.name)]));
  // A location without lines is no frame (run).
  const frames = new Map(
    profile.location.map((one) => [
      Number(one.id),
      one.line.map((line) => functions.get(Number(line.functionId)) ?? ''),
    ]),
  );
  const samples = profile.sample.map(({ locationId, value, label }) => ({
    stack: locationId.flatMap((id) => frames.get(Number(id)) ?? []),
    values: value.map(Number),
    labels: new Map(
      label.filter(({ str }) => Number(str) > 0).map(({ key, str }) => [text(key), text(str)]),
    ),
  }));
  return {
    timeNs: BigInt(profile.timeNanos),
    types: profile.sampleType.map(typeOf),
    period: profile.periodType ? typeOf(profile.periodType) : { type: '', unit: '' },
    samples,
    bytes: message.length,
  };
}
