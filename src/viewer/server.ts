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
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Verdict } from '../telemetry/health.ts';
import { inUrl, type ListenAddress, listenAddress, ViewerError } from './address.ts';
import { Connections } from './connections.ts';
import { DescriptorWatch } from './descriptor-watch.ts';
import { Entrance } from './entrance.ts';
import type { History } from './history.ts';
import type { PageTemplate } from './page-file.ts';
import { RequestHandler } from './request-handler.ts';

/** Connections that ended without an answer, and times when none could be accepted, by reason. */
export type ConnectionDrops = Readonly<Record<string, number>>;

export interface ViewerOptions {
  /** host:port, or its parts; beyond loopback only with `token`. Port 0 = any that is free. */
  readonly listen: string | { readonly host: string; readonly port: number };
  readonly history: History;
  /**
   * What the agent says of itself, shown as it is under `agent` of /api/status. The
   * page words these numbers: hz, processes, userCpuPercent, kernelCpuPercent,
   * kernelNsPerSample, rssBytes, mapBytes.
   */
  readonly status?: () => unknown;
  /** Prometheus text; without it there is no /metrics. */
  readonly metrics?: (drops: ConnectionDrops) => string | Promise<string>;
  /** /metrics needs no token. */
  readonly openMetrics?: boolean;
  /** Without it there is neither /healthz nor /readyz. */
  readonly health?: { readonly live: Verdict; readonly ready: Verdict };
  /** At least 16 characters; then every request needs it. Absent: whoever reaches it may look. */
  readonly token?: string;
  /** The profiles are those of files: nothing new will come. */
  readonly saved?: boolean;
  /** Default: the page that the build made. */
  readonly page?: PageTemplate;
  /** A request that failed inside, and gets 500; or connections that cannot be accepted. */
  readonly onError?: (error: unknown) => void;
}

export interface Viewer {
  /** Of the page, without the token. */
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

export interface ViewerLimits {
  /** Of a connection on which nothing moves, unless its answer is being made. */
  readonly idleMs: number;
  /** Until whoever asked is told to come again; the answer goes on being made. */
  readonly answerMs: number;
}

const HEADERS_MS = 5_000;
/** Connections that wait to be accepted; the kernel's own limit for it, usually. */
const BACKLOG = 4_096;
const LIMITS: ViewerLimits = { idleMs: 15_000, answerMs: 60_000 };

/** Rejects with ViewerError or PageError, whose messages name what to do. */
export async function startViewer(options: ViewerOptions, limits = LIMITS): Promise<Viewer> {
  const address = listenAddress(options.listen);
  const name = `${inUrl(address.host)}:${address.port}`;
  if (!address.loopback && options.token === undefined) {
    throw new ViewerError(
      `${name} can be reached by others: set a token with FLAMETAP_TOKEN or viewer.token_file, or listen on 127.0.0.1`,
    );
  }
  const connections = new Connections();
  const viewer = new RequestHandler(options, limits, connections);
  const server = createServer({
    maxHeaderSize: 8_192,
    headersTimeout: HEADERS_MS,
    requestTimeout: HEADERS_MS * 2,
    keepAliveTimeout: 10_000,
    connectionsCheckingInterval: 1_000,
    requireHostHeader: false,
  });
  const entrance = entranceOf(server, viewer, connections);
  server.setTimeout(limits.idleMs, endIfIdle);
  server.on('request', (request, response) => void viewer.answer(request, response));
  server.on('clientError', (_error, socket) => socket.destroy());
  await listening(server, address, name);
  const descriptors = new DescriptorWatch((error) => options.onError?.(error));
  server.on('error', (error) => descriptors.accepting(error));
  viewer.countDrops(() => {
    const { displaced, ...others } = entrance.dropped;
    const no_descriptor = descriptors.shortages;
    return { ...others, displaced: displaced + connections.displaced, no_descriptor };
  });
  const { port } = server.address() as AddressInfo;
  viewer.open(port, address.loopback);
  return {
    url: `http://${inUrl(address.host)}:${port}/`,
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
        entrance.close();
        descriptors.close();
      }),
  };
}

/** A thread that was held up sees the end of the time before what has come meanwhile. */
function endIfIdle(socket: Socket): void {
  const read = socket.bytesRead;
  setImmediate(() => {
    if (socket.bytesRead === read) socket.destroy();
  });
}

/** Puts it between the server's socket and its parsers. */
function entranceOf(server: Server, viewer: RequestHandler, connections: Connections): Entrance {
  const parse = server.listeners('connection') as ((this: Server, socket: Socket) => void)[];
  server.removeAllListeners('connection');
  const entrance = new Entrance({
    standing: (head) => viewer.standing(head),
    shortAnswer: (head) => viewer.shortAnswer(head),
    onRequest: (socket) => {
      connections.open(socket);
      for (const listener of parse) listener.call(server, socket);
    },
  });
  server.on('connection', (socket) => entrance.open(socket));
  return entrance;
}

function listening(server: Server, address: ListenAddress, listen: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const refused = (error: NodeJS.ErrnoException): void => {
      const words: Record<string, string> = {
        EADDRINUSE: `${listen} is in use, perhaps by another agent: stop that one or listen on another port`,
        EACCES: `${listen} needs privileges: listen on a port above 1023`,
        EADDRNOTAVAIL: `${listen} is not an address of this machine: listen on 127.0.0.1`,
        ENOTFOUND: `${listen} names a host that cannot be found: listen on 127.0.0.1`,
      };
      const message = words[error.code ?? ''] ?? `cannot listen on ${listen}: ${error.message}`;
      reject(new ViewerError(message, { cause: error }));
    };
    server.once('error', refused);
    server.listen({ host: address.host, port: address.port, backlog: BACKLOG }, () => {
      server.off('error', refused);
      resolve();
    });
  });
}
