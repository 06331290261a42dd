/** Which request is shown, and the address that says so. */
import { isSpanId, isTraceId, pastedRequest } from '../../profile/request-id.ts';

export interface Selection {
  /** 32 digits of lower-case hex, '' = none. */
  readonly traceId: string;
  /** 16, '' = none. */
  readonly spanId: string;
  /** '' = all. */
  readonly service: string;
}

export const NOTHING: Selection = { traceId: '', spanId: '', service: '' };

export const isRequest = ({ traceId, spanId }: Selection): boolean =>
  traceId !== '' || spanId !== '';

/** What an address asks for; undefined when an id in it is none. */
export function selectionOf(search: string): Selection | undefined {
  const params = new URLSearchParams(search);
  const trace = params.get('trace_id') ?? '';
  const span = params.get('span_id') ?? '';
  const traceId = pastedRequest(trace)?.traceId ?? '';
  const spanId = pastedRequest(span)?.spanId || pastedRequest(trace)?.spanId || '';
  if ((trace !== '' && !isTraceId(traceId)) || (span !== '' && !isSpanId(spanId))) return undefined;
  if (traceId === '' && spanId === '') return NOTHING;
  return { traceId, spanId, service: params.get('service') ?? '' };
}

const paramsOf = ({ traceId, spanId, service }: Selection): URLSearchParams => {
  const params = new URLSearchParams();
  if (traceId !== '') params.set('trace_id', traceId);
  if (spanId !== '') params.set('span_id', spanId);
  if (service !== '') params.set('service', service);
  return params;
};

/** Relative, so that the page may lie below any path. */
export function addressOf(selection: Selection): string {
  const params = paramsOf(selection);
  return params.size === 0 ? './' : `?${params}`;
}

/** @param seconds 0 = all that is kept */
export function flameAddress(selection: Selection, seconds: number): string {
  const params = paramsOf(selection);
  if (!isRequest(selection) && seconds > 0) params.set('seconds', String(seconds));
  return `api/flame?${params}`;
}

/** Of all that took part in the trace, whatever is chosen of it; without a request of the slowest traces. */
export function detailsAddress({ traceId, spanId }: Selection, seconds: number): string {
  if (traceId !== '') return `api/traces/${traceId}`;
  if (spanId !== '') return `api/spans/${spanId}`;
  return seconds > 0 ? `api/traces?seconds=${seconds}` : 'api/traces';
}

export const pprofAddress = (selection: Selection): string =>
  `api/profile.pprof?${paramsOf(selection)}`;
