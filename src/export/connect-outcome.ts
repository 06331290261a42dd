/** What an answer of Pyroscope's push API means for the request: https://connectrpc.com/docs/protocol. */
import type { Failure, FaultKeys } from './fault.ts';
import { faultInWords, httpMessage, isWebPage, statusFault, webPageFailure } from './http-fault.ts';
import type { Answer } from './http-post.ts';
import { overRate, passesLater, SMALL_BYTES, speaksOfSize } from './pyroscope-words.ts';
import { retryAfterMs } from './retry-after.ts';
import type { Outcome } from './transport.ts';

/** Codes of a fault that may pass. `resource_exhausted` is a rate limit, unless it speaks of a size. */
const PASSING: ReadonlySet<string> = new Set([
  'aborted',
  'canceled',
  'deadline_exceeded',
  'resource_exhausted',
  'unavailable',
]);

/** Of requests that the receiver cannot make sense of, each for itself. */
const MALFORMED: ReadonlySet<string> = new Set([
  'invalid_argument',
  'already_exists',
  'out_of_range',
]);
/** Those for which HTTP has a status that says the same. */
const STATUS_OF_CODE: Readonly<Record<string, number>> = {
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  unimplemented: 404,
};

/** Answers without a code are those of proxies. */
const CODE_OF_STATUS: Readonly<Record<number, string>> = {
  400: 'invalid_argument',
  401: 'unauthenticated',
  403: 'permission_denied',
  404: 'unimplemented',
  408: 'deadline_exceeded',
  425: 'unavailable',
  429: 'resource_exhausted',
  502: 'unavailable',
  503: 'unavailable',
  504: 'deadline_exceeded',
};

/** Of all series of a request alike. */
const OUTDATED = /outside of ingestion window/;

const MAX_MESSAGE = 500;

/**
 * A refusal names one of the series, while the others may be stored or not. Such
 * a request is called too large, so that it is divided until the guilty series is
 * alone; what is stored already counts once.
 * @param sent series and bytes of the request before compression
 * @param now milliseconds since 1970
 */
export function outcomeOfPush(
  { status, headers, body }: Answer,
  sent: { readonly series: number; readonly bytes: number },
  now: number,
  keys: FaultKeys,
): Outcome {
  if (status === 200) {
    if (isWebPage(headers['content-type'] ?? ''))
      return { kind: 'retry', ...webPageFailure(status, keys) };
    return { kind: 'delivered', rejected: 0, message: '' };
  }
  const text = new TextDecoder().decode(body);
  const error = connectError(text);
  const code = error?.code ?? CODE_OF_STATUS[status] ?? `http_${status}`;
  const message = (error?.message ?? text).trim().slice(0, MAX_MESSAGE) || `HTTP status ${status}`;
  const told = faultInWords(message, keys);
  if (told) return { kind: 'retry', reason: `${code}: ${message}`, ...told };
  if (status === 413 || speaksOfSize(error?.message ?? '')) return { kind: 'too_large', message };
  if (code === 'invalid_argument' && sent.series > 1 && !OUTDATED.test(message))
    return { kind: 'too_large', message };
  if (overRate(message, sent.series) !== undefined && sent.bytes > SMALL_BYTES)
    return { kind: 'too_large', message };
  if (!PASSING.has(code) && !passesLater(message)) {
    const fault = faultOf(status, error?.code, message, headers.location, keys);
    const said =
      message === `HTTP status ${status}` ? `HTTP ${status}` : httpMessage(status, message);
    if (fault) return { kind: 'retry', reason: said, ...fault };
    return { kind: 'refused', reason: code, message };
  }
  const afterMs = retryAfterMs(headers['retry-after'], now);
  return {
    kind: 'retry',
    reason: `${code}: ${message}`,
    ...(afterMs === undefined ? {} : { afterMs }),
  };
}

/** @returns undefined when the answer is about this request */
function faultOf(
  status: number,
  code: string | undefined,
  message: string,
  location: string | undefined,
  keys: FaultKeys,
): Omit<Failure, 'reason'> | undefined {
  if (code === undefined) return statusFault(status, message, location, keys);
  if (MALFORMED.has(code)) return undefined;
  // Else `unknown`, `internal`, `failed_precondition`, `data_loss`: it fails inside.
  return statusFault(STATUS_OF_CODE[code] ?? 500, message, location, keys);
}

/** @returns undefined for what is no error of the protocol */
function connectError(text: string): { code: string; message: string } | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    const { code, message } = JSON.parse(text) as { code?: unknown; message?: unknown };
    if (typeof code !== 'string' || !/^[a-z_]{1,40}$/.test(code)) return undefined;
    return { code, message: typeof message === 'string' ? message : '' };
  } catch {
    return undefined;
  }
}
