/**
 * What an answer to an OTLP export means for what was sent. The tables are the
 * protocol's; where receivers really do otherwise, it says so.
 */

export type Outcome =
  | { readonly kind: 'delivered' }
  /** Never sent again: what was refused would be refused again, the rest would be there twice. */
  | { readonly kind: 'partial'; readonly rejected: number; readonly message: string }
  /** `afterMs`: what the receiver asks for, at least. */
  | { readonly kind: 'retry'; readonly reason: string; readonly afterMs?: number }
  /** May be delivered in smaller parts. */
  | { readonly kind: 'too_large'; readonly reason: string }
  | { readonly kind: 'refused'; readonly reason: string };

/** Of opentelemetry-proto, docs/specification.md#otlphttp-response. */
const RETRYABLE_STATUS: ReadonlySet<number> = new Set([429, 502, 503, 504]);
const CONTENT_TOO_LARGE = 413;

/** Codes of gRPC that OTLP names retryable; RESOURCE_EXHAUSTED only with a RetryInfo. */
export const GRPC = {
  ok: 0,
  cancelled: 1,
  deadlineExceeded: 4,
  resourceExhausted: 8,
  aborted: 10,
  outOfRange: 11,
  unavailable: 14,
  dataLoss: 15,
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
const TOO_LARGE = /request body too large|message larger than max/i;
const MAX_REASON = 200;

export interface HttpAnswer {
  readonly status: number;
  /** Of the header Retry-After. */
  readonly retryAfter: string | undefined;
  /** Beginning of the body, as text. */
  readonly body: string;
}

/** @param now milliseconds since 1970, for a Retry-After that names a date */
export function httpOutcome({ status, retryAfter, body }: HttpAnswer, now: number): Outcome {
  const reason = `HTTP ${status} ${oneLine(body)}`.trimEnd();
  if (status >= 200 && status < 300) return { kind: 'delivered' };
  if (RETRYABLE_STATUS.has(status)) {
    const afterMs = retryAfterMs(retryAfter, now);
    return { kind: 'retry', reason, ...(afterMs === undefined ? {} : { afterMs }) };
  }
  if (status === CONTENT_TOO_LARGE || (status === 400 && TOO_LARGE.test(body))) {
    return { kind: 'too_large', reason };
  }
  return { kind: 'refused', reason };
}

export interface GrpcAnswer {
  readonly code: number;
  readonly message: string;
  /** `retry_delay` of google.rpc.RetryInfo, when the status has one. */
  readonly retryDelayMs: number | undefined;
}

export function grpcOutcome({ code, message, retryDelayMs }: GrpcAnswer): Outcome {
  const reason = `gRPC ${code} ${oneLine(message)}`.trimEnd();
  if (code === GRPC.ok) return { kind: 'delivered' };
  const isExhausted = code === GRPC.resourceExhausted;
  if (isExhausted && TOO_LARGE.test(message)) return { kind: 'too_large', reason };
  if (RETRYABLE_CODES.has(code) || (isExhausted && retryDelayMs !== undefined)) {
    return {
      kind: 'retry',
      reason,
      ...(retryDelayMs === undefined ? {} : { afterMs: retryDelayMs }),
    };
  }
  return { kind: 'refused', reason };
}

/** A delivered request's `partial_success`. An empty one, which the Collector always sends, is success. */
export function partialOutcome(rejected: number, message: string): Outcome {
  if (rejected <= 0 && message === '') return { kind: 'delivered' };
  return { kind: 'partial', rejected: Math.max(0, rejected), message: oneLine(message) };
}

/**
 * Milliseconds that a Retry-After asks for: whole seconds, or an HTTP date.
 * @returns undefined for anything else
 */
export function retryAfterMs(header: string | undefined, now: number): number | undefined {
  const text = header?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  // Date.parse takes much more than HTTP does.
  if (!/^[A-Z][a-z]{2,8},? .* GMT$/.test(text)) return undefined;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** Text of a receiver, fit for a log. */
function oneLine(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim();
  return line.length > MAX_REASON ? `${line.slice(0, MAX_REASON)}…` : line;
}
