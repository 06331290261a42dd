/** An OTLP receiver as a destination: a Collector, Pyroscope, others. */
import type { OtlpOptions } from '../profile/otlp.ts';
import type { FaultKeys } from './fault.ts';
import { addressOf } from './http-post.ts';
import { OtlpGrpcTransport, type TlsContents } from './otlp-grpc.ts';
import { OtlpHttpTransport } from './otlp-http.ts';
import { encodeRequests, splitRequest } from './otlp-requests.ts';
import type { Destination } from './transport.ts';

export interface OtlpSettings {
  readonly name: string;
  /** As configured: a URL, or host:port for gRPC. */
  readonly endpoint: string;
  /** Over HTTP: the endpoint is the whole URL, nothing is appended. */
  readonly isWholeUrl: boolean;
  readonly protocol: 'grpc' | 'http/protobuf' | 'http/json';
  readonly headers: Readonly<Record<string, string>>;
  readonly compression: 'gzip' | 'zstd' | 'none';
  /** Of an attempt; 0 = for ever. */
  readonly timeoutMs: number;
  /** Asked for each request. */
  readonly tls: () => TlsContents;
  /** Of the files of `tls`. */
  readonly hasNewFiles?: () => boolean;
  /** No TLS where the endpoint has no scheme. */
  readonly insecure: boolean;
  /** Of one request before compression. */
  readonly maxRequestBytes: number;
  readonly encoding: OtlpOptions;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const PATH = 'v1development/profiles';

export function otlpDestination(settings: OtlpSettings): Destination {
  const limits = { bytes: settings.maxRequestBytes, resources: 200 };
  return {
    name: settings.name,
    kind: 'otlp',
    encode: (profile) => encodeRequests(profile, settings.encoding, limits),
    split: splitRequest,
    ...(settings.protocol === 'grpc' ? overGrpc(settings) : overHttp(settings)),
  };
}

type Way = Pick<Destination, 'address' | 'transport'>;

function keysOf({ isWholeUrl }: OtlpSettings): FaultKeys {
  return {
    address: isWholeUrl ? '{profiles_endpoint}' : '{endpoint}',
    credentials: '{headers}',
    tenant: 'X-Scope-OrgID in {headers}',
    encoding: '{protocol} or {compression}',
  };
}

function overGrpc(settings: OtlpSettings): Way {
  const { endpoint, headers, compression, timeoutMs, tls, insecure, hasNewFiles } = settings;
  const [, scheme, rest] = /^(https?):\/\/(.*)$/i.exec(endpoint) ?? [undefined, '', endpoint];
  const isSecure = scheme === '' ? !insecure : scheme?.toLowerCase() === 'https';
  const target = withPort(rest ?? '', isSecure);
  const transport = new OtlpGrpcTransport({
    target,
    // gRPC knows no zstd.
    compression: compression === 'none' ? 'none' : 'gzip',
    headers,
    timeoutMs,
    tls: isSecure ? tls : undefined,
    keys: keysOf(settings),
    ...(hasNewFiles && { hasNewFiles }),
  });
  return { address: `grpc${isSecure ? 's' : ''}://${target}`, transport };
}

/** The path of a URL means nothing to gRPC; the ports of schemes are the usual ones. */
function withPort(rest: string, isSecure: boolean): string {
  const host = rest.replace(/[/?#].*$/, '');
  return /:\d+$/.test(host) ? host : `${host}:${isSecure ? 443 : 80}`;
}

function overHttp(settings: OtlpSettings): Way {
  const { endpoint, isWholeUrl, protocol, headers, compression, timeoutMs, tls, now } = settings;
  const { hasNewFiles } = settings;
  const url = new URL(endpoint);
  if (!isWholeUrl) url.pathname = `${url.pathname.replace(/\/+$/, '')}/${PATH}`;
  const transport = new OtlpHttpTransport({
    url,
    format: protocol === 'http/json' ? 'json' : 'protobuf',
    headers,
    compression,
    timeoutMs,
    tls,
    keys: keysOf(settings),
    ...(hasNewFiles && { hasNewFiles }),
    now,
  });
  return { address: addressOf(url), transport };
}
