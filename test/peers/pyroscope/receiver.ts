/**
 * Answers as a Pyroscope does that was built from its public source of 2026-08-21
 * and run: pushes of pprof, OTLP over HTTP, and the queries that tests need. Where every rule comes
 * from is said beside it, see rules.ts.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import protobuf from 'protobufjs';
import {
  decodeRequest,
  type Request,
  requestType,
} from '../../../src/profile/otlp-messages.test-support.ts';
import { DEFAULT_LIMITS, type Limits } from './limits.ts';
import { seriesOfOtlp } from './otlp-series.ts';
import { type PushedProfile, readPushed } from './pushed-profile.ts';
import { answerQuery } from './queries.ts';
import { checkLabels, checkProfile, Refusal } from './rules.ts';
import { Store, seriesOfPushed } from './store.ts';

export interface ReceiverOptions {
  readonly limits: Partial<Limits>;
  /** -auth.multitenancy-enabled */
  readonly multitenancy: boolean;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** (run) HTTP statuses of connect's codes. */
const STATUS: Readonly<Record<string, number>> = {
  invalid_argument: 400,
  unauthenticated: 401,
  resource_exhausted: 429,
  unknown: 500,
  unimplemented: 501,
};

const SUCCESS: Answer = { status: 200, type: 'application/proto', body: '' };
const PUSH = '/push.v1.PusherService/Push';
const OTLP = '/v1development/profiles';
/** (run) Nothing else, also no charset. */
const OTLP_TYPES: ReadonlySet<string> = new Set(['application/x-protobuf', 'application/protobuf']);
const QUERIER = '/querier.v1.QuerierService/';
const proto = join(import.meta.dirname, '..', '..', '..', 'proto', 'pyroscope', 'push.proto');

interface PushRequest {
  readonly series: readonly {
    readonly labels: readonly { readonly name: string; readonly value: string }[];
    readonly samples: readonly { readonly raw_profile: Uint8Array }[];
  }[];
}

export class PyroscopeReceiver {
  /** By tenant; `anonymous` without multitenancy (run). */
  readonly #stores = new Map<string, Store>();
  readonly #options: ReceiverOptions;
  readonly #limits: Limits;
  #bucket: { readonly bytes: number; readonly atMs: number };
  readonly #message: protobuf.Type;
  readonly #otlpMessage = requestType();
  readonly #server: Server;
  /** Answers to come before any request is looked at. */
  readonly scripted: Answer[] = [];
  /** Headers of pushes. */
  readonly requests: IncomingMessage['headers'][] = [];

