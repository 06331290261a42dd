/** What the configuration says of an exporter, as a destination and how it is sent to. */
import type {
  ExporterConfig,
  FilesExporter,
  OtlpExporter,
  PyroscopeExporter,
} from '../config/exporter-schema.ts';
import type { Config } from '../config/schema.ts';
import type { ExporterSettings } from '../export/exporter.ts';
import { filesDestination } from '../export/files.ts';
import { LocalFileError } from '../export/local-file.ts';
import { otlpDestination } from '../export/otlp.ts';
import type { Auth } from '../export/push-transport.ts';
import { PUSH_LIMITS, pyroscopeDestination } from '../export/pyroscope.ts';
import type { Destination } from '../export/transport.ts';
import { readTls, WatchedFiles } from '../export/watched-files.ts';

/** Of the configuration beside the exporter itself. */
export type Attributes = Config['resource']['attributes'];

/** Files take what is given to them: a queue of them helps as long as the disk is full. */
const FILES_SETTINGS: ExporterSettings = {
  queue: { directory: undefined, maxBytes: 8 << 20, maxAgeMs: 0 },
  retry: { initialMs: 1_000, maxMs: 60_000, maxElapsedMs: 0 },
  timeoutMs: 60_000,
};

/** What setTimeout can wait for. */
const LONGEST_MS = 2 ** 31 - 1;

export function destinationOf(exporter: ExporterConfig, attributes: Attributes): Destination {
  switch (exporter.kind) {
    case 'files':
      return filesOf(exporter, attributes);
    case 'pyroscope':
      return pyroscopeOf(exporter, attributes);
    case 'otlp':
      return otlpOf(exporter, attributes);
  }
}

export function settingsOf(exporter: ExporterConfig): ExporterSettings {
  if (exporter.kind === 'files') return FILES_SETTINGS;
  const { queue, retry, timeout } = exporter;
  return {
    queue: {
      directory: queue.directory === '' ? undefined : queue.directory,
      maxBytes: queue.maxBytes,
      maxAgeMs: queue.maxAge,
    },
    retry: { initialMs: retry.initial, maxMs: retry.max, maxElapsedMs: retry.maxElapsed },
    timeoutMs: timeout === 0 ? LONGEST_MS : timeout,
  };
}

function filesOf(exporter: FilesExporter, attributes: Attributes): Destination {
  const { name, directory, format, mode, maxBytes, maxAge } = exporter;
  const maxAgeMs = maxAge === 0 ? Number.POSITIVE_INFINITY : maxAge;
  const otlp = { attributes };
  return filesDestination({
    name,
    directory,
    format,
    otlp,
    mode,
    maxBytes,
    maxAgeMs,
    now: Date.now,
  });
}

function otlpOf(exporter: OtlpExporter, attributes: Attributes): Destination {
  const { name, endpoint, profilesEndpoint, protocol, headers, compression, timeout, tls } =
    exporter;
  const watched = new WatchedFiles();
  return otlpDestination({
    name,
    endpoint: profilesEndpoint === '' ? endpoint : profilesEndpoint,
    isWholeUrl: profilesEndpoint !== '',
    protocol,
    headers,
    compression,
    timeoutMs: timeout,
    tls: () => readTls(watched, tls),
    hasNewFiles: () => watched.haveChanged,
    insecure: tls.insecure,
    maxRequestBytes: exporter.maxRequestBytes,
    encoding: { sampleLabels: new Set(exporter.sampleLabels), attributes },
    now: Date.now,
  });
}

function pyroscopeOf(exporter: PyroscopeExporter, attributes: Attributes): Destination {
  const { name, url, tenant, headers, timeout, tls, maxRequestBytes } = exporter;
  const watched = new WatchedFiles();
  return pyroscopeDestination({
    name,
    endpoint: new URL(url),
    tenant,
    auth: authOf(exporter, watched),
    headers,
    compression: 'gzip',
    timeoutMs: timeout,
    tls: () => readTls(watched, tls),
    hasNewFiles: () => watched.haveChanged,
    series: { pid: false, sampleLabels: new Set(exporter.sampleLabels), labels: attributes },
    limits: { ...PUSH_LIMITS, requestBytes: maxRequestBytes },
    now: Date.now,
  });
}

function authOf(exporter: PyroscopeExporter, watched: WatchedFiles): Auth {
  const { basicAuth, bearerToken, bearerTokenFile } = exporter;
  /** The last line of a file mostly ends, which is not part of the secret. */
  const secret = (key: string, file: string, text: string) => () =>
    file === '' ? text : readSecret(watched, file, key);
  if (basicAuth.username !== '') {
    const password = secret('basic_auth.password_file', basicAuth.passwordFile, basicAuth.password);
    return { kind: 'basic', user: basicAuth.username, password };
  }
  if (bearerToken === '' && bearerTokenFile === '') return { kind: 'none' };
  return { kind: 'bearer', token: secret('bearer_token_file', bearerTokenFile, bearerToken) };
}

/** Once it is there: an empty file is one that is about to be written. @throws LocalFileError */
function readSecret(watched: WatchedFiles, file: string, key: string): string {
  const secret = watched.read(file, key).toString().trim();
  if (secret === '') throw new LocalFileError(key, file, 'is empty');
  if (!/^[\x20-\x7e]*$/.test(secret) && key.startsWith('bearer'))
    throw new LocalFileError(key, file, 'holds more than one line of ASCII');
  return secret;
}
