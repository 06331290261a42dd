/** What an answer of Pyroscope's push API means for the request: https://connectrpc.com/docs/protocol. */
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

/** Answers without a code are those of proxies. */
const CODE_OF_STATUS: Readonly<Record<number, string>> = {
  400: 'invalid_argument',
  401: 'unauthenticated',
  403: 'permission_denied',
  404: 'unimplemented',
  408: 'deadline_exceeded',
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
): Outcome {
  if (status === 200) return { kind: 'delivered', rejected: 0, message: '' };
  const text = new TextDecoder().decode(body);
  const error = connectError(text);
  const code = error?.code ?? CODE_OF_STATUS[status] ?? `http_${status}`;
  const message = (error?.message ?? text).trim().slice(0, MAX_MESSAGE) || `HTTP status ${status}`;
  if (status === 413 || speaksOfSize(error?.message ?? '')) return { kind: 'too_large', message };
  if (code === 'invalid_argument' && sent.series > 1 && !OUTDATED.test(message))
    return { kind: 'too_large', message };
  if (overRate(message, sent.series) !== undefined && sent.bytes > SMALL_BYTES)
    return { kind: 'too_large', message };
  if (!PASSING.has(code) && !passesLater(message))
    return { kind: 'refused', reason: code, message };
  const afterMs = retryAfterMs(headers['retry-after'], now);
  return {
    kind: 'retry',
    reason: `${code}: ${message}`,
    ...(afterMs === undefined ? {} : { afterMs }),
  };
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
