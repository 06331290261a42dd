/** The main thread's side of the page's server: starts the thread, answers it, and starts it anew when it fails. */
import type { WorkerOptions } from 'node:worker_threads';
import type { PageReading } from '../telemetry/agent-metrics.ts';
import type { Verdict } from '../telemetry/health.ts';
import { listenAddress, ViewerError } from './address.ts';
import { HistoryError } from './history.ts';
import { entryOf, KeptThread } from './kept-thread.ts';
import type { Viewer, ViewerOptions } from './server.ts';
import type {
  FromServer,
  Heartbeat,
  Question,
  ServerSettings,
  ToServer,
} from './server-messages.ts';

export interface ServerThreadOptions
  extends Pick<ViewerOptions, 'history' | 'listen' | 'openMetrics' | 'page' | 'status' | 'token'> {
  readonly health: { readonly live: Verdict; readonly ready: Verdict };
  /** Prometheus text. */
  readonly metrics: (reading: PageReading) => string;
  /** A request that failed inside, and gets 500; or connections that cannot be accepted. */
  readonly onError: (error: unknown) => void;
  /** The thread has ended, and another one begins after `pauseMs`. */
  readonly onFailure: (error: Error, pauseMs: number) => void;
}

/** So old is what it knows of the agent, at most. */
const HEARTBEAT_MS = 250;
/** Bodies of answers lie beside V8's heap. */
const HEAP_MIB = 128;

export class ServerThread implements Viewer {
  readonly #options: ServerThreadOptions;
  readonly #thread: KeptThread<ToServer, FromServer>;
  readonly #host: string;
  readonly #timer: NodeJS.Timeout;
  readonly #listening = Promise.withResolvers<void>();
  #hasListened = false;
  port: number;
  url = '';

  /** @param main of the thread; tests have their own. @throws ViewerError which names what to do */
  static async start(
    options: ServerThreadOptions,
    main = entryOf('server.cjs', 'server-worker.ts'),
  ): Promise<ServerThread> {
    const thread = new ServerThread(options, main);
    thread.#thread.start();
    try {
      await thread.#listening.promise;
    } catch (error) {
      await thread.close();
      throw error;
    }
    return thread;
  }

  private constructor(options: ServerThreadOptions, main: URL) {
    this.#options = options;
    ({ host: this.#host, port: this.port } = listenAddress(options.listen));
    this.#thread = new KeptThread(main, () => this.#workerOptions(), {
      onMessage: (message: FromServer) => this.#hear(message),
      onFailure: (error, pauseMs) => {
        if (this.#hasListened) options.onFailure(error, pauseMs);
        else this.#listening.reject(new ViewerError(error.message, { cause: error }));
      },
    });
    this.#timer = setInterval(
      () => this.#thread.tell({ type: 'heartbeat', heartbeat: this.#heartbeat() }),
      HEARTBEAT_MS,
    );
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#thread.close();
  }

  #workerOptions(): WorkerOptions {
    const { token, openMetrics, page } = this.#options;
    const settings: ServerSettings = {
      // Where it listened before, whichever was free then.
      listen: { host: this.#host, port: this.port },
      heartbeat: this.#heartbeat(),
      ...(token === undefined ? {} : { token }),
      ...(openMetrics === undefined ? {} : { openMetrics }),
      ...(page === undefined ? {} : { page }),
    };
    return {
      workerData: settings,
      // Small, as in resolver-client.ts.
      resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: HEAP_MIB },
    };
  }

  #heartbeat(): Heartbeat {
    const { history, health } = this.#options;
    return { version: history.version, live: health.live, ready: health.ready };
  }

  #hear(message: FromServer): void {
    switch (message.type) {
      case 'listening':
        this.port = message.port;
        this.url = message.url;
        this.#hasListened = true;
        this.#thread.isWell();
        this.#listening.resolve();
        return;
      case 'ask':
        void this.#answer(message.id, message.question);
        return;
      case 'error':
        this.#options.onError(message.error);
    }
  }
  async #answer(id: number, question: Question): Promise<void> {
    try {
      if (question.about === 'history') {
        const answer = await this.#options.history.ask(question.address);
        this.#thread.tell({ type: 'answer', id, answer }, [answer.body.buffer]);
      } else this.#thread.tell({ type: 'answer', id, answer: this.#own(question) });
    } catch (error) {
      // The thread tells of it, as of everything that fails there.
      const isLater = error instanceof HistoryError;
      this.#thread.tell({ type: 'failed', id, error: error as Error, isLater });
    }
  }

  #own(question: Exclude<Question, { about: 'history' }>): unknown {
    const { status, metrics } = this.#options;
    if (question.about === 'status') return status?.();
    return metrics({ restarts: this.#thread.restarts, drops: question.drops });
  }
}
