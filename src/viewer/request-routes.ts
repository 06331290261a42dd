/**
 * The part of the API that a tracing UI or a script links to:
 *
 *   GET /api/profile.pprof               also .otlp, .folded, .json, .html; ?trace_id= &span_id=
 *   GET /api/summary                     RequestSummary of all that
 *   GET /api/traces                      {traces: TraceShare[], count}: those with most CPU time; ?limit=
 *   GET /api/traces/TRACE_ID             RequestSummary with `traceId`, `spanId`; ?span_id=
 *   GET /api/traces/TRACE_ID/profile.pprof   also .otlp, .folded, .json, .html; ?span_id=
 *   GET /api/spans/SPAN_ID               as of a trace, for a span whose trace is not known
 *   GET /api/spans/SPAN_ID/profile.pprof
 *
 * All take ?seconds= or ?from= &until=, ?service= and ?process=. An id that is none is
 * 400, one without samples 404 with `kept`: what there would be.
 */
import { type Answer, failure, json } from './answer.ts';
import type { PageTemplate } from './page-file.ts';
import { download, FORM_NAMES, isForm } from './profile-forms.ts';
import { parseLimit, parseQuery, parseSpanId, parseTraceId, SELECTING } from './query.ts';
import type { ProfileStore, StoreQuery } from './store.ts';

const PATH = /^\/api\/(traces|spans)(?:\/([^/]*)(?:\/profile\.([^/]+))?)?$/;
const ALL = /^\/api\/(?:profile\.([^/]+)|summary)$/;

export const isRequestPath = (path: string): boolean => PATH.test(path) || ALL.test(path);

export interface RequestRoutes {
  readonly store: ProfileStore;
  /** Read when a form needs it. */
  readonly page: () => PageTemplate;
}

/** @throws QueryError; @param url with a path that `isRequestPath` */
export function answerRequest({ pathname, searchParams }: URL, routes: RequestRoutes): Answer {
  const { store } = routes;
  const [all, formOfAll] = ALL.exec(pathname) ?? [];
  if (all !== undefined) {
    const query = parseQuery(searchParams, SELECTING);
    if (formOfAll === undefined) return json(store.request(query));
    if (!isForm(formOfAll)) return noForm(formOfAll);
    return download(formOfAll, store.profile(query), 'flametap', routes.page);
  }
  const [, kind, given, form] = PATH.exec(pathname)!;
  if (given === undefined) {
    if (kind === 'spans') return failure(404, 'no such page; write /api/spans/SPAN_ID');
    const allowed = SELECTING.filter((name) => name !== 'trace_id');
    const query = parseQuery(withoutLimit(searchParams), allowed);
    return json(store.slowestTraces(query, parseLimit(searchParams)));
  }
  const id = decoded(given);
  const own: Pick<StoreQuery, 'traceId' | 'spanId'> =
    kind === 'traces' ? { traceId: parseTraceId(id) } : { spanId: parseSpanId(id) };
  const taken = kind === 'traces' ? ['trace_id'] : ['trace_id', 'span_id'];
  const query = {
    ...parseQuery(
      searchParams,
      SELECTING.filter((name) => !taken.includes(name)),
    ),
    ...own,
  };
  if (form !== undefined && !isForm(form)) return noForm(form);
  if (form === undefined) {
    const summary = store.request(query);
    if (summary.samples === 0) return notKept(store, query);
    const { traceId = null, spanId = null } = query;
    return json({ traceId, spanId, ...summary });
  }
  const profile = store.profile(query);
  if (profile.samples.length === 0) return notKept(store, query);
  return download(form, profile, `flametap-${words(query).replaceAll(' ', '-')}`, routes.page);
}

const noForm = (form: string): Answer =>
  failure(404, `no form '${form.slice(0, 40)}' of a profile: ${FORM_NAMES.join(', ')}`);

function withoutLimit(params: URLSearchParams): URLSearchParams {
  const others = new URLSearchParams(params);
  others.delete('limit');
  return others;
}

/** What is not valid is no id either. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const words = ({ traceId, spanId }: StoreQuery): string =>
  [
    ...(traceId === undefined ? [] : [`trace ${traceId}`]),
    ...(spanId === undefined ? [] : [`span ${spanId}`]),
  ].join(' ');

function notKept(store: ProfileStore, query: StoreQuery): Answer {
  const { profiles, oldestMs, newestMs, retentionMs } = store;
  const time = (milliseconds: number) => new Date(milliseconds).toISOString().replace(/\.\d+/, '');
  const kept =
    profiles === 0
      ? 'no profile is kept yet'
      : `kept are profiles from ${time(oldestMs)} to ${time(newestMs)}${
          Number.isFinite(retentionMs)
            ? `, for ${formatTime(retentionMs)} at most and as many as memory allows`
            : ''
        }`;
  const { traceId, spanId, ...more } = query;
  const chosen = Object.keys(more).length > 0 ? ' that was asked for' : '';
  return failure(
    404,
    `no sample of ${words(query)}${chosen}: ${kept}. A request that needs the CPU for a few milliseconds may be without samples.`,
    {},
    { kept: { profiles, fromMs: oldestMs, untilMs: newestMs, retentionMs } },
  );
}

function formatTime(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1_000);
  if (seconds % 3_600 === 0) return `${seconds / 3_600} h`;
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
}
