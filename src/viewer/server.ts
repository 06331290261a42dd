/**
 * The live viewer over HTTP: the page and a small read-only API.
 *
 *   GET /                     the page
 *   GET /?trace_id= &span_id= the page with that request
 *   GET /api/flame            FlameTree JSON (src/profile/flame-tree.ts); &kernel=0|1
 *   GET /api/processes        [{name, samples}], most first; ?seconds=
 *   GET /api/status           versions, tally, memory, what the agent says of itself
 *   GET /api/traces, /api/profile.pprof, …   see request-routes.ts
 *
 * Where samples are chosen: ?seconds= or ?from= &until=, ?process=… &service=…, &trace_id= &span_id=
 *
 *   GET /metrics              Prometheus text
 *   GET /healthz, /readyz     200 or 503 and a line that says why; without the token
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { flameTreeJson } from '../profile/flame-tree.ts';
import { EXPOSITION_TYPE } from '../telemetry/exposition.ts';
import type { Verdict } from '../telemetry/health.ts';
import { TokenGate } from './access.ts';
import {
  inUrl,
  isLoopbackHostHeader,
  type ListenAddress,
  listenAddress,
  ViewerError,
} from './address.ts';
import { type Answer, failure, json } from './answer.ts';
import { livePolicy, type PageTemplate, readPage, renderPage } from './page-file.ts';
import { parseQuery, QueryError, SELECTING } from './query.ts';
import { answerRequest, isRequestPath } from './request-routes.ts';
import type { ProfileStore } from './store.ts';

export interface ViewerOptions {
  /** host:port, or its parts; beyond loopback only with `token`. Port 0 = any that is free. */
  readonly listen: string | { readonly host: string; readonly port: number };
  readonly store: ProfileStore;
  /**
   * What the agent says of itself, shown as it is under `agent` of /api/status. The
   * page words these numbers: hz, processes, userCpuPercent, kernelCpuPercent,
   * kernelNsPerSample, rssBytes, mapBytes.
   */
  readonly status?: () => unknown;
  /** Prometheus text; without it there is no /metrics. */
  readonly metrics?: () => string;
  /** Without it there is neither /healthz nor /readyz. */
  readonly health?: { readonly live: Verdict; readonly ready: Verdict };
  /** At least 16 characters; then every request needs it. */
  readonly token?: string;
  /** The profiles are those of files: nothing new will come. */
  readonly saved?: boolean;
  /** Default: the page that the build made. */
  readonly page?: PageTemplate;
  /** A request that failed inside; the client gets 500. */
  readonly onError?: (error: unknown) => void;
}

export interface Viewer {
  /** Of the page, without the token. */
  readonly url: string;
  close(): Promise<void>;
}

const LONGEST_URL = 4_096;
const MOST_CONNECTIONS = 64;
/** Requests that build something at one time; a page needs one. */
const MOST_BUILDING = 4;
/** Built trees kept for pages that look at the same window. */
const KEPT_ANSWERS = 4;
const HEADERS_MS = 5_000;
const IDLE_MS = 15_000;
const ANSWER_MS = 30_000;

const pack = promisify(gzip);
const unpack = promisify(gunzip);

