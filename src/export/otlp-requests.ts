/** A profile as OTLP requests that receivers take, and a request as smaller ones. */
import type { Profile } from '../profile/model.ts';
import { encodeOtlp, type OtlpOptions } from '../profile/otlp.ts';
import { REQUEST } from '../profile/otlp-fields.ts';
import { protobufFields } from '../profile/protobuf-reader.ts';

export interface RequestLimits {
  /** Before compression. */
  readonly bytes: number;
  /** Resources, which are processes: Pyroscope takes 1 s for 200, 4 s for 1,000. */
  readonly resources: number;
}

export const RESOURCES_OF_REQUEST = 200;

/**
 * Each request has another start time, in microseconds after the first one: a
 * part of them, in nanoseconds, is the encoder's own for the parts of a process.
 */
const STEP_NS = 1_000n;

/** The same profile gives the same requests, so that a receiver can tell a repetition. */
export function* encodeRequests(
  profile: Profile,
  options: OtlpOptions,
  limits: RequestLimits,
): Generator<Uint8Array> {
  let count = 0n;
  const encode = (rows: Uint32Array): Uint8Array => {
    const part =
      count === 0n && rows.length === profile.samples.length ? profile : selected(profile, rows);
    return encodeOtlp(part, {
      ...options,
      laterNs: count * STEP_NS,
      // Once is enough, and twice would be counted twice.
      tally: count === 0n,
    });
  };
  const fitting = function* (rows: Uint32Array): Generator<Uint8Array> {
    if (processesOf(profile, rows) <= limits.resources) {
      const request = encode(rows);
      if (request.length <= limits.bytes || rows.length <= 1) {
        count++;
        yield request;
        return;
      }
    }
    const middle = rows.length >> 1;
    yield* fitting(rows.subarray(0, middle));
    yield* fitting(rows.subarray(middle));
  };
  const rows = rowsByProcess(profile);
  if (rows.length > 0) yield* fitting(rows);
}

/** Rows that have samples, those of a process together, so that few processes are in two requests. */
function rowsByProcess({ samples: { length, process, count } }: Profile): Uint32Array {
  const rows = Uint32Array.from({ length }, (_, row) => row).filter((row) => count[row]! > 0);
  return rows.sort((a, b) => process[a]! - process[b]! || a - b);
}

function processesOf({ samples }: Profile, rows: Uint32Array): number {
  let processes = 0;
  for (let at = 0; at < rows.length; at++) {
    const isFirst = at === 0 || samples.process[rows[at]!] !== samples.process[rows[at - 1]!];
    if (isFirst) processes++;
  }
  return processes;
}

/** The tables stay as they are: the encoder leaves out what nobody uses. */
function selected(profile: Profile, rows: Uint32Array): Profile {
  const { samples } = profile;
  const pick = (column: Uint32Array): Uint32Array => rows.map((row) => column[row]!);
  return {
    ...profile,
    samples: {
      length: rows.length,
      process: pick(samples.process),
      thread: pick(samples.thread),
      stack: pick(samples.stack),
      count: pick(samples.count),
      labels: pick(samples.labels),
    },
  };
}

/**
 * Halves of the resources, each with the whole dictionary; what is in them stays
 * as it is, times and ids too. Undefined for a single resource.
 */
export function splitRequest(request: Uint8Array): readonly Uint8Array[] | undefined {
  const resources: Uint8Array[] = [];
  const others: Uint8Array[] = [];
  for (const { number, raw } of protobufFields(request))
    (number === REQUEST.resource_profiles ? resources : others).push(raw);
  if (resources.length < 2) return undefined;
  const middle = resources.length >> 1;
  return [resources.slice(0, middle), resources.slice(middle)].map((half) =>
    Buffer.concat([...half, ...others]),
  );
}
