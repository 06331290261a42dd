/** One file over HTTP from a server that need not be friendly: everything has a limit. */
import { get as getHttp, Agent as HttpAgent, type IncomingMessage } from 'node:http';
import { get as getHttps, Agent as HttpsAgent } from 'node:https';

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
  const deadline = new Deadline(limits.totalMs, signal);
  try {
    const response = await follow(url, limits, deadline);
    await receive(response, limits, write, deadline);
    return { kind: 'done' };
  } catch (cause) {
    const { kind, message } = deadline.isOver
      ? timeout()
      : failure(cause, 'debuginfod_unreachable');
    return kind === 'missing' ? { kind } : { kind, reason: message };
  } finally {
    deadline.close();
  }
}

const timeout = (): FetchError => new FetchError('failed', 'debuginfod_timeout');

/** Ends a fetch when all of it, or a step, takes too long, or when nobody wants it any more. */
class Deadline {
  readonly #ending = new AbortController();
  readonly #total: NodeJS.Timeout;
  readonly #outer: AbortSignal;
  #step: NodeJS.Timeout | undefined;

  constructor(milliseconds: number, outer: AbortSignal) {
    this.#total = setTimeout(this.#end, milliseconds);
    this.#outer = outer;
    if (outer.aborted) this.#end();
    else outer.addEventListener('abort', this.#end);
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  get isOver(): boolean {
    return this.signal.aborted;
  }

  /** A step begins, which ends the one before. */
  step(milliseconds: number): void {
    clearTimeout(this.#step);
    this.#step = setTimeout(this.#end, milliseconds);
  }

  close(): void {
    clearTimeout(this.#total);
    clearTimeout(this.#step);
    this.#outer.removeEventListener('abort', this.#end);
  }

  readonly #end = (): void => this.#ending.abort();
}

async function follow(url: URL, limits: FetchLimits, deadline: Deadline): Promise<IncomingMessage> {
  let place = url;
  for (let i = 0; i <= limits.redirects; i++) {
    const response = await request(place, limits, deadline);
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

function request(url: URL, limits: FetchLimits, deadline: Deadline): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    deadline.step(limits.connectMs);
    const { signal } = deadline;
    // HTTPS_PROXY, HTTP_PROXY and NO_PROXY, as Node obeys them; the connection is for this request alone.
    const proxies = { proxyEnv: process.env };
    const sent =
      url.protocol === 'https:'
        ? getHttps(url, { headers: HEADERS, signal, agent: new HttpsAgent(proxies) }, resolve)
        : getHttp(url, { headers: HEADERS, signal, agent: new HttpAgent(proxies) }, resolve);
    sent.once('socket', (socket) => {
      // A tunnel stands already when its socket comes.
      if (socket.connecting) socket.once('connect', () => deadline.step(limits.idleMs));
      else deadline.step(limits.idleMs);
    });
    sent.on('error', reject);
  });
}

function receive(
  response: IncomingMessage,
  limits: FetchLimits,
  write: (chunk: Buffer) => void,
  deadline: Deadline,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (reason: string, cause?: unknown) => {
      response.destroy();
      reject(new FetchError('refused', reason, { cause }));
    };
    response.on('error', (cause) => reject(failure(cause, 'debuginfod_cut_off')));
    response.on('close', () => {
      if (response.complete) resolve();
      else reject(new FetchError('failed', 'debuginfod_cut_off'));
    });
    deadline.step(limits.idleMs);
    const { 'content-encoding': encoding, 'content-length': length } = response.headers;
    // We asked for none; and a small answer could become as large as it likes.
    if (encoding !== undefined && encoding !== 'identity') return refuse('debuginfod_encoding');
    if (Number(length) > limits.bytes) return refuse('debuginfod_too_big');
    let received = 0;
    response.on('data', (chunk: Buffer) => {
      deadline.step(limits.idleMs);
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

function failure(cause: unknown, reason: string): FetchError {
  return cause instanceof FetchError ? cause : new FetchError('failed', reason, { cause });
}
