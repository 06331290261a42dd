/**
 * The exporter's environment variables, as OpenTelemetry's specification names
 * them (protocol/exporter). OTEL_EXPORTER_OTLP_PROFILES_* overrides each of
 * them, by analogy with the other signals: the specification has none yet.
 */

export const PROTOCOLS = ['grpc', 'http/protobuf', 'http/json'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

export interface OtlpEnvironment {
  readonly protocol?: Protocol;
  /** Whole URL of HTTP; for gRPC scheme, host and port. */
  readonly endpoint?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly compression?: 'gzip' | 'none';
  /** 0 = no limit. */
  readonly timeoutMs?: number;
  /** Paths of PEM files. */
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
}

export interface ParsedEnvironment {
  readonly settings: OtlpEnvironment;
  /** Values that were left out, each with what is allowed. */
  readonly problems: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

const GENERIC = 'OTEL_EXPORTER_OTLP_';
const OF_PROFILES = 'OTEL_EXPORTER_OTLP_PROFILES_';
const HTTP_PATH = 'v1development/profiles';
const COMPRESSIONS = ['gzip', 'none'] as const;
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** @param fallback protocol of the configuration, where no variable names one */
export function parseOtlpEnvironment(
  environment: Environment,
  fallback: Protocol,
): ParsedEnvironment {
  const problems: string[] = [];
  const read = (option: string) => variable(environment, option);
  const oneOf = <Value extends string>(option: string, allowed: readonly Value[]) => {
    const found = read(option);
    const value = allowed.find((one) => one === found?.value);
    if (found && !value) problems.push(`${found.name}: '${found.value}' is not ${list(allowed)}`);
    return value;
  };
  const protocol = oneOf('PROTOCOL', PROTOCOLS);
  const settings = {
    protocol,
    endpoint: endpointOf(environment, protocol ?? fallback, problems),
    headers: headersOf(environment, problems),
    compression: oneOf('COMPRESSION', COMPRESSIONS),
    timeoutMs: timeoutOf(environment, problems),
    caFile: read('CERTIFICATE')?.value,
    certFile: read('CLIENT_CERTIFICATE')?.value,
    keyFile: read('CLIENT_KEY')?.value,
  };
  const given = Object.entries(settings).filter(([, value]) => value !== undefined);
  return { settings: Object.fromEntries(given) as OtlpEnvironment, problems };
}

/** An empty variable is none. */
function variable(environment: Environment, option: string) {
  for (const name of [OF_PROFILES + option, GENERIC + option]) {
    const value = environment[name]?.trim();
    if (value !== undefined && value !== '') return { name, value };
  }
  return undefined;
}

function endpointOf(
  environment: Environment,
  protocol: Protocol,
  problems: string[],
): string | undefined {
  const found = variable(environment, 'ENDPOINT');
  if (found === undefined) return undefined;
  const { name, value } = found;
  // gRPC may do without a scheme; then INSECURE decides, and only then.
  const isBare = protocol === 'grpc' && !value.includes('://');
  const insecure = variable(environment, 'INSECURE')?.value.toLowerCase() === 'true';
  const text = isBare ? `${insecure ? 'http' : 'https'}://${value}` : value;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.hostname === '') {
    problems.push(`${name}: '${value}' is not a URL such as http://localhost:4318`);
    return undefined;
  }
  if (protocol === 'grpc') return url.origin;
  if (name.startsWith(OF_PROFILES)) return url.href;
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/${HTTP_PATH}`;
  return url.href;
}

/** `key=value,key=value`, each percent-encoded: W3C baggage without its metadata. */
function headersOf(
  environment: Environment,
  problems: string[],
): Readonly<Record<string, string>> | undefined {
  const found = variable(environment, 'HEADERS');
  if (found === undefined) return undefined;
  const headers = new Map<string, string>();
  for (const pair of found.value.split(',')) {
    if (pair.trim() === '') continue;
    const at = pair.indexOf('=');
    const key = decoded(pair.slice(0, at))?.toLowerCase();
    const value = decoded(pair.slice(at + 1));
    const isGood = at > 0 && key && /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(key);
    // The value is likely to be a secret and is not told.
    if (!isGood || value === undefined || /[^\t\x20-\x7e\x80-\xff]/.test(value)) {
      problems.push(`${found.name}: entry ${headers.size + 1} is not key=value`);
    } else headers.set(key, value);
  }
  return Object.fromEntries(headers);
}

function timeoutOf(environment: Environment, problems: string[]): number | undefined {
  const found = variable(environment, 'TIMEOUT');
  if (found === undefined) return undefined;
  const value = Number(found.value);
  if (/^\d+$/.test(found.value) && value <= MAX_TIMEOUT_MS) return value;
  problems.push(`${found.name}: '${found.value}' is not a number of milliseconds`);
  return undefined;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text.trim());
  } catch {
    return undefined;
  }
}

const list = (allowed: readonly string[]): string =>
  `${allowed.slice(0, -1).join(', ')} or ${allowed.at(-1)}`;
