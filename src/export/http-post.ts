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
  /** Short and stable: a code of the system or of TLS, or `timeout`, `cancelled`. */
  readonly reason: string;
  readonly message: string;
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

const MAX_ANSWER_BYTES = 65_536;
/** Below the 60 s and more after which servers and balancers commonly close. */
const IDLE_MS = 45_000;

export function createPoster({ url, timeoutMs, tls }: PosterSettings): Poster {
  const isSecure = url.protocol === 'https:';
  const agent = isSecure
    ? new https.Agent({ keepAlive: true, timeout: IDLE_MS })
    : new http.Agent({ keepAlive: true, timeout: IDLE_MS });
  return {
    post(body, headers, signal) {
      const limit = timeoutMs > 0 ? AbortSignal.timeout(timeoutMs) : undefined;
      const options: https.RequestOptions = {
        method: 'POST',
        agent,
        headers: { ...headers, 'content-length': body.length },
        signal: limit === undefined ? signal : AbortSignal.any([signal, limit]),
        ...tls?.(),
      };
      return new Promise((resolve) => {
        const fail = (error: NodeJS.ErrnoException): void => {
          if (signal.aborted) resolve({ reason: 'cancelled', message: 'given up' });
          else if (limit?.aborted)
            resolve({ reason: 'timeout', message: `no answer within ${timeoutMs} ms` });
          else resolve({ reason: error.code ?? 'connection', message: error.message });
        };
        try {
          const request = isSecure ? https.request(url, options) : http.request(url, options);
          request.on('error', fail);
          request.on('response', (response) => readAnswer(response, resolve, fail));
          request.end(body);
        } catch (error) {
          // Certificates that cannot be used, headers with characters that may not be there.
          fail(error as NodeJS.ErrnoException);
        }
      });
    },
    close: () => agent.destroy(),
  };
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
