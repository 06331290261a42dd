/** `flametap view`: a trace, a span or all of what an agent keeps or files hold. */
import { pastedRequest } from '../profile/request-id.ts';
import type { Command, Surroundings } from './command.ts';
import { UsageError } from './errors.ts';
import { EXIT_CODES, type Manual } from './manual.ts';
import { defaulted, flag, type ParsedLine, parseLine, repeated, single, text } from './options.ts';
import { oneOf, parseDuration, wholeNumber } from './quantity.ts';
import { TOKEN_VARIABLE } from './token-variable.ts';

const FORMATS = ['text', 'folded', 'pprof', 'flamegraph', 'json', 'otlp'] as const;
export type Format = (typeof FORMATS)[number];
export const DEFAULT_AGENT = 'http://127.0.0.1:7099';

const options = {
  'trace-id': single(
    'ID',
    parseTrace,
    'only this trace: 32 hex digits, also as a UUID, or a whole traceparent header',
  ),
  'span-id': single('ID', parseSpan, 'only this span: 16 hex digits'),
  service: repeated('NAME', (name) => name, 'only this service'),
  process: repeated('NAME', (name) => name, 'only processes of this name'),
  last: single('TIME', parseDuration, 'only the last 30s, 5m, 1h, … that are kept'),
  from: single('TIME', parseTime, 'only from then on, such as 2026-11-21T17:30:00Z'),
  until: single('TIME', parseTime, 'only until then'),
  traces: defaulted(
    'N',
    wholeNumber(1, 1_000),
    '20',
    'how many of the slowest traces are listed when none is chosen',
  ),
  format: single(
    'FORMAT',
    oneOf(FORMATS),
    `${FORMATS.join(', ')} (default: text; with a FILE and neither --format nor --output, the page)`,
  ),
  output: text('FILE', 'where to; - is standard output, the default'),
  address: flag(
    'only prints the address of the page, with the token of the agent in it: opened once in a browser, that is known until the agent ends',
  ),
  listen: defaulted(
    'HOST:PORT',
    (address) => address,
    '127.0.0.1:0',
    'where the page is served; port 0: any that is free',
  ),
  agent: single(
    'URL',
    parseAgent,
    `the agent to ask when there is no FILE (default ${DEFAULT_AGENT})`,
  ),
};
export type ViewLine = ParsedLine<typeof options>;

const manual: Manual = {
  usage: ['flametap view [options]', 'flametap view [options] FILE…'],
  description: [
    'Without FILE, asks the running agent: prints which traces took most CPU time and where it went; with --trace-id, how much CPU time that request took, in which services and spans, and its hottest functions; or writes its profile in another format.',
    'With FILE, does the same with profiles that `flametap record` or an exporter wrote (pprof, OTLP, JSON; several are put together), or serves them as the page until Ctrl-C.',
    'The time of a request is that of the profiles it was in: seconds, not microseconds. A request that needs the CPU only for a few milliseconds may have no sample.',
  ],
  options,
  sections: [
    {
      title: 'Formats',
      lines: [
        'text        tables for people',
        'folded      process;outermost;…;leaf COUNT, one stack per line',
        'pprof       gzipped, for `go tool pprof`; trace_id and span_id are labels of the samples',
        'flamegraph  one HTML file that needs no network',
        'json        one object: samples with their frames, trace_id and span_id, and the tally',
        'otlp        an ExportProfilesServiceRequest of OpenTelemetry; ids are links',
      ],
    },
    {
      title: 'Addresses',
      lines: [
        'A tracing UI can link to a request in the page of a running agent, or to its profile',
        '(.pprof, .otlp, .json, .folded or .html; more in docs/traces.md):',
        `  ${DEFAULT_AGENT}/?trace_id=ID&span_id=ID`,
        `  ${DEFAULT_AGENT}/api/traces/ID/profile.pprof?span_id=ID`,
      ],
    },
    {
      title: 'Environment',
      lines: [
        `${TOKEN_VARIABLE}  the token of an agent, or of the page; that of an agent on this machine`,
        '                is found by root and by the user that the agent runs as',
      ],
    },
    EXIT_CODES,
  ],
  examples: [
    { does: 'the slowest traces of the last five minutes', line: 'flametap view --last 5m' },
    {
      does: 'where did this request spend its time',
      line: 'flametap view --trace-id 4bf92f3577b34da6a3ce929d0e0e4736',
    },
    {
      does: 'its flame graph as a file, only of one service',
      line: 'flametap view --trace-id $ID --service checkout --format flamegraph --output slow.html',
    },
    {
      does: 'the same for go tool pprof',
      line: 'flametap view --span-id 00f067aa0ba902b7 --format pprof --output span.pb.gz',
    },
    {
      does: 'saved profiles as the page',
      line: 'flametap view flametap-*.pb.gz',
    },
    {
      does: 'one trace of saved profiles',
      line: 'flametap view --trace-id $ID --format text flametap.pb.gz',
    },
  ],
};

