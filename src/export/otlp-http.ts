/** OTLP over HTTP, as protobuf or JSON. */
import { compress } from './compress.ts';
import { createPoster, type Poster, type PosterSettings } from './http-post.ts';
import { otlpJson } from './otlp-json.ts';
import { httpOutcome } from './otlp-outcome.ts';
import { countResources } from './otlp-requests.ts';
import { answeredAt } from './retry-after.ts';
import type { Outcome, Transport } from './transport.ts';

export interface OtlpHttpSettings extends PosterSettings {
  readonly format: 'protobuf' | 'json';
  readonly compression: 'gzip' | 'zstd' | 'none';
  readonly headers: Readonly<Record<string, string>>;
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

  constructor(settings: OtlpHttpSettings) {
    this.#settings = settings;
    this.#poster = createPoster(settings);
  }

  async send(request: Uint8Array, signal: AbortSignal): Promise<Outcome> {
    const { format, compression, headers, now } = this.#settings;
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
      if (!('status' in answer))
        return { kind: 'retry', reason: `${answer.reason}: ${answer.message}` };
      const { status, headers: answered } = answer;
      const retryAfter = answered['retry-after'];
      const contentType = answered['content-type'] ?? '';
      return httpOutcome(
        { status, retryAfter, contentType, body: answer.body },
        countResources(request),
        answeredAt(answered.date, now()),
      );
    } catch (error) {
      // Certificates that cannot be read now may be readable later.
      return { kind: 'retry', reason: (error as NodeJS.ErrnoException).code ?? String(error) };
    }
  }

  close(): void {
    this.#poster.close();
  }
}

const lowerCase = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
