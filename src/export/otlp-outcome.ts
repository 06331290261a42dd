/**
 * What an answer to an OTLP export means for what was sent. The tables are the
 * protocol's; where receivers really do otherwise, it says so.
 */
import { protobufFields } from '../protobuf/protobuf-reader.ts';
import type { Failure, FaultKeys } from './fault.ts';
import { faultInWords, httpMessage, isWebPage, statusFault, webPageFailure } from './http-fault.ts';
import { overRate, passesLater, SMALL_BYTES, speaksOfSize } from './pyroscope-words.ts';
import { retryAfterMs } from './retry-after.ts';
import type { Outcome } from './transport.ts';

/**
 * Of opentelemetry-proto, docs/specification.md#otlphttp-response; and 408 and 425, which proxies say of
 * requests that nobody has seen. The specification would have all others dropped: what is about the
 * configuration waits nevertheless (http-fault.ts).
 */
const RETRYABLE_STATUS: ReadonlySet<number> = new Set([408, 425, 429, 502, 503, 504]);
const CONTENT_TOO_LARGE = 413;

/** Codes of gRPC that OTLP names retryable; RESOURCE_EXHAUSTED only with a RetryInfo. */
const GRPC = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;
const RETRYABLE_CODES: ReadonlySet<number> = new Set([
  GRPC.cancelled,
  GRPC.deadlineExceeded,
  GRPC.aborted,
  GRPC.outOfRange,
  GRPC.unavailable,
  GRPC.dataLoss,
]);

/** Go's limits of a body (which the Collector answers with 400) and of a gRPC message. */
const TOO_LARGE =
  /request body too large|message (after decompression )?larger than max|HTTP status code 413/i;
/** grpc-js's words for a stream that ended without a status: as HTTP's disconnect without an answer. */
const NO_ANSWER = /^Received RST_STREAM with code /;
/** And for ENHANCE_YOUR_CALM, which is about the connection. */
const CALM = 'Bandwidth exhausted or memory limit exceeded';
/** It ends with this when it has no note, */
const NOTHING_SAID = / Resolution note:$/;
/** and wraps what the network said. */
const NO_CONNECTION = /^No connection established\. Last error: (?:Error: )?(.*?)\.?$/;
const MAX_END = 150;
/** Of requests that cannot be understood, with codes and statuses that say less. */
const MALFORMED = /unmarshal|InvalidArgument|invalid_argument|outside of ingestion window/;

export interface HttpAnswer {
  readonly status: number;
  /** Of the header Retry-After. */
  readonly retryAfter: string | undefined;
  readonly contentType: string;
  /** Of the header Location. */
  readonly location?: string | undefined;
  readonly body: Uint8Array;
}

/**
 * @param series profiles of the request
 * @param now milliseconds since 1970, for a Retry-After that names a date
 */
export function httpOutcome(
  answer: HttpAnswer,
  series: number,
  now: number,
  keys: FaultKeys,
): Outcome {
  const { status, retryAfter, contentType, location, body } = answer;
  if (status >= 200 && status < 300) {
    if (isWebPage(contentType)) return { kind: 'retry', ...webPageFailure(status, keys) };
    return successOutcome(contentType, body);
  }
  const text = new TextDecoder().decode(body);
  const message = httpMessage(status, oneLine(text));
  if (isForParts(text, series)) return { kind: 'too_large', message };
  // Pyroscope, while it starts and stops.
  const isPassing = status === 500 && passesLater(text);
  if (RETRYABLE_STATUS.has(status) || isPassing) {
    const afterMs = retryAfterMs(retryAfter, now);
    return { kind: 'retry', reason: message, ...(afterMs === undefined ? {} : { afterMs }) };
  }
  if (status === CONTENT_TOO_LARGE || (status === 400 && TOO_LARGE.test(text))) {
    return { kind: 'too_large', message };
  }
  const fault = MALFORMED.test(text) ? undefined : statusFault(status, text, location, keys);
  if (fault) return { kind: 'retry', reason: message, ...fault };
  return { kind: 'refused', reason: `http_${status}`, message };
}

export interface GrpcAnswer {
  readonly code: number;
  readonly message: string;
  /** `retry_delay` of google.rpc.RetryInfo, when the status has one. */
  readonly retryDelayMs: number | undefined;
}

/** For codes other than 0 of a peer that answered. @param series profiles of the request */
export function grpcOutcome(
  { code, message: text, retryDelayMs }: GrpcAnswer,
  series: number,
  keys: FaultKeys,
): Outcome {
  const said = oneLine(text).replace(NOTHING_SAID, '').replace(NO_CONNECTION, '$1');
  const message = `gRPC ${code} ${said}`.trimEnd();
  const isExhausted = code === GRPC.resourceExhausted;
  if (TOO_LARGE.test(text) || isForParts(text, series)) return { kind: 'too_large', message };
  const isRetryable =
    RETRYABLE_CODES.has(code) ||
    (isExhausted && retryDelayMs !== undefined) ||
    (code === GRPC.internal && NO_ANSWER.test(text)) ||
    (isExhausted && text === CALM) ||
    // Pyroscope's limit of a rate has no RetryInfo.
    (isExhausted && overRate(text, series) !== undefined);
  if (isRetryable) {
    const after = retryDelayMs === undefined ? {} : { afterMs: retryDelayMs };
    return { kind: 'retry', reason: message, ...after };
  }
  const fault = MALFORMED.test(text) ? undefined : codeFault(code, text, keys);
  if (fault) return { kind: 'retry', reason: message, ...fault };
  return { kind: 'refused', reason: `grpc_${code}`, message };
}

