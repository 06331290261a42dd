/**
 * Ids of OpenTelemetry's traces and spans: 32 and 16 digits of lower-case hex, not all
 * zero, as W3C's Trace Context has them. What is none of these is no id.
 */
import { type Label, SPAN_ID, TRACE_ID } from './model.ts';

/** The request that a sample belongs to. '' = not known. */
export interface RequestId {
  readonly traceId: string;
  readonly spanId: string;
}

const ZEROS = /^0*$/;

export const isTraceId = (text: string): boolean =>
  /^[0-9a-f]{32}$/.test(text) && !ZEROS.test(text);
export const isSpanId = (text: string): boolean => /^[0-9a-f]{16}$/.test(text) && !ZEROS.test(text);

/** Of several values of a key the last one that is an id counts. */
export function requestOf(labels: readonly Label[]): RequestId {
  let traceId = '';
  let spanId = '';
  for (const { key, value } of labels) {
    if (key === TRACE_ID && isTraceId(value)) traceId = value;
    else if (key === SPAN_ID && isSpanId(value)) spanId = value;
  }
  return { traceId, spanId };
}

/** Whether a label says which request it is. */
export const isRequestLabel = ({ key, value }: Label): boolean =>
  (key === TRACE_ID && isTraceId(value)) || (key === SPAN_ID && isSpanId(value));

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/;
/** As UUIDs are written. */
const DASHED = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * What somebody pasted: 32 hex digits, also as a UUID, are a trace, 16 a span, and a
 * `traceparent` header is both; capitals, blanks and `0x` around do not matter.
 * Undefined for anything else.
 */
export function pastedRequest(text: string): RequestId | undefined {
  const plain = text.trim().toLowerCase();
  const [, trace = '', span = ''] = TRACEPARENT.exec(plain) ?? [];
  if (trace !== '')
    return isTraceId(trace) ? { traceId: trace, spanId: isSpanId(span) ? span : '' } : undefined;
  const digits = (DASHED.test(plain) ? plain.replaceAll('-', '') : plain).replace(/^0x/, '');
  if (isTraceId(digits)) return { traceId: digits, spanId: '' };
  if (isSpanId(digits)) return { traceId: '', spanId: digits };
  return undefined;
}
