/** Keys of the exporters: where profiles are sent to. */
import {
  duration,
  endpoint,
  fileMode,
  neededWebAddress,
  oneOf,
  path,
  size,
  text,
  trueOrFalse,
} from './kind.ts';
import { labelName } from './label-name.ts';
import { list, section, single, table, type ValueOf } from './setting.ts';

/** RFC 9110, a field name. */
const headerName = text('a header name', (name) =>
  /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/.test(name),
);
/** What Node and grpc-js send as it is. */
const headerValue = text('a header value in ASCII', (value) => /^[\x20-\x7e]*$/.test(value));
/** '' is found missing later, when all is known. */
const neededPath = text('an absolute path', (value) => /^(\/|$)/.test(value));
const anyText = text('a text');

const name = single(
  text('a name of a-z, 0-9, - and _, or ""', (value) => /^[a-z0-9_-]{0,64}$/.test(value)),
  '',
  "in logs, metrics and as the queue's folder; empty: its type, numbered from the second on",
);
const headers = table(headerName, headerValue, 'sent with every request; never shown', {
  secret: true,
});
const timeout = (fallback: number) =>
  single(
    duration('1ms', '1h', 'none'),
    fallback,
    'how long a request may take before it counts as failed',
  );
const tlsFiles = {
  ca_file: single(path('those of the system'), '', 'certificates to trust, PEM'),
  cert_file: single(path('none'), '', 'own certificate, PEM; with key_file'),
  key_file: single(path('none'), '', "the certificate's private key, PEM"),
};
const queue = (maxAge: number) =>
  section('what waits to be sent', {
    directory: single(
      path('in memory only'),
      '/var/lib/flametap/queue',
      'queues live in folders of it, by the name of the exporter',
    ),
    max_bytes: single(
      size('1MiB', '1024GiB'),
      512 * 2 ** 20,
      'the oldest goes first when there is more',
    ),
    max_age: single(duration('1s', '720h'), maxAge, 'older requests are dropped'),
  });
const retry = section('after a failure that may pass', {
  initial: single(duration('1ms', '1h'), 5_000, 'first pause'),
  max: single(duration('1ms', '1h'), 30_000, 'longest pause'),
  max_elapsed: single(duration('1s', '720h', 'never'), 0, 'when a request is given up'),
});
const maxRequestBytes = single(
  size('64KiB', '64MiB'),
  1_500_000,
  'of one request before compression; larger profiles are split',
);
const sampleLabels = list(
  labelName,
  [],
  'sent beside trace_id and span_id; each value of one makes a series of its own in Pyroscope',
);

const addresses = single(
  trueOrFalse,
  false,
  'keeps addresses of the kernel and of anonymous memory, which tell where memory lies; names need none',
);

export const otlp = section('to an OpenTelemetry Collector, Pyroscope or another OTLP receiver', {
  name,
  endpoint: single(endpoint, '', 'the receiver; over HTTP /v1development/profiles is appended', {
    example: 'http://127.0.0.1:4317',
  }),
  profiles_endpoint: single(endpoint, '', 'used as it is, instead of endpoint'),
  protocol: single(oneOf('grpc', 'http/protobuf', 'http/json'), 'grpc', 'how it is sent'),
  headers,
  compression: single(oneOf('gzip', 'zstd', 'none'), 'gzip', 'of requests'),
  // As the specification says.
  timeout: timeout(10_000),
  tls: section('for https:// and for endpoints without a scheme', {
    ...tlsFiles,
    insecure: single(trueOrFalse, false, 'no TLS for a grpc endpoint without a scheme'),
  }),
  queue: queue(24 * 3_600_000),
  retry,
  max_request_bytes: maxRequestBytes,
  sample_labels: sampleLabels,
  addresses,
});

export const pyroscope = section("to Pyroscope's own push API, as pprof", {
  name,
  url: single(neededWebAddress, '', 'the server', { example: 'http://127.0.0.1:4040' }),
  tenant: single(headerValue, '', 'X-Scope-OrgID; empty: not sent'),
  basic_auth: section('HTTP basic authentication', {
    username: single(anyText, '', 'empty: none'),
    password: single(anyText, '', 'never shown', { secret: true }),
    password_file: single(path('none'), '', 'read when it changes, instead of password'),
  }),
  bearer_token: single(headerValue, '', 'never shown; empty: none', { secret: true }),
  bearer_token_file: single(path('none'), '', 'read when it changes, instead of bearer_token'),
  headers,
  // It stores what it is sent though nobody waits, and counts what is sent again twice for an hour or so.
  timeout: timeout(30_000),
  tls: section('for https://', tlsFiles),
  // The server takes nothing that is older.
  queue: queue(3_600_000),
  retry,
  max_request_bytes: maxRequestBytes,
  sample_labels: sampleLabels,
  addresses,
});

export const files = section('into files', {
  name,
  directory: single(neededPath, '', 'made when it is not there', {
    example: '/var/lib/flametap/profiles',
  }),
  format: single(oneOf('pprof', 'otlp'), 'pprof', 'pprof, gzipped; or OTLP requests'),
  max_bytes: single(
    size('1MiB', '1024GiB'),
    2 ** 30,
    'of all files; the oldest is removed when there is more',
  ),
  max_age: single(duration('1s', '8760h', 'kept'), 0, 'older files are removed'),
  mode: single(fileMode, 0o600, 'who may read the files, and enter a folder that is made for them'),
  addresses,
});

export const exporterSchemas = { otlp, pyroscope, files };
export type ExporterKind = keyof typeof exporterSchemas;
export const EXPORTER_KINDS = Object.keys(exporterSchemas) as readonly ExporterKind[];

export type OtlpExporter = { readonly kind: 'otlp' } & ValueOf<typeof otlp>;
export type PyroscopeExporter = { readonly kind: 'pyroscope' } & ValueOf<typeof pyroscope>;
export type FilesExporter = { readonly kind: 'files' } & ValueOf<typeof files>;
export type ExporterConfig = OtlpExporter | PyroscopeExporter | FilesExporter;
