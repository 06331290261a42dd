/** Answers one request after the other: who may ask, what is known here, and what the history makes. */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { EXPOSITION_TYPE } from '../telemetry/exposition.ts';
import type { Verdict } from '../telemetry/health.ts';
import { TokenGate } from './access.ts';
import { isLoopbackHostHeader } from './address.ts';
import { type Answer, bytesOf, failure, json } from './answer.ts';
import type { Connections } from './connections.ts';
import type { Standing } from './entrance.ts';
import type { Head } from './head.ts';
import { HistoryError, isHistoryPath } from './history.ts';
import { type HeldAnswer, KeptAnswers } from './kept-answers.ts';
import { livePolicy, readPage, renderPage } from './page-file.ts';
import { parseQuery, QueryError } from './query.ts';
import { refusedPage } from './refused-page.ts';
import { send, sendHeld } from './sending.ts';
import type { ConnectionDrops, ViewerLimits, ViewerOptions } from './server.ts';

const LONGEST_URL = 4_096;
/** Whoever asks for metrics more often gets the same: without the token too it costs little. */
const METRICS_MS = 1_000;
const BUSY = 'too many requests at once';
const PROBES: ReadonlySet<string> = new Set(['/healthz', '/readyz']);
/** Makes a path parsable; what a client calls this host plays no part. */
const BASE = 'http://viewer.invalid';

export class RequestHandler {
  readonly #options: ViewerOptions;
  readonly #limits: ViewerLimits;
  readonly #connections: Connections;
  readonly #gate: TokenGate | null;
  readonly #kept: KeptAnswers;
  readonly #page: Uint8Array;
  readonly #policy: string;
  readonly #startedMs = Date.now();
  readonly #started = performance.now();
  /** What /metrics says, and since when. */
  #metricsText: Promise<string> = Promise.resolve('');
  #metricsAt = Number.NEGATIVE_INFINITY;
  #port = 0;
  #loopback = true;
  #drops = (): ConnectionDrops => ({});

  constructor(options: ViewerOptions, limits: ViewerLimits, connections: Connections) {
    this.#options = options;
    this.#limits = limits;
    this.#connections = connections;
    this.#gate = options.token === undefined ? null : new TokenGate(options.token);
    this.#kept = new KeptAnswers(options.history);
    const template = options.page ?? readPage();
    this.#policy = livePolicy(template);
    this.#page = Buffer.from(renderPage(template, { mode: 'live', title: 'Flametap', data: '' }));
  }

  open(port: number, loopback: boolean): void {
    this.#port = port;
    this.#loopback = loopback;
  }

  /** @param drops what /metrics tells */
  countDrops(drops: () => ConnectionDrops): void {
    this.#drops = drops;
  }

  /** What is to be expected of a request, before it is read in the usual way. */
  standing({ url, ...head }: Head): Standing {
    const { health, openMetrics = false } = this.#options;
    const path = url.split('?', 1)[0]!;
    if ((health && PROBES.has(path)) || (openMetrics && path === '/metrics')) return 'open';
    if (!this.#gate) return 'guest';
    const parsedUrl = URL.parse(url, BASE);
    const isKnown = parsedUrl && this.#gate.check(head, parsedUrl, this.#port) !== 'denied';
    return isKnown ? 'known' : 'stranger';
  }

  /** Of probes: the status, and why. */
  shortAnswer({ method, url }: Head): string | undefined {
    const { health } = this.#options;
    if (!health || method !== 'GET' || !PROBES.has(url)) return undefined;
    const { ok, words } = url === '/healthz' ? health.live : health.ready;
    const status = ok ? '200 OK' : '503 Service Unavailable';
    const length = Buffer.byteLength(words, 'latin1') + 1;
    return `HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${words}\n`;
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => response.destroy());
    try {
      const answer = this.#refusal(request) ?? (await this.#openToAll(request));
      if (answer) {
        // Whoever shows no token asks once: it could send thousands of requests in one piece.
        const headers = { ...answer.headers, Connection: 'close' };
        this.#send(request, response, { ...answer, headers });
        return;
      }
      this.#connections.use(request.socket);
      const { pathname } = parsed(request)!;
      if (isHistoryPath(pathname)) await this.#answerOfHistory(request, response);
      else this.#send(request, response, await this.#known(request));
    } catch (error) {
      this.#send(request, response, this.#failed(error));
    }
  }

  #failed(error: unknown): Answer {
    if (error instanceof QueryError) return failure(400, error.message);
    if (error instanceof HistoryError) return failure(503, error.message, { 'Retry-After': '2' });
    this.#options.onError?.(error);
    return failure(500, 'the viewer failed; its log says why');
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