  private constructor(options: ReceiverOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#bucket = { bytes: this.#limits.burstBytes, atMs: options.now() };
    const root = new protobuf.Root().loadSync(proto, { keepCase: true });
    this.#message = root.lookupType('push.v1.PushRequest');
    this.#server = createServer((request, response) => {
      void this.#answer(request).then(({ status, type, body }) => {
        response.writeHead(status, { 'content-type': type }).end(body);
      });
    });
  }

  static async start(options: Partial<ReceiverOptions> = {}): Promise<PyroscopeReceiver> {
    const whole = { limits: {}, multitenancy: false, now: Date.now, ...options };
    const receiver = new PyroscopeReceiver(whole);
    await new Promise<void>((resolve) => receiver.#server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get url(): URL {
    return new URL(`http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`);
  }

  compact(): void {
    for (const store of this.#stores.values()) store.compact();
  }

  close(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const path = request.url ?? '';
    try {
      if (path === PUSH) return this.#push(request, body);
      if (path === OTLP) return this.#otlp(request, body);
      if (path.startsWith(QUERIER)) {
        const store = this.#store(request);
        const answer = answerQuery(store, path.slice(QUERIER.length), body.toString(), request);
        return { status: 200, type: 'application/json', body: JSON.stringify(answer) };
      }
      return { status: 404, type: 'text/plain; charset=utf-8', body: '404 page not found\n' };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const { code, message } = error;
      return {
        status: STATUS[code]!,
        type: 'application/json',
        body: JSON.stringify({ code, message }),
      };
    }
  }

  #store({ headers }: IncomingMessage): Store {
    const tenant = headers['x-scope-orgid'];
    if (this.#options.multitenancy && !tenant) throw new Refusal('unauthenticated', 'no org id');
    const name = this.#options.multitenancy ? String(tenant) : 'anonymous';
    const store = this.#stores.get(name) ?? new Store();
    this.#stores.set(name, store);
    return store;
  }

  #push(request: IncomingMessage, body: Buffer): Answer {
    const { headers, method } = request;
    this.requests.push(headers);
    const scripted = this.scripted.shift();
    if (scripted !== undefined) return scripted;
    if (method !== 'POST') return { status: 405, type: 'text/plain', body: '' };
    if (headers['content-type'] !== 'application/proto')
      return { status: 415, type: 'text/plain', body: '' };
    const version = headers['connect-protocol-version'];
    // Absent is fine.
    if (version && version !== '1')
      throw new Refusal(
        'invalid_argument',
        `Connect-Protocol-Version must be "1": got "${version}"`,
      );
    const { series } = this.#decode(headers['content-encoding'], body);
    return this.#pushSeries(series, this.#store(request));
  }

  #decode(encoding: string | undefined, body: Buffer): PushRequest {
    let message: Uint8Array = body;
    if (encoding === 'gzip') {
      try {
        message = gunzipSync(body);
      } catch {
        throw new Refusal('invalid_argument', 'get decompressor: gzip: invalid header');
      }
    } else if (encoding !== undefined && encoding !== 'identity')
      throw new Refusal(
        'unimplemented',
        `unknown compression "${encoding}": supported encodings are gzip`,
      );
    try {
      return this.#message.toObject(this.#message.decode(message), {
        arrays: true,
        defaults: true,
      }) as PushRequest;
    } catch (error) {
      throw new Refusal('invalid_argument', `unmarshal message: ${(error as Error).message}`);
    }
  }

  /**
   * Series are handled one by one: what is good is stored even when another is
   * refused, and one of the refusals is the answer (run). Which one is chance at the
   * server, here it is the first.
   */
  #pushSeries(all: PushRequest['series'], store: Store): Answer {
    let refusal: Refusal | undefined;
    let count = 0;
    for (const { labels, samples } of all) {
      for (const { raw_profile: raw } of samples) {
        count++;
        try {
          const given = labels.map(({ name, value }) => [name, value] as const);
          // (run) An absent service name is filled in, an empty one is refused.
          const isNamed = given.some(([name]) => name === 'service_name');
          const all = isNamed ? given : [...given, ['service_name', 'unknown_service'] as const];
          this.#pushProfile(all, this.#readProfile(raw), store);
        } catch (error) {
          if (!(error instanceof Refusal)) throw error;
          refusal ??= error;
        }
      }
    }
    if (count === 0) throw new Refusal('invalid_argument', 'no profiles received');
    if (refusal !== undefined) throw refusal;
    return SUCCESS;
  }

  #pushProfile(
    labels: readonly (readonly [string, string])[],
    profile: PushedProfile,
    store: Store,
  ): void {
    const nowMs = this.#options.now();
    // (code) Before validation, so that a refused profile counts too.
    this.#limitRate(profile, labels, nowMs);
    checkProfile(profile, labels, this.#limits, nowMs);
    checkLabels(labels, this.#limits);
    const series = new Map(labels);
    for (const one of seriesOfPushed(profile, series)) checkLabels([...one], this.#limits);
    store.add(profile, series, BigInt(nowMs) * 1_000_000n);
  }

  /** (run) Statuses and texts; all refusals are told, unlike by the push API. */
  #otlp(request: IncomingMessage, body: Buffer): Answer {
    const { headers, method } = request;
    this.requests.push(headers);
    const scripted = this.scripted.shift();
    if (scripted !== undefined) return scripted;
    const type = headers['content-type'] ?? '';
    if (method !== 'POST') return plain(405, '');
    if (!OTLP_TYPES.has(type)) return plain(415, `Unsupported Content-Type: ${type}`);
    let message: Uint8Array = body;
    try {
      // Other encodings are not looked at.
      if (headers['content-encoding'] === 'gzip') message = gunzipSync(body);
    } catch {
      return plain(400, 'Failed to read request body');
    }
    let otlp: Request;
    try {
      otlp = decodeRequest(this.#otlpMessage, message);
    } catch {
      return plain(400, 'Failed to parse protobuf request');
    }
    const lacks = otlp.dictionary === null ? 'profile metadata dictionary' : 'resource profiles';
    if (otlp.dictionary === null || otlp.resource_profiles.length === 0)
      return plain(500, `rpc error: code = InvalidArgument desc = missing ${lacks}`);
    return this.#storeOtlp(otlp, this.#store(request));
  }

  #storeOtlp(otlp: Request, store: Store): Answer {
    const refusals: Refusal[] = [];
    const texts: string[] = [];
    for (const [index, { labels, profile }] of seriesOfOtlp(otlp).entries()) {
      try {
        this.#pushProfile(labels, profile, store);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        refusals.push(error);
        const { code, message } = error;
        texts.push(
          `push series with index ${index} and id ${randomUUID()} failed: ${code}: ${message}`,
        );
      }
    }
    const [first] = refusals;
    if (first === undefined) return { ...SUCCESS, type: 'application/x-protobuf' };
    const count = texts.length === 1 ? '' : `${texts.length} errors: `;
    return plain(STATUS[first.code]!, `failed to make a GRPC request: ${count}${texts.join('; ')}`);
  }

  #readProfile(raw: Uint8Array): PushedProfile {
    let profile: PushedProfile;
    try {
      if (raw.length === 0) throw new Error('gzip reset: EOF');
      profile = readPushed(raw);
    } catch (error) {
      // (run) `unknown`, HTTP 500, although it never can be taken.
      throw new Refusal('unknown', (error as Error).message);
    }
    if (profile.bytes > this.#limits.profileBytes)
      throw new Refusal(
        'invalid_argument',
        'uncompressed profile payload size exceeds limit of 4.2 MB',
      );
    return profile;
  }

  /** (run, code) A bucket of uncompressed bytes, of a tenant each at the server; no Retry-After. */
  #limitRate(
    profile: PushedProfile,
    labels: readonly (readonly [string, string])[],
    nowMs: number,
  ): void {
    const { rateBytes, burstBytes } = this.#limits;
    const bucket = this.#bucket;
    const refilled = bucket.bytes + (rateBytes * (nowMs - bucket.atMs)) / 1000;
    const size = labels.reduce((sum, pair) => sum + pair.join('').length, profile.bytes);
    const has = Math.min(burstBytes, refilled);
    this.#bucket = { bytes: size <= has ? has - size : has, atMs: nowMs };
    if (size > has)
      throw new Refusal(
        'resource_exhausted',
        `push rate limit (${sizeText(rateBytes)}) exceeded while adding ${sizeText(size)}`,
      );
  }
}

function plain(status: number, text: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body: `${text}\n` };
}

/** (run) `75 KiB`, `2.4 MiB`: two digits at least. */
function sizeText(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(3, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 2 ** (10 * power);
  return `${value.toFixed(power > 0 && value < 9.95 ? 1 : 0)} ${['B', 'KiB', 'MiB', 'GiB'][power]}`;
}
