/** POST of bytes over HTTP/1.1 with connections kept. Redirects are not followed: the headers may hold secrets. */
import * as http from 'node:http';
import * as https from 'node:https';

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  /** Cut at `MAX_ANSWER_BYTES`. */
  readonly body: Uint8Array;
}

/** There was no answer, or not all of it. */
export interface NoAnswer {
  /** With the code of the system or of TLS, where it has one. */
  readonly error: Error & { readonly code?: string | undefined };
}

export interface Poster {
  /** Never rejects. */
  post(
    body: Uint8Array,
    headers: http.OutgoingHttpHeaders,
    signal: AbortSignal,
  ): Promise<Answer | NoAnswer>;
  close(): void;
}

export interface PosterSettings {
  /** http or https. */
  readonly url: URL;
  /** Of a whole request; 0 = for ever. */
  readonly timeoutMs: number;
  /** Asked for each request, so that new certificates are used when files change. */
  readonly tls?: () => https.AgentOptions;
}

/** Of a URL, for people: without credentials, and without a query, which may be one. */
export const addressOf = ({ protocol, host, pathname }: URL): string =>
  `${protocol}//${host}${pathname}`;

const MAX_ANSWER_BYTES = 65_536;
/** Below the 60 s and more after which servers and balancers commonly close. */
const IDLE_MS = 45_000;
const CONNECT_MS = 10_000;
const STALE: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE']);

export function createPoster({ url, timeoutMs, tls }: PosterSettings): Poster {
  const isSecure = url.protocol === 'https:';
  // HTTPS_PROXY, HTTP_PROXY and NO_PROXY are Node's own business from 24.5 on.
  const kept = { keepAlive: true, timeout: IDLE_MS, proxyEnv: process.env };
  const agent = isSecure ? new https.Agent(kept) : new http.Agent(kept);
  return {
    post(body, headers, signal) {
      const limit = timeoutMs > 0 ? AbortSignal.timeout(timeoutMs) : undefined;
      const ending = limit === undefined ? signal : AbortSignal.any([signal, limit]);
      return new Promise((resolve) => {
        const fail = (error: NodeJS.ErrnoException): void => {
          if (signal.aborted) resolve({ error: new Error('cancelled') });
          else if (limit?.aborted)
            resolve({ error: new Error(`no answer within ${timeoutMs} ms`) });
          else resolve({ error });
        };
        const attempt = (isLast: boolean): void => {
          const options: https.RequestOptions = {
            method: 'POST',
            agent,
            headers: { ...headers, 'content-length': body.length },
            signal: ending,
            ...tls?.(),
          };
          const request = isSecure ? https.request(url, options) : http.request(url, options);
          let isAnswered = false;
          request.on('error', (error: NodeJS.ErrnoException) => {
            // The server closed a kept connection while the request was on its way.
            const isStale = request.reusedSocket && STALE.has(error.code ?? '') && !isAnswered;
            if (isStale && !isLast && !ending.aborted) tried(() => attempt(true));
            else fail(error);
          });
          request.on('response', (response) => {
            isAnswered = true;
            readAnswer(response, resolve, fail);
          });
          limitConnecting(request);
          request.end(body);
        };
        const tried = (step: () => void): void => {
          try {
            step();
          } catch (error) {
            // Certificates that cannot be used, headers with characters that may not be there.
            fail(error as NodeJS.ErrnoException);
          }
        };
        tried(() => attempt(false));
      });
    },
    close: () => agent.destroy(),
  };
}

/** A host that is gone says nothing; a slow one has the request's own limit. */
function limitConnecting(request: http.ClientRequest): void {
  request.once('socket', (socket) => {
    if (!socket.connecting) return;
    const timer = setTimeout(() => {
      request.destroy(new Error(`no connection within ${CONNECT_MS} ms`));
    }, CONNECT_MS);
    const stop = (): void => clearTimeout(timer);
    socket.once('connect', stop);
    socket.once('close', stop);
  });
}

function readAnswer(
  response: http.IncomingMessage,
  done: (answer: Answer) => void,
  fail: (error: NodeJS.ErrnoException) => void,
): void {
  const chunks: Buffer[] = [];
  let length = 0;
  const finish = (): void => {
    const body = Buffer.concat(chunks).subarray(0, MAX_ANSWER_BYTES);
    done({ status: response.statusCode ?? 0, headers: response.headers, body });
  };
  response.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    length += chunk.length;
    if (length <= MAX_ANSWER_BYTES) return;
    finish();
    response.destroy();
  });
  response.on('end', finish);
  response.on('error', fail);
  response.on('close', () => fail(new Error('the answer ended early')));
}
