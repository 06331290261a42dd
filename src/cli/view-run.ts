/** What `flametap view` does, once its options are read. */

import { listenAddress } from '../viewer/address.ts';
import { localHistory } from '../viewer/history.ts';
import { readPage } from '../viewer/page-file.ts';
import type { RequestSummary, SlowestTraces } from '../viewer/requests.ts';
import { startViewer } from '../viewer/server.ts';
import type { ProfileStore } from '../viewer/store.ts';
import { newToken } from '../viewer/token-file.ts';
import { knownToken, noToken } from './agent-token.ts';
import type { Surroundings } from './command.ts';
import { CommandError, EXIT_DONE, reasonOf, UsageError } from './errors.ts';
import { openOutput, streamOutput } from './output-file.ts';
import { formatSize } from './quantity.ts';
import { TOKEN_VARIABLE } from './token-variable.ts';
import { DEFAULT_AGENT, type Format, type ViewLine } from './view.ts';
import { agentSource, fileSource, storeOf, type ViewSource } from './view-source.ts';
import { type JsonProfile, requestText } from './view-text.ts';

/** As the address of a profile ends. */
const FORMS: Readonly<Record<Exclude<Format, 'text'>, string>> = {
  folded: 'folded',
  pprof: 'pprof',
  flamegraph: 'html',
  json: 'json',
  otlp: 'otlp',
};
const BINARY: ReadonlySet<Format> = new Set(['pprof', 'otlp']);

/** @returns exit code */
export async function view(line: ViewLine, surroundings: Surroundings): Promise<number> {
  const { values, given, words } = line;
  if (words.length === 0) {
    const agent = values.agent ?? new URL(DEFAULT_AGENT);
    const token = knownToken(agent);
    return values.address
      ? tellAddress(agent, token, line, surroundings)
      : write(agentSource(agent, token), line, surroundings);
  }
  const store = await storeOf(words);
  if (!given.has('format') && !given.has('output')) return serve(store, line, surroundings);
  return write(
    fileSource(store, () => readPage()),
    line,
    surroundings,
  );
}

interface Question {
  /** Of the API; '' = all samples. */
  readonly path: string;
  readonly params: URLSearchParams;
  /** Of the page. */
  readonly pageParams: URLSearchParams;
  /** In words. */
  readonly what: string;
}

function questionOf({ values }: ViewLine): Question {
  const { traceId = '', spanId: ofTrace = '' } = values['trace-id'] ?? {};
  const spanId = values['span-id'] ?? ofTrace;
  const params = new URLSearchParams();
  for (const name of values.service) params.append('service', name);
  for (const name of values.process) params.append('process', name);
  if (values.last !== undefined) {
    params.set('seconds', String(Math.max(1, Math.round(values.last / 1_000))));
  }
  if (values.from !== undefined) params.set('from', String(values.from));
  if (values.until !== undefined) params.set('until', String(values.until));
  const pageParams = new URLSearchParams();
  if (traceId !== '') pageParams.set('trace_id', traceId);
  if (spanId !== '') pageParams.set('span_id', spanId);
  const common = { params, pageParams };
  if (traceId === '' && spanId === '') return { ...common, path: '', what: 'All samples' };
  if (traceId === '') return { ...common, path: `spans/${spanId}`, what: `Span ${spanId}` };
  if (spanId !== '') params.set('span_id', spanId);
  const what = spanId === '' ? `Trace ${traceId}` : `Trace ${traceId}, span ${spanId}`;
  return { ...common, path: `traces/${traceId}`, what };
}

const query = (params: URLSearchParams): string => (params.size === 0 ? '' : `?${params}`);

async function answerText(
  source: ViewSource,
  { path, params, pageParams, what }: Question,
  traces: number,
): Promise<string> {
  const parsed = async <Value>(address: string): Promise<Value> =>
    JSON.parse(new TextDecoder().decode(await source.get(address)));
  const profilePath = path === '' ? '/api/profile.json' : `/api/${path}/profile.json`;
  const summaryPath = path === '' ? '/api/summary' : `/api/${path}`;
  const summary = await parsed<RequestSummary>(`${summaryPath}${query(params)}`);
  const profile = await parsed<JsonProfile>(`${profilePath}${query(params)}`);
  if (path !== '') {
    const words = requestText(what, summary, profile, undefined);
    if (source.page === undefined) return words;
    return `${words}\nFlame graph: ${new URL(`/${query(pageParams)}`, source.page)}\n`;
  }
  const limited = new URLSearchParams([...params, ['limit', String(traces)]]);
  const slowest = await parsed<SlowestTraces>(`/api/traces${query(limited)}`);
  return requestText(what, summary, profile, slowest);
}

async function write(
  source: ViewSource,
  line: ViewLine,
  surroundings: Surroundings,
): Promise<number> {
  const { format = 'text', output: path = '-', traces } = line.values;
  const isStream = path === '-';
  if (isStream && BINARY.has(format) && surroundings.stdout.isTTY) {
    throw new UsageError(
      `${format} is binary and standard output is a terminal; write it to a file with --output, or choose --format folded`,
    );
  }
  const question = questionOf(line);
  // What goes to a file may be handed on, and the token with it.
  if (isStream && surroundings.stdout.isTTY && source.token !== undefined)
    question.pageParams.set('token', source.token);
  const profilePath = question.path === '' ? '/api/profile' : `/api/${question.path}/profile`;
  const content =
    format === 'text'
      ? await answerText(source, question, traces)
      : await source.get(`${profilePath}.${FORMS[format]}${query(question.params)}`);
  const output = isStream ? streamOutput(surroundings.stdout) : await openOutput(path);
  const size = await output.write([content]);
  if (!isStream) {
    await surroundings.stderr.write(
      `flametap: written to ${output.name} (${format}, ${formatSize(size)})\n`,
    );
  }
  return EXIT_DONE;
}

/** Asks nobody: whether the agent runs shows when the address is opened. */
async function tellAddress(
  agent: URL,
  token: string | undefined,
  line: ViewLine,
  { stdout }: Surroundings,
): Promise<number> {
  if (token === undefined) throw new CommandError(noToken(agent));
  const { pageParams } = questionOf(line);
  pageParams.set('token', token);
  await stdout.write(`${new URL(`/?${pageParams}`, agent)}\n`);
  return EXIT_DONE;
}

async function serve(
  store: ProfileStore,
  line: ViewLine,
  { stderr, onStopSignal }: Surroundings,
): Promise<number> {
  const given = process.env[TOKEN_VARIABLE];
  const { loopback } = listenAddress(line.values.listen);
  // The files may be readable for this user alone.
  const token = given || (loopback ? newToken() : undefined);
  const viewer = await startViewer({
    listen: line.values.listen,
    history: localHistory(store, () => readPage()),
    saved: true,
    ...(token === undefined ? {} : { token }),
  }).catch((error: unknown) => {
    throw new CommandError(`cannot serve the page: ${reasonOf(error)}`);
  });
  const stopped = new Promise<void>((resolve) => onStopSignal(() => resolve()));
  const { pageParams } = questionOf(line);
  if (token !== undefined && token !== given) pageParams.set('token', token);
  await stderr.write(`flametap: open ${viewer.url}${query(pageParams)} (Ctrl-C ends it)\n`);
  await stopped;
  await viewer.close();
  return EXIT_DONE;
}
