/** Parameters of the HTTP API, checked. */
import { pastedRequest } from '../profile/request-id.ts';
import type { StoreQuery } from './store.ts';

export class QueryError extends Error {
  override readonly name = 'QueryError';
}

const LONGEST_WINDOW = 7 * 24 * 3_600;
const MOST_PROCESSES = 64;
const LONGEST_NAME = 256;
const MOST_TRACES = 1_000;
/** Of traces, when nobody asks for a number. */
export const USUAL_TRACES = 50;

/** Parameters that choose samples. */
export const SELECTING = [
  'seconds',
  'from',
  'until',
  'process',
  'service',
  'trace_id',
  'span_id',
] as const;

/** 32 hex digits as samples have them; capitals and dashes do not matter. */
export function parseTraceId(text: string): string {
  const { traceId = '' } = pastedRequest(text) ?? {};
  if (traceId === '') {
    throw new QueryError(
      `'${text.slice(0, 64)}' is no trace id: 32 hex digits that are not all zero, as in 4bf92f3577b34da6a3ce929d0e0e4736`,
    );
  }
  return traceId;
}

/** 16 hex digits as samples have them. */
export function parseSpanId(text: string): string {
  const { traceId = '', spanId = '' } = pastedRequest(text) ?? {};
  if (spanId === '' || traceId !== '') {
    throw new QueryError(
      `'${text.slice(0, 64)}' is no span id: 16 hex digits that are not all zero, as in 00f067aa0ba902b7`,
    );
  }
  return spanId;
}

/** Milliseconds since 1970, or a date and time as in RFC 3339. */
function parseTime(name: string, text: string): number {
  const time = /^\d{1,15}$/.test(text) ? Number(text) : timeOf(text);
  if (!Number.isSafeInteger(time)) {
    throw new QueryError(
      `${name} must be a time: milliseconds since 1970, or as in 2026-11-21T17:30:00Z`,
    );
  }
  return time;
}

const RFC3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d\d:\d\d)$/;

/** NaN for what is no time. A `+` that was not encoded has become a blank. */
const timeOf = (text: string): number => {
  const whole = text.replace(/ (\d\d:\d\d)$/, '+$1');
  return RFC3339.test(whole) ? Math.floor(Date.parse(whole)) : Number.NaN;
};

/** `limit`: how many traces. */
export function parseLimit(params: URLSearchParams): number {
  const text = params.get('limit');
  if (text === null) return USUAL_TRACES;
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > MOST_TRACES) {
    throw new QueryError(`limit must be a whole number from 1 to ${MOST_TRACES}`);
  }
  return limit;
}

/**
 * `seconds`, `from`, `until`, `process` and `service` (may repeat), `trace_id`, `span_id`,
 * `kernel` (0 or 1); those not in `allowed` are refused.
 */
export function parseQuery(params: URLSearchParams, allowed: readonly string[]): StoreQuery {
  for (const key of params.keys()) {
    if (!allowed.includes(key)) {
      throw new QueryError(
        `unknown parameter '${key.slice(0, 40)}'; known: ${allowed.join(', ') || 'none'}`,
      );
    }
  }
  const query: { -readonly [Key in keyof StoreQuery]: StoreQuery[Key] } = {};
  const seconds = params.get('seconds');
  if (seconds !== null) {
    const value = /^\d{1,6}$/.test(seconds) ? Number(seconds) : 0;
    if (value < 1 || value > LONGEST_WINDOW) {
      throw new QueryError(`seconds must be a whole number from 1 to ${LONGEST_WINDOW}`);
    }
    query.seconds = value;
  }
  const [from, until] = [params.get('from'), params.get('until')];
  if (from !== null) query.fromMs = parseTime('from', from);
  if (until !== null) query.untilMs = parseTime('until', until);
  const processes = namesOf(params, 'process');
  if (processes.length > 0) query.processes = processes;
  const services = namesOf(params, 'service');
  if (services.length > 0) query.services = services;
  const [traceId, spanId] = [params.get('trace_id'), params.get('span_id')];
  if (traceId !== null) query.traceId = parseTraceId(traceId);
  if (spanId !== null) query.spanId = parseSpanId(spanId);
  const kernel = params.get('kernel');
  if (kernel !== null) {
    if (kernel !== '0' && kernel !== '1') throw new QueryError('kernel must be 0 or 1');
    query.kernel = kernel === '1';
  }
  return query;
}

function namesOf(params: URLSearchParams, key: string): string[] {
  const names = params.getAll(key);
  if (names.length > MOST_PROCESSES || names.some((name) => name.length > LONGEST_NAME)) {
    throw new QueryError(
      `at most ${MOST_PROCESSES} of ${key}, of ${LONGEST_NAME} characters each, can be asked for`,
    );
  }
  return names;
}
