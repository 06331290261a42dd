/** One file over HTTP from a server that need not be friendly: everything has a limit. */
import { get as getHttp, type IncomingMessage } from 'node:http';
import { get as getHttps } from 'node:https';

export interface FetchLimits {
  readonly bytes: number;
  readonly redirects: number;
  /** Until the connection stands; then until headers or more data come; and all together. */
  readonly connectMs: number;
  readonly idleMs: number;
  readonly totalMs: number;
}

/**
 * `missing`: the server has no such file. `failed`: the server is not in order,
 * others may be. `refused`: it sent what nobody wants.
 */
export type FetchOutcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'missing' }
  | { readonly kind: 'failed' | 'refused'; readonly reason: string };

/** Thrown inside; becomes an outcome. */
class FetchError extends Error {
  readonly kind: 'missing' | 'failed' | 'refused';
  constructor(kind: 'missing' | 'failed' | 'refused', reason: string, options?: ErrorOptions) {
    super(reason, options);
    this.kind = kind;
  }
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const TOO_MANY_REQUESTS = 429;
const REQUEST_TIMEOUT = 408;
const HEADERS = { 'accept-encoding': 'identity', 'user-agent': 'flametap' };

/**
 * @param write gets the body in order; what it throws refuses the answer, its message being the reason
 * @param signal ends it early, as failed
 */
export async function fetchFile(
  url: URL,
  limits: FetchLimits,
  write: (chunk: Buffer) => void,
  signal: AbortSignal,
): Promise<FetchOutcome> {
  const ending = AbortSignal.any([signal, AbortSignal.timeout(limits.totalMs)]);
  try {
    const response = await follow(url, limits, ending);
    await receive(response, limits, write, ending);
    return { kind: 'done' };
  } catch (cause) {
    const { kind, message } = transportError(cause, ending);
    return kind === 'missing' ? { kind } : { kind, reason: message };
  }
}

async function follow(
  url: URL,
  limits: FetchLimits,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  let place = url;
  for (let i = 0; i <= limits.redirects; i++) {
    const response = await request(place, limits, signal);
    const status = response.statusCode ?? 0;
    if (status === 200) return response;
    response.destroy();
    if (!REDIRECTS.has(status)) throw refusedStatus(status);
    place = redirected(place, response.headers.location);
  }
  throw new FetchError('refused', 'debuginfod_redirect');
}

function refusedStatus(status: number): FetchError {
  const isMissing = status >= 400 && status < 500;
  if (isMissing && status !== TOO_MANY_REQUESTS && status !== REQUEST_TIMEOUT) {
    return new FetchError('missing', '');
  }
  return new FetchError('failed', 'debuginfod_status');
}

function redirected(from: URL, location: string | undefined): URL {
  const to = location === undefined ? null : URL.parse(location, from.href);
  const isSafe =
    to !== null &&
    (to.protocol === 'https:' || (to.protocol === 'http:' && from.protocol === 'http:'));
  if (!isSafe) throw new FetchError('refused', 'debuginfod_redirect');
  return to;
}

function request(url: URL, limits: FetchLimits, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const get = url.protocol === 'https:' ? getHttps : getHttp;
    const sent = get(url, { headers: HEADERS, signal, agent: false }, resolve);
    const connecting = setTimeout(
      () => sent.destroy(new FetchError('failed', 'debuginfod_timeout')),
      limits.connectMs,
    );
    sent.once('socket', (socket) => {
      socket.once('connect', () => clearTimeout(connecting));
      socket.setTimeout(limits.idleMs, () =>
        sent.destroy(new FetchError('failed', 'debuginfod_timeout')),
      );
    });
    sent.once('close', () => clearTimeout(connecting));
    sent.on('error', (cause) => reject(transportError(cause, signal)));
  });
}

function receive(
  response: IncomingMessage,
  limits: FetchLimits,
  write: (chunk: Buffer) => void,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (reason: string, cause?: unknown) => {
      response.destroy();
      reject(new FetchError('refused', reason, { cause }));
    };
    response.on('error', (cause) => reject(transportError(cause, signal)));
    response.on('close', () => {
      if (response.complete) resolve();
      else reject(new FetchError('failed', 'debuginfod_cut_off'));
    });
    const { 'content-encoding': encoding, 'content-length': length } = response.headers;
    // We asked for none; and a small answer could become as large as it likes.
    if (encoding !== undefined && encoding !== 'identity') return refuse('debuginfod_encoding');
    if (Number(length) > limits.bytes) return refuse('debuginfod_too_big');
    let received = 0;
    response.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (received > limits.bytes) return refuse('debuginfod_too_big');
      try {
        write(chunk);
      } catch (cause) {
        refuse((cause as Error).message, cause);
      }
    });
  });
}

function transportError(cause: unknown, signal: AbortSignal): FetchError {
  if (cause instanceof FetchError) return cause;
  const reason = signal.aborted ? 'debuginfod_timeout' : 'debuginfod_unreachable';
  return new FetchError('failed', reason, { cause });
}
