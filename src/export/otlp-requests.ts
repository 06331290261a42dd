/** A profile as OTLP requests that receivers take, and a request as smaller ones. */
import type { Profile } from '../profile/model.ts';
import { encodeOtlp, type OtlpOptions } from '../profile/otlp.ts';
import { REQUEST } from '../profile/otlp-fields.ts';
import { halvesOfRequest, partsOfRequest } from '../profile/otlp-parts.ts';
import { ProtobufError, protobufFields } from '../protobuf/protobuf-reader.ts';

export interface RequestLimits {
  /** Before compression. */
  readonly bytes: number;
  /** Processes, each with attributes of its own: Pyroscope takes 1 s for 200, 4 s for 1,000. */
  readonly resources: number;
}

/** The same profile gives the same requests, so that a receiver can tell a repetition. */
export function* encodeRequests(
  profile: Profile,
  options: OtlpOptions,
  limits: RequestLimits,
): Generator<Uint8Array> {
  if (profile.samples.count.some((count) => count > 0))
    yield* fitting(encodeOtlp(profile, options), limits);
}

/** One sample that is larger than the limit stays as it is: the receiver may have a higher one. */
function* fitting(request: Uint8Array, limits: RequestLimits): Generator<Uint8Array> {
  const resources = countResources(request);
  const needed = Math.max(request.length / limits.bytes, resources / limits.resources);
  const parts = needed > 1 ? partsOfRequest(request, Math.ceil(needed)) : [];
  if (parts.length < 2) yield request;
  else for (const part of parts) yield* fitting(part, limits);
}

/** Halves of what a receiver found too large; undefined for a single sample. */
export function splitRequest(request: Uint8Array): readonly Uint8Array[] | undefined {
  return halvesOfRequest(request);
}

/** Each is a series of a receiver that has such. Of bytes that are no request, those before it shows. */
export function countResources(request: Uint8Array): number {
  let resources = 0;
  try {
    for (const { number } of protobufFields(request))
      if (number === REQUEST.resource_profiles) resources++;
  } catch (error) {
    // What is asked for after a failed export must not become another failure.
    if (!(error instanceof ProtobufError)) throw error;
  }
  return resources;
}
