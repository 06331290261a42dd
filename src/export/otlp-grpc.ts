/** OTLP over gRPC. Proxies are grpc-js's: grpc_proxy, https_proxy, http_proxy, no_grpc_proxy, no_proxy. */
import type { Client, ServiceError } from '@grpc/grpc-js';
import type { FaultKeys } from './fault.ts';
import { failureOf } from './network-fault.ts';
import { VERSION_HEADER } from './otlp-http.ts';
import { connectionError, grpcOutcome, retryDelayMs, successOutcome } from './otlp-outcome.ts';
import { countResources } from './otlp-requests.ts';
import { grpcProxy } from './proxy.ts';
import type { Outcome, Transport } from './transport.ts';

export interface TlsContents {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

export interface OtlpGrpcSettings {
  /** host:port */
  readonly target: string;
  readonly compression: 'gzip' | 'none';
  readonly headers: Readonly<Record<string, string>>;
  /** Of a whole request; 0 = for ever. */
  readonly timeoutMs: number;
  /** Asked for each request, so that new certificates are used; undefined = without TLS. */
  readonly tls: (() => TlsContents) | undefined;
  readonly keys: FaultKeys;
  readonly hasNewFiles?: () => boolean;
}

const METHOD = '/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export';
/** grpc.default_compression_algorithm */
const GZIP = 2;
/** More than what receivers take; the request is as large as it is. */
const MAX_REQUEST_BYTES = 64 << 20;
const MAX_ANSWER_BYTES = 4 << 20;
/**
 * Without pings: the Collector answers them with GOAWAY, and a dead connection
 * shows by a request that takes too long. Pauses after failures are the sender's,
 * so that those of the channel are kept short.
 */
const CHANNEL = {
  'grpc.primary_user_agent': 'flametap',
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1000,
  'grpc.max_send_message_length': MAX_REQUEST_BYTES,
  'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
  'grpc.use_local_subchannel_pool': 1,
  // What a name stands for, and how to send, is nothing that DNS may tell.
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_retries': 0,
};

type Grpc = typeof import('@grpc/grpc-js');

export class OtlpGrpcTransport implements Transport {
  readonly #settings: OtlpGrpcSettings;
  /** Loaded at the first request: 5 MiB that other agents do without. */
  #grpc: Promise<Grpc> | undefined;
  #client: Client | undefined;
  /** What the client was made with. */
  #tls: TlsContents | undefined;
  #isClosed = false;
  readonly hasNewFiles: () => boolean;

  constructor(settings: OtlpGrpcSettings) {
    this.#settings = settings;
    this.hasNewFiles = settings.hasNewFiles ?? (() => false);
  }

  async send(request: Uint8Array, signal: AbortSignal): Promise<Outcome> {
    try {
      this.#grpc ??= loadGrpc();
      const grpc = await this.#grpc;
      if (this.#isClosed || signal.aborted) return { kind: 'retry', reason: 'cancelled' };
      return await this.#call(grpc, this.#clientOf(grpc), request, signal);
    } catch (error) {
      return this.#failed(error as Error);
    }
  }

  #failed(error: { readonly message: string }): Outcome {
    const { target, tls, keys } = this.#settings;
    const proxy = grpcProxy(target, process.env);
    const attempted = { isSecure: tls !== undefined, keys, proxy };
    return { kind: 'retry', ...failureOf(error, attempted) };
  }

  #outcome(error: ServiceError, series: number): Outcome {
    const [details] = error.metadata.get('grpc-status-details-bin');
    const delay = typeof details === 'object' ? retryDelayMs(details) : undefined;
    const answer = { code: error.code, message: error.details, retryDelayMs: delay };
    const unanswered = connectionError(answer);
    if (unanswered !== undefined) return this.#failed({ message: unanswered });
    return grpcOutcome(answer, series, this.#settings.keys);
  }

  #call(grpc: Grpc, client: Client, request: Uint8Array, signal: AbortSignal): Promise<Outcome> {
    const { headers, timeoutMs } = this.#settings;
    const metadata = new grpc.Metadata();
    for (const [name, value] of Object.entries({ ...VERSION_HEADER, ...headers }))
      metadata.set(name.toLowerCase(), value);
    const options = timeoutMs > 0 ? { deadline: Date.now() + timeoutMs } : {};
    return new Promise((resolve) => {
      const call = client.makeUnaryRequest(
        METHOD,
        (message: Uint8Array) => Buffer.from(message.buffer, message.byteOffset, message.length),
        (bytes: Buffer) => bytes,
        request,
        metadata,
        options,
        (error: ServiceError | null, response?: Buffer) => {
          signal.removeEventListener('abort', cancel);
          if (error && UNANSWERED.has(error.code)) this.#drop(client);
          resolve(
            error
              ? this.#outcome(error, countResources(request))
              : successOutcome('', response ?? Buffer.alloc(0)),
          );
        },
      );
      const cancel = (): void => call.cancel();
      signal.addEventListener('abort', cancel, { once: true });
    });
  }

  /** A new one when the certificates are others. */
  #clientOf(grpc: Grpc): Client {
    const { target, compression, tls } = this.#settings;
    const contents = tls?.();
    const isSame =
      this.#tls?.ca === contents?.ca &&
      this.#tls?.cert === contents?.cert &&
      this.#tls?.key === contents?.key;
    if (this.#client && isSame) return this.#client;
    // Throws when the certificates make no sense; then the old ones are not used either.
    this.#drop(this.#client);
    const credentials = contents
      ? grpc.credentials.createSsl(contents.ca, contents.key, contents.cert)
      : grpc.credentials.createInsecure();
    this.#client = new grpc.Client(target, credentials, {
      ...CHANNEL,
      ...(compression === 'gzip' ? { 'grpc.default_compression_algorithm': GZIP } : {}),
    });
    this.#tls = contents;
    return this.#client;
  }

  /** The connection may be dead, which nobody would tell us: the next request makes a new one. */
  #drop(client: Client | undefined): void {
    client?.close();
    if (this.#client === client) this.#client = undefined;
  }

  close(): void {
    this.#isClosed = true;
    this.#drop(this.#client);
  }
}

/** CANCELLED (by us) and DEADLINE_EXCEEDED. */
const UNANSWERED: ReadonlySet<number> = new Set([1, 4]);

/** A package in CommonJS: not every loader finds its names beside the default. */
async function loadGrpc(): Promise<Grpc> {
  const loaded: Grpc & { readonly default?: Grpc } = await import('@grpc/grpc-js');
  const grpc = loaded.default ?? loaded;
  // It would write lines of its own between ours; what matters is in the outcomes.
  grpc.setLogVerbosity(grpc.logVerbosity.NONE);
  return grpc;
}