function parseTrace(given: string): { traceId: string; spanId: string } {
  const pasted = pastedRequest(given);
  if (pasted === undefined || pasted.traceId === '') {
    throw new UsageError(
      `'${given}' is no trace id: 32 hex digits that are not all zero, as in 4bf92f3577b34da6a3ce929d0e0e4736`,
    );
  }
  return pasted;
}

function parseSpan(given: string): string {
  const { traceId = '', spanId = '' } = pastedRequest(given) ?? {};
  if (spanId === '' || traceId !== '') {
    throw new UsageError(
      `'${given}' is no span id: 16 hex digits that are not all zero, as in 00f067aa0ba902b7`,
    );
  }
  return spanId;
}

function parseTime(given: string): number {
  const time = /^\d{4}-\d\d-\d\d/.test(given) ? Date.parse(given) : Number.NaN;
  if (Number.isNaN(time)) {
    throw new UsageError(`'${given}' is not a time: write 2026-11-21T17:30:00Z`);
  }
  return time;
}

function parseAgent(given: string): URL {
  const url = URL.parse(/^https?:\/\//.test(given) ? given : `http://${given}`);
  if (url === null || url.hostname === '') {
    throw new UsageError(`'${given}' is not an address: write ${DEFAULT_AGENT}`);
  }
  return url;
}

/** @throws UsageError for options that contradict each other */
function checkLine({ values, given, words, command }: ViewLine): void {
  if (command !== undefined) throw new UsageError('view runs no command: leave -- out');
  if (words.length > 0 && given.has('agent')) {
    throw new UsageError('--agent asks an agent, FILE reads files: give one of them');
  }
  if (given.has('last') && (given.has('from') || given.has('until'))) {
    throw new UsageError('--last does not go with --from and --until');
  }
  if (given.has('address') && (words.length > 0 || given.has('format') || given.has('output'))) {
    throw new UsageError(
      '--address is the page of a running agent: it goes with no FILE, --format or --output',
    );
  }
  if (given.has('listen') && (words.length === 0 || given.has('format') || given.has('output'))) {
    throw new UsageError(
      '--listen serves FILE… as the page; a running agent serves its own, and --format and --output write instead',
    );
  }
  const ofTrace = values['trace-id']?.spanId ?? '';
  const ofSpan = values['span-id'] ?? '';
  if (ofTrace !== '' && ofSpan !== '' && ofTrace !== ofSpan) {
    throw new UsageError('--span-id is another span than that of the traceparent');
  }
}

async function run(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const line = parseLine(options, args);
  checkLine(line);
  // Loaded here: the other commands need neither readers nor the page.
  const { view } = await import('./view-run.ts');
  return view(line, surroundings);
}

export const viewCommand: Command = {
  name: 'view',
  summary: 'where a request spent its CPU time, by its trace id; saved profiles as a page',
  manual,
  run,
};