/** Codes that are about the configuration and not about the request, as statusFault() has them of HTTP. */
function codeFault(
  code: number,
  text: string,
  { address, credentials, tenant, ...keys }: FaultKeys,
): Omit<Failure, 'reason'> | undefined {
  const told = faultInWords(text, { address, credentials, tenant, ...keys });
  if (told) return told;
  switch (code) {
    case GRPC.unauthenticated:
      // Pyroscope says no more than that when it wants a tenant.
      return {
        fault: 'unauthenticated',
        mend: `set or renew the credentials in ${credentials}; if the receiver has tenants, set ${tenant}`,
      };
    case GRPC.permissionDenied:
      return {
        fault: 'forbidden',
        mend: `allow these credentials to write profiles, or set others in ${credentials}`,
      };
    case GRPC.notFound:
    case GRPC.unimplemented:
      return {
        fault: 'not_found',
        mend: `correct the host or port in ${address}; a Collector needs the feature gate service.profilesSupport and a profiles pipeline`,
      };
    case GRPC.resourceExhausted:
      return {
        fault: 'quota',
        mend: `raise the quota of the receiver at ${address}`,
        isDoubtful: true,
      };
    case GRPC.unknown:
    case GRPC.failedPrecondition:
    case GRPC.internal:
      return { fault: 'server_error', mend: "see the receiver's log", isDoubtful: true };
    default:
      return undefined;
  }
}

/** No answer, as grpc-js words it; undefined when it is one of the peer's own. */
export function connectionError({ code, message }: GrpcAnswer): string | undefined {
  if (code !== GRPC.unavailable) return undefined;
  const said = oneLine(message).replace(NOTHING_SAID, '');
  const inner = NO_CONNECTION.exec(said)?.[1];
  // The same with the time at which it was tried last.
  if (inner !== undefined) return inner.replace(/ \(\d{4}-\d\d-[^)]*\)$/, '');
  return /^(Name resolution failed|No connection established)/.test(said) ? said : undefined;
}

/** Pyroscope would take it in smaller requests. */
const isForParts = (text: string, series: number): boolean =>
  speaksOfSize(text) || (overRate(text, series) ?? 0) > SMALL_BYTES;

/** An empty partial success, which the Collector always sends, is success; so is an answer that cannot be read. */
export function successOutcome(contentType: string, body: Uint8Array): Outcome {
  const nothing: Outcome = { kind: 'delivered', rejected: 0, message: '' };
  try {
    const { rejected, message } = contentType.startsWith('application/json')
      ? jsonPartialSuccess(body)
      : partialSuccess(body);
    if (rejected <= 0 && message === '') return nothing;
    return { kind: 'delivered', rejected: Math.max(0, rejected), message: oneLine(message) };
  } catch {
    return nothing;
  }
}

interface PartialSuccess {
  readonly rejected: number;
  readonly message: string;
}

/** ExportProfilesServiceResponse.partial_success: rejected_profiles = 1, error_message = 2. */
function partialSuccess(body: Uint8Array): PartialSuccess {
  let rejected = 0;
  let message = '';
  for (const { number, wire, value } of protobufFields(body)) {
    if (number !== 1 || wire !== 2) continue;
    for (const field of protobufFields(value)) {
      if (field.number === 1 && field.wire === 0) rejected = Number(BigInt.asIntN(64, field.value));
      if (field.number === 2 && field.wire === 2) message = new TextDecoder().decode(field.value);
    }
  }
  return { rejected, message };
}

function jsonPartialSuccess(body: Uint8Array): PartialSuccess {
  const parsed = JSON.parse(new TextDecoder().decode(body)) as {
    partialSuccess?: { rejectedProfiles?: unknown; errorMessage?: unknown };
  } | null;
  const { rejectedProfiles, errorMessage } = parsed?.partialSuccess ?? {};
  return {
    rejected: Number(rejectedProfiles ?? 0) || 0,
    message: typeof errorMessage === 'string' ? errorMessage : '',
  };
}

/**
 * `retry_delay` (1: seconds = 1, nanos = 2) of the RetryInfo among the details
 * (3) of a google.rpc.Status, the content of grpc-status-details-bin.
 */
export function retryDelayMs(status: Uint8Array): number | undefined {
  try {
    for (const detail of protobufFields(status)) {
      if (detail.number !== 3 || detail.wire !== 2) continue;
      let type = '';
      let content: Uint8Array = new Uint8Array();
      for (const field of protobufFields(detail.value)) {
        if (field.wire !== 2) continue;
        if (field.number === 1) type = new TextDecoder().decode(field.value);
        if (field.number === 2) content = field.value;
      }
      if (type.endsWith('/google.rpc.RetryInfo')) return delayMs(content);
    }
  } catch {
    // Not readable: as if it were not there.
  }
  return undefined;
}

function delayMs(retryInfo: Uint8Array): number {
  let milliseconds = 0;
  for (const delay of protobufFields(retryInfo)) {
    if (delay.number !== 1 || delay.wire !== 2) continue;
    for (const { number, wire, value } of protobufFields(delay.value)) {
      if (wire !== 0) continue;
      const count = Number(BigInt.asIntN(64, value));
      if (number === 1) milliseconds += count * 1000;
      if (number === 2) milliseconds += Math.ceil(count / 1e6);
    }
  }
  return Math.max(0, milliseconds);
}

/** Text of a receiver, fit for a log: of a long one both ends, as Pyroscope says last what is wrong. */
function oneLine(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim();
  if (line.length <= 2 * MAX_END) return line;
  return `${line.slice(0, MAX_END)} … ${line.slice(-MAX_END)}`;
}