/** Rejects with ViewerError or PageError, whose messages name what to do. */
export async function startViewer(options: ViewerOptions): Promise<Viewer> {
  const address = listenAddress(options.listen);
  const name = `${inUrl(address.host)}:${address.port}`;
  if (!address.loopback && options.token === undefined) {
    throw new ViewerError(
      `${name} can be reached by others: set a token for the viewer, or listen on 127.0.0.1`,
    );
  }
  const viewer = new RequestHandler(options);
  const server = createServer({
    maxHeaderSize: 8_192,
    headersTimeout: HEADERS_MS,
    requestTimeout: HEADERS_MS * 2,
    keepAliveTimeout: 10_000,
    connectionsCheckingInterval: 1_000,
    requireHostHeader: false,
  });
  server.maxConnections = MOST_CONNECTIONS;
  server.setTimeout(IDLE_MS, (socket) => socket.destroy());
  server.on('request', (request, response) => void viewer.answer(request, response));
  server.on('clientError', (_error, socket) => socket.destroy());
  await listening(server, address, name);
  const { port } = server.address() as AddressInfo;
  viewer.open(port, address.loopback);
  return {
    url: `http://${inUrl(address.host)}:${port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listening(server: Server, address: ListenAddress, listen: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const words: Record<string, string> = {
        EADDRINUSE: `${listen} is in use, perhaps by another agent: stop that one or listen on another port`,
        EACCES: `${listen} needs privileges: listen on a port above 1023`,
        EADDRNOTAVAIL: `${listen} is not an address of this machine: listen on 127.0.0.1`,
        ENOTFOUND: `${listen} names a host that cannot be found: listen on 127.0.0.1`,
      };
      const message = words[error.code ?? ''] ?? `cannot listen on ${listen}: ${error.message}`;
      reject(new ViewerError(message, { cause: error }));
    });
    server.listen({ host: address.host, port: address.port }, resolve);
  });
}

class RequestHandler {
  readonly #options: ViewerOptions;
  readonly #gate: TokenGate | null;
  readonly #template: PageTemplate;
  readonly #page: string;
  readonly #policy: string;
  readonly #startedMs = Date.now();
  readonly #started = performance.now();
  readonly #kept = new Map<string, Promise<Uint8Array>>();
  #building = 0;
  #port = 0;
  #loopback = true;

  constructor(options: ViewerOptions) {
    this.#options = options;
    this.#gate = options.token === undefined ? null : new TokenGate(options.token);
    this.#template = options.page ?? readPage();
    this.#policy = livePolicy(this.#template);
    this.#page = renderPage(this.#template, { mode: 'live', title: 'Flametap', data: '' });
  }

  open(port: number, loopback: boolean): void {
    this.#port = port;
    this.#loopback = loopback;
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A client that reads one byte now and then is never idle; this ends it.
    const deadline = setTimeout(() => response.destroy(), ANSWER_MS);
    response.on('close', () => clearTimeout(deadline));
    response.on('error', () => response.destroy());
    let answer: Answer;
    try {
      answer = this.#refusal(request) ?? (await this.#route(request));
    } catch (error) {
      if (error instanceof QueryError) answer = failure(400, error.message);
      else {
        this.#options.onError?.(error);
        answer = failure(500, 'the viewer failed; its log says why');
      }
    }
    this.#send(request, response, answer);
  }

  #refusal(request: IncomingMessage): Answer | null {
    const url = request.url ?? '';
    if (url.length > LONGEST_URL) return failure(414, 'the address is too long');
    if (!url.startsWith('/')) return failure(400, 'the address must be a path');
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return failure(405, 'only GET and HEAD', { Allow: 'GET, HEAD' });
    }
    if (this.#loopback && !isLoopbackHostHeader(request.headers.host)) {
      return failure(421, 'open this viewer as localhost or 127.0.0.1');
    }
    const site = request.headers['sec-fetch-site'];
    const foreign = site !== undefined && site !== 'same-origin' && site !== 'none';
    if (foreign && !isLink(request)) return failure(403, 'other pages may not read this viewer');
    return null;
  }

  async #route(request: IncomingMessage): Promise<Answer> {
    // The base only makes the path parsable; what a client calls this host plays no part.
    const url = URL.parse(request.url!, 'http://viewer.invalid');
    if (url?.host !== 'viewer.invalid') return failure(400, 'the address must be a path');
    const { health } = this.#options;
    // Probes of Kubernetes come from another address and have no secret.
    if (health && url.pathname === '/healthz') return probe(url, health.live);
    if (health && url.pathname === '/readyz') return probe(url, health.ready);
    if (this.#gate) {
      const access = this.#gate.check(request, url, this.#port);
      if (access === 'denied') {
        return failure(401, 'this viewer needs its token: /?token=…', {
          'WWW-Authenticate': 'Bearer realm="flametap"',
        });
      }
      if (access === 'granted-by-url') {
        url.searchParams.delete('token');
        return {
          status: 303,
          type: 'text/plain',
          body: '',
          headers: {
            'Set-Cookie': this.#gate.cookie(this.#port),
            Location: `${url.pathname}${url.search}`,
          },
        };
      }
    }
    switch (url.pathname) {
      case '/':
        return { status: 200, type: 'text/html; charset=utf-8', body: this.#page };
      case '/api/flame':
        return this.#flame(request, url);
      case '/api/processes': {
        const { seconds } = parseQuery(url.searchParams, ['seconds']);
        return json(this.#options.store.processes(seconds));
      }
      case '/api/status':
        parseQuery(url.searchParams, []);
        return json(this.#status());
      case '/metrics':
        return this.#metrics(url);
    }
    if (!isRequestPath(url.pathname)) return failure(404, 'no such page');
    return answerRequest(url, { store: this.#options.store, page: this.#template });
  }

  async #flame(request: IncomingMessage, url: URL): Promise<Answer> {
    const query = parseQuery(url.searchParams, [...SELECTING, 'kernel']);
    const { store } = this.#options;
    const key = `${store.version} ${JSON.stringify(query)}`;
    // With the start time: another agent on this port may reach the same version.
    const etag = `W/"${this.#startedMs.toString(36)}-${createHash('sha256').update(key).digest('base64url').slice(0, 16)}"`;
    const headers = { ETag: etag, Vary: 'Accept-Encoding' };
    if (request.headers['if-none-match'] === etag) {
      return { status: 304, type: 'application/json', body: '', headers };
    }
    let packed = this.#kept.get(key);
    if (!packed) {
      if (this.#building >= MOST_BUILDING) {
        return failure(503, 'too many requests at once', { 'Retry-After': '1' });
      }
      this.#building++;
      packed = this.#pack(() => flameTreeJson(store.flame(query))).finally(() => {
        this.#building--;
      });
      this.#kept.set(key, packed);
      packed.catch(() => this.#kept.delete(key));
      for (const old of this.#kept.keys()) {
        if (this.#kept.size <= KEPT_ANSWERS) break;
        this.#kept.delete(old);
      }
    }
    const body = await packed;
    if (!/\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''))) {
      return { status: 200, type: 'application/json', body: await unpack(body), headers };
    }
    return {
      status: 200,
      type: 'application/json',
      body,
      headers: { ...headers, 'Content-Encoding': 'gzip' },
    };
  }

  async #pack(make: () => string): Promise<Uint8Array> {
    // Level 1 halves the time of 6 for a tenth more bytes; most readers are on this machine.
    return pack(make(), { level: 1 });
  }

  #metrics(url: URL): Answer {
    const { metrics } = this.#options;
    if (!metrics) return failure(404, 'no such page');
    parseQuery(url.searchParams, []);
    return { status: 200, type: EXPOSITION_TYPE, body: metrics() };
  }

  #status(): unknown {
    const { store, status, saved = false } = this.#options;
    return {
      saved,
      version: store.version,
      uptimeSeconds: (performance.now() - this.#started) / 1_000,
      profiles: store.profiles,
      newestMs: store.newestMs,
      storeBytes: store.bytes,
      tally: store.tally(),
      agent: status?.() ?? null,
    };
  }

  #send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
    if (response.destroyed) return;
    const body = typeof answer.body === 'string' ? Buffer.from(answer.body) : answer.body;
    response.writeHead(answer.status, {
      'Content-Type': answer.type,
      ...(answer.status === 304 ? {} : { 'Content-Length': body.byteLength }),
      'Cache-Control': 'no-store',
      'Content-Security-Policy': this.#policy,
      'X-Content-Type-Options': 'nosniff',
      'X-Frame-Options': 'DENY',
      'Referrer-Policy': 'no-referrer',
      'Cross-Origin-Resource-Policy': 'same-origin',
      'Cross-Origin-Opener-Policy': 'same-origin',
      // A body is never read: the connection ends instead of waiting for it.
      ...(hasBody(request) ? { Connection: 'close' } : {}),
      ...answer.headers,
    });
    response.end(request.method === 'HEAD' ? undefined : body);
  }
}

function probe(url: URL, { ok, words }: Verdict): Answer {
  parseQuery(url.searchParams, []);
  return { status: ok ? 200 : 503, type: 'text/plain; charset=utf-8', body: `${words}\n` };
}

/**
 * Following a link, which shows nothing to the page that has it: the page, and what a
 * tracing UI may link to.
 */
function isLink({ url = '', headers }: IncomingMessage): boolean {
  if (headers['sec-fetch-mode'] !== 'navigate') return false;
  if (!url.startsWith('/api')) return true;
  // Not as a frame.
  return headers['sec-fetch-dest'] === 'document' && /^\/api\/(traces|spans)\//.test(url);
}

const hasBody = (request: IncomingMessage): boolean =>
  request.headers['content-length'] !== undefined ||
  request.headers['transfer-encoding'] !== undefined;
