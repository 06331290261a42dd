/** OTLP over HTTP, as protobuf or JSON. */
import { compress } from './compress.ts';
import type { FaultKeys } from './fault.ts';
import { createPoster, type Poster, type PosterSettings } from './http-post.ts';
import { failureOf } from './network-fault.ts';
import { otlpJson } from './otlp-json.ts';
import { httpOutcome } from './otlp-outcome.ts';
import { countResources } from './otlp-requests.ts';
import { httpProxy } from './proxy.ts';
import { answeredAt } from './retry-after.ts';
import type { Outcome, Transport } from './transport.ts';

export interface OtlpHttpSettings extends PosterSettings {
  readonly format: 'protobuf' | 'json';
  readonly compression: 'gzip' | 'zstd' | 'none';
  readonly headers: Readonly<Record<string, string>>;
  readonly keys: FaultKeys;
  readonly hasNewFiles?: () => boolean;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** The Collector takes `application/x-protobuf` only, without parameters Pyroscope does too. */
const CONTENT_TYPES = { protobuf: 'application/x-protobuf', json: 'application/json' } as const;
/** What receivers from 0.163 of the Collector on check, when it is there. */
export const VERSION_HEADER = { 'otlp-profiles-development-version': '1' } as const;

export class OtlpHttpTransport implements Transport {
  readonly #settings: OtlpHttpSettings;
  readonly #poster: Poster;
  readonly hasNewFiles: () => boolean;

  constructor(settings: OtlpHttpSettings) {
    this.#settings = settings;
    this.#poster = createPoster(settings);
    this.hasNewFiles = settings.hasNewFiles ?? (() => false);
  }

  async send(request: Uint8Array, signal: AbortSignal): Promise<Outcome> {
    const { format, compression, headers, keys, url, now } = this.#settings;
    const isSecure = url.protocol === 'https:';
    const failed = (error: Error): Outcome => ({
      kind: 'retry',
      ...failureOf(error, { isSecure, keys, proxy: httpProxy(url, process.env) }),
    });
    try {
      const plain = format === 'json' ? Buffer.from(otlpJson(request)) : request;
      const body = compression === 'none' ? plain : await compress[compression](plain);
      const answer = await this.#poster.post(
        body,
        {
          'content-type': CONTENT_TYPES[format],
          'user-agent': 'flametap',
          ...VERSION_HEADER,
          ...(compression === 'none' ? {} : { 'content-encoding': compression }),
          ...lowerCase(headers),
        },
        signal,
      );
      if (!('status' in answer)) return failed(answer.error);
      const { status, headers: answered } = answer;
      const retryAfter = answered['retry-after'];
      const contentType = answered['content-type'] ?? '';
      return httpOutcome(
        { status, retryAfter, contentType, location: answered.location, body: answer.body },
        countResources(request),
        answeredAt(answered.date, now()),
        keys,
      );
    } catch (error) {
      return failed(error as Error);
    }
  }

  close(): void {
    this.#poster.close();
  }
}

const lowerCase = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