  /** What anybody gets; null when it is for those who may look. */
  async #openToAll(request: IncomingMessage): Promise<Answer | null> {
    const url = parsed(request);
    if (url?.host !== 'viewer.invalid') return failure(400, 'the address must be a path');
    const { health, openMetrics = false } = this.#options;
    // Probes of Kubernetes come from another address and have no secret.
    if (health && url.pathname === '/healthz') return probe(url, health.live);
    if (health && url.pathname === '/readyz') return probe(url, health.ready);
    if (openMetrics && url.pathname === '/metrics') return this.#metrics(url);
    return this.#gate && this.#access(this.#gate, request, url);
  }

  /** Of what is known here. */
  async #known(request: IncomingMessage): Promise<Answer> {
    const url = parsed(request)!;
    if (url.pathname === '/')
      return { status: 200, type: 'text/html; charset=utf-8', body: this.#page };
    return url.pathname === '/metrics' ? this.#metrics(url) : failure(404, 'no such page');
  }

  /** What there is to say to who may not pass, or passes with the token in the address. */
  #access(gate: TokenGate, request: IncomingMessage, url: URL): Answer | null {
    const access = gate.check(request, url, this.#port);
    if (access === 'granted') return null;
    if (access === 'denied') {
      if (/\btext\/html\b/.test(request.headers.accept ?? '')) return refusedPage;
      return failure(
        401,
        "this page needs its token: as root or the agent's user, flametap view --address prints an address with it",
        {
          'WWW-Authenticate': 'Bearer realm="flametap"',
        },
      );
    }
    url.searchParams.delete('token');
    return {
      status: 303,
      type: 'text/plain',
      body: '',
      headers: {
        'Set-Cookie': gate.cookie(this.#port),
        Location: `${url.pathname}${url.search}`,
      },
    };
  }

  async #metrics(url: URL): Promise<Answer> {
    const { metrics } = this.#options;
    if (!metrics) return failure(404, 'no such page');
    parseQuery(url.searchParams, []);
    const now = performance.now();
    if (now - this.#metricsAt >= METRICS_MS) {
      this.#metricsAt = now;
      this.#metricsText = Promise.resolve(metrics(this.#drops()));
      this.#metricsText.catch(() => {
        this.#metricsAt = Number.NEGATIVE_INFINITY;
      });
    }
    return { status: 200, type: EXPOSITION_TYPE, body: await this.#metricsText };
  }

  async #answerOfHistory(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    if (!this.#connections.begin(socket)) {
      this.#send(request, response, busy());
      return;
    }
    // The response may have ended before this line is reached.
    whenOver(response, socket, () => this.#connections.end(socket));
    const url = parsed(request)!;
    url.searchParams.delete('token');
    url.searchParams.sort();
    const address = `${url.pathname}${url.search}`;
    const etag = this.#etag(address);
    if (url.pathname === '/api/flame' && request.headers['if-none-match'] === etag) {
      const headers = { ETag: etag, Vary: 'Accept-Encoding' };
      this.#send(request, response, { status: 304, type: 'application/json', body: '', headers });
      return;
    }
    const held = await this.#inTime(socket, this.#kept.hold(address));
    if (held === undefined) this.#send(request, response, busy());
    else if (url.pathname === '/api/status') await this.#sendStatus(request, response, held);
    else
      sendHeld(request, response, held, {
        policy: this.#policy,
        ...(held.answer.status === 200 && url.pathname === '/api/flame' ? { etag } : {}),
      });
  }

  /** While an answer is being made nothing moves on its connection, which is not idle for that. */
  async #inTime(
    socket: Socket,
    making: Promise<HeldAnswer | undefined>,
  ): Promise<HeldAnswer | undefined> {
    const { idleMs, answerMs } = this.#limits;
    const late = Promise.withResolvers<'late'>();
    const timer = globalThis.setTimeout(late.resolve, answerMs, 'late');
    socket.setTimeout(0);
    try {
      const held = await Promise.race([making, late.promise]);
      if (held !== 'late') return held;
      making.then(
        (one) => one?.release(),
        () => {},
      );
      return undefined;
    } finally {
      clearTimeout(timer);
      socket.setTimeout(idleMs);
    }
  }

  /** With the start time: another agent on this port may reach the same version. */
  #etag(address: string): string {
    const key = `${this.#options.history.version} ${address}`;
    const digest = createHash('sha256').update(key).digest('base64url').slice(0, 16);
    return `W/"${this.#startedMs.toString(36)}-${digest}"`;
  }

  /** What the history says of itself, and the agent beside it. */
  async #sendStatus(
    request: IncomingMessage,
    response: ServerResponse,
    held: HeldAnswer,
  ): Promise<void> {
    const { answer } = held;
    held.release();
    const { status, saved = false } = this.#options;
    const { type } = answer;
    const body = answer.isPacked ? gunzipSync(answer.body) : answer.body;
    if (answer.status !== 200) {
      this.#send(request, response, { status: answer.status, type, body });
      return;
    }
    const facts = {
      saved,
      uptimeSeconds: (performance.now() - this.#started) / 1_000,
      ...JSON.parse(Buffer.from(body).toString()),
      agent: (await status?.()) ?? null,
    };
    this.#send(request, response, json(facts));
  }

  #send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
    const { status, type, headers = {} } = answer;
    send(request, response, { status, type, headers, body: bytesOf(answer.body) }, this.#policy);
  }
}

const busy = (): Answer => failure(503, BUSY, { 'Retry-After': '1', Connection: 'close' });

const parsed = ({ url }: IncomingMessage): URL | null => URL.parse(url!, BASE);

function whenOver(response: ServerResponse, socket: Socket, then: () => void): void {
  if (response.closed || socket.destroyed) then();
  else response.once('close', then);
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
