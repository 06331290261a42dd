/** The V8 heaps of a running agent, its threads' too, through Node's inspector (NODE_OPTIONS=--inspect=PORT). */
import { setTimeout as pause } from 'node:timers/promises';

const START_MS = 20_000;
/** Of a thread, after what is no longer used is gone. */
const EXPRESSION = 'globalThis.gc?.(), process.memoryUsage().heapUsed';
const ANSWER_MS = 5_000;

/** Threads that last; the one that reads debug information comes and goes. */
export const HEAPS = ['main', 'resolver', 'history'] as const;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: {
    readonly sessionId: string;
    readonly message?: string;
    readonly workerInfo?: { readonly url: string };
  };
  readonly result?: { readonly result?: { readonly value?: number } };
}

export class Heaps {
  readonly #socket: WebSocket;
  /** Of the threads that run, by session. */
  readonly #threads = new Map<string, string>();
  readonly #waiting = new Map<number, (bytes: number) => void>();
  readonly #last = new Map<string, number>(HEAPS.map((name) => [name, 0]));
  #next = 1;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => this.#take(JSON.parse(String(data))));
    this.#send('NodeWorker.enable', { waitForDebuggerOnStart: false });
  }

  /** @throws Error when nothing listens on the port */
  static async connect(port: number): Promise<Heaps> {
    const end = performance.now() + START_MS;
    for (;;) {
      try {
        const answer = await fetch(`http://127.0.0.1:${port}/json/list`);
        const [target] = (await answer.json()) as { webSocketDebuggerUrl: string }[];
        const socket = new WebSocket(target!.webSocketDebuggerUrl);
        await new Promise((resolve, reject) => {
          socket.addEventListener('open', resolve);
          socket.addEventListener('error', reject);
        });
        return new Heaps(socket);
      } catch (error) {
        if (performance.now() > end) throw error;
        await pause(200);
      }
    }
  }

  /** Bytes in use, by thread; as before where a thread does not answer. */
  async used(): Promise<ReadonlyMap<string, number>> {
    const main = this.#ask('main', (id) => this.#send('Runtime.evaluate', evaluate, id));
    const others = [...this.#threads].map(([sessionId, name]) =>
      this.#ask(name, (id) => {
        const message = JSON.stringify({ id, method: 'Runtime.evaluate', params: evaluate });
        this.#send('NodeWorker.sendMessageToWorker', { sessionId, message });
      }),
    );
    await Promise.all([main, ...others]);
    return this.#last;
  }

  close(): void {
    this.#socket.close();
  }

  async #ask(thread: string, send: (id: number) => void): Promise<void> {
    const id = this.#next++;
    const answer = new Promise<number>((resolve) => this.#waiting.set(id, resolve));
    send(id);
    const bytes = await Promise.race([answer, pause(ANSWER_MS, undefined, { ref: false })]);
    if (bytes !== undefined) this.#last.set(thread, bytes);
    this.#waiting.delete(id);
  }

  #send(method: string, params: object, id = this.#next++): void {
    this.#socket.send(JSON.stringify({ id, method, params }));
  }

  #take({ id, method, params, result }: Message): void {
    if (method === 'NodeWorker.attachedToWorker') {
      const name = HEAPS.find((one) => params!.workerInfo!.url.endsWith(`/${one}.cjs`));
      if (name) this.#threads.set(params!.sessionId, name);
    }
    if (method === 'NodeWorker.detachedFromWorker') this.#threads.delete(params!.sessionId);
    if (method === 'NodeWorker.receivedMessageFromWorker') this.#take(JSON.parse(params!.message!));
    const value = result?.result?.value;
    if (id === undefined || value === undefined) return;
    this.#waiting.get(id)?.(value);
  }
}

const evaluate = { expression: EXPRESSION };
