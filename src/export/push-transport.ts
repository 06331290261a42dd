/** Sends requests of Pyroscope's push API. */
import type { OutgoingHttpHeaders } from 'node:http';
import { compress } from './compress.ts';
import { outcomeOfPush } from './connect-outcome.ts';
import type { FaultKeys } from './fault.ts';
import { addressOf, createPoster, type Poster, type PosterSettings } from './http-post.ts';
import { failureOf } from './network-fault.ts';
import { httpProxy } from './proxy.ts';
import { countSeries } from './push-message.ts';
import { answeredAt } from './retry-after.ts';
import type { Outcome, Transport } from './transport.ts';

export interface PushTransportSettings extends Omit<PosterSettings, 'url'> {
  /** Such as http://pyroscope:4040, or with a path before the API's own. */
  readonly endpoint: URL;
  /** X-Scope-OrgID; '' = the server's only tenant. */
  readonly tenant: string;
  readonly auth: Auth;
  /** Further ones; these win. */
  readonly headers: Readonly<Record<string, string>>;
  readonly compression: 'gzip' | 'none';
  /** Of certificates and secrets in files. */
  readonly hasNewFiles?: () => boolean;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export type Auth =
  | { readonly kind: 'none' }
  /** Secrets are asked for with each request, so that a file may be read anew. */
  | { readonly kind: 'basic'; readonly user: string; readonly password: () => string }
  | { readonly kind: 'bearer'; readonly token: () => string };

const METHOD = 'push.v1.PusherService/Push';
const PUSH_KEYS: FaultKeys = {
  address: '{url}',
  credentials: '{basic_auth}, {bearer_token_file} or {headers}',
  tenant: '{tenant}',
  encoding: '',
};

/** Of requests, for people. */
export const pushAddress = (endpoint: URL): string => addressOf(methodUrl(endpoint));

export class PushTransport implements Transport {
  readonly #settings: PushTransportSettings;
  readonly #poster: Poster;
  readonly hasNewFiles: () => boolean;

  constructor(settings: PushTransportSettings) {
    this.#settings = settings;
    this.hasNewFiles = settings.hasNewFiles ?? (() => false);
    this.#poster = createPoster({ ...settings, url: methodUrl(settings.endpoint) });
  }

  async send(request: Uint8Array, signal: AbortSignal): Promise<Outcome> {
    const { compression, now } = this.#settings;
    let headers: OutgoingHttpHeaders;
    try {
      headers = requestHeaders(this.#settings);
    } catch (error) {
      return this.#failed(error as Error);
    }
    const body = compression === 'gzip' ? await compress.gzip(request) : request;
    const answer = await this.#poster.post(body, headers, signal);
    const sent = { series: countSeries(request), bytes: request.length };
    if ('status' in answer)
      return outcomeOfPush(answer, sent, answeredAt(answer.headers.date, now()), PUSH_KEYS);
    return this.#failed(answer.error);
  }

  #failed(error: Error): Outcome {
    const url = this.#settings.endpoint;
    const isSecure = url.protocol === 'https:';
    const attempted = { isSecure, keys: PUSH_KEYS, proxy: httpProxy(url, process.env) };
    return { kind: 'retry', ...failureOf(error, attempted) };
  }

  close(): void {
    this.#poster.close();
  }
}

function methodUrl(endpoint: URL): URL {
  const url = new URL(endpoint);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/${METHOD}`;
  url.username = '';
  url.password = '';
  return url;
}

function requestHeaders(settings: PushTransportSettings): OutgoingHttpHeaders {
  const { auth, tenant, compression, headers } = settings;
  return {
    'content-type': 'application/proto',
    'connect-protocol-version': '1',
    'user-agent': 'flametap',
    ...(compression === 'gzip' ? { 'content-encoding': 'gzip' } : {}),
    ...(tenant === '' ? {} : { 'x-scope-orgid': tenant }),
    ...(auth.kind === 'none' ? {} : { authorization: credentials(auth) }),
    ...Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
    ),
  };
}

function credentials(auth: Exclude<Auth, { kind: 'none' }>): string {
  if (auth.kind === 'bearer') return `Bearer ${auth.token().trim()}`;
  return `Basic ${Buffer.from(`${auth.user}:${auth.password()}`).toString('base64')}`;
}
