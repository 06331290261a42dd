/** Queries of the receiver, as far as tests ask them; fields and forms as the server sends them (run). */
import type { IncomingMessage } from 'node:http';
import { type Labels, Refusal } from './rules.ts';
import type { Store } from './store.ts';

interface QueryBody {
  readonly profileTypeID?: string;
  readonly labelSelector?: string;
  readonly spanSelector?: readonly string[];
  readonly traceIdSelector?: readonly string[];
  readonly name?: string;
  readonly start?: number;
  readonly end?: number;
}

export function answerQuery(
  store: Store,
  method: string,
  body: string,
  { headers }: IncomingMessage,
): unknown {
  const query = JSON.parse(body) as QueryBody;
  switch (method) {
    case 'SelectMergeStacktraces':
      return selectMerge(store, query);
    case 'ProfileTypes': {
      const types = store.types();
      return types.length === 0 ? {} : { profileTypes: types.map((ID) => ({ ID })) };
    }
    case 'LabelNames': {
      const all = new Set(store.series().flatMap((labels) => [...labels.keys()]));
      // Names of other characters only for those who say that they know them.
      const isLegacy = !headers.accept?.includes('allow-utf8-labelnames=true');
      const names = [...all].filter((name) => !isLegacy || /^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name));
      return { names: names.sort() };
    }
    case 'LabelValues': {
      const values = store.series().flatMap((labels) => labels.get(query.name ?? '') ?? []);
      return { names: [...new Set(values)].sort() };
    }
    default:
      throw new Refusal('unimplemented', method);
  }
}

/** Of the formats only PROFILE_FORMAT_PPROF; 64-bit numbers are texts. */
function selectMerge(store: Store, query: QueryBody): unknown {
  if (query.start === undefined || query.end === undefined)
    throw new Refusal('invalid_argument', 'missing time range in the query');
  if (query.spanSelector?.length && query.traceIdSelector?.length)
    throw new Refusal('invalid_argument', 'span and trace selectors');
  const stacks = store.stacks({
    type: query.profileTypeID ?? '',
    labels: parseSelector(query.labelSelector ?? '{}'),
    spans: query.spanSelector ?? [],
    traces: query.traceIdSelector ?? [],
  });
  const strings = [''];
  const functions = new Map<string, number>();
  const sample = [...stacks.values()].map(({ stack, value }) => ({
    value: [String(value)],
    locationId: stack.map((name) => {
      const id = functions.get(name) ?? functions.size + 1;
      if (!functions.has(name)) strings.push(name);
      functions.set(name, id);
      return String(id);
    }),
  }));
  const ids = [...functions.values()].map(String);
  return {
    pprof: {
      profile: {
        sample,
        location: ids.map((id) => ({ id, line: [{ functionId: id, line: '1' }] })),
        function: ids.map((id) => ({ id, name: id })),
        stringTable: strings,
      },
    },
  };
}

/** `{a="b","c.d"="e"}` */
function parseSelector(selector: string): Labels {
  const pairs = [...selector.matchAll(/"?([^"{,=\s]+)"?\s*=\s*("(?:[^"\\]|\\.)*")/g)];
  return new Map(pairs.map(([, name, value]) => [name!, JSON.parse(value!) as string]));
}
