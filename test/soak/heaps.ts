/** The V8 heaps of a running agent, its threads' too, through Node's inspector (NODE_OPTIONS=--inspect=PORT). */
import { setTimeout as pause } from 'node:timers/promises';

const START_MS = 20_000;
/** Of a thread, after what is no longer used is gone. */
const EXPRESSION = 'globalThis.gc?.(), process.memoryUsage().heapUsed';
const ANSWER_MS = 5_000;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly sessionId: string; readonly message?: string };
  readonly result?: { readonly result?: { readonly value?: number } };
}

export class Heaps {
  readonly #socket: WebSocket;
  /** Of the threads that run. */
  readonly #sessions = new Set<string>();
  readonly #waiting = new Map<number, (bytes: number) => void>();
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

  /** Bytes in use, all threads together. */
  async used(): Promise<number> {
    const asked = [this.#ask((id) => this.#send('Runtime.evaluate', evaluate, id))];
    for (const sessionId of this.#sessions) {
      asked.push(
        this.#ask((id) => {
          const message = JSON.stringify({ id, method: 'Runtime.evaluate', params: evaluate });
          this.#send('NodeWorker.sendMessageToWorker', { sessionId, message });
        }),
      );
    }
    return (await Promise.all(asked)).reduce((sum, bytes) => sum + bytes, 0);
  }

  close(): void {
    this.#socket.close();
  }

  /** 0 from a thread that has ended meanwhile. */
  #ask(send: (id: number) => void): Promise<number> {
    const id = this.#next++;
    const answer = new Promise<number>((resolve) => this.#waiting.set(id, resolve));
    send(id);
    return Promise.race([answer, pause(ANSWER_MS, 0, { ref: false })]);
  }

  #send(method: string, params: object, id = this.#next++): void {
    this.#socket.send(JSON.stringify({ id, method, params }));
  }

  #take({ id, method, params, result }: Message): void {
    if (method === 'NodeWorker.attachedToWorker') this.#sessions.add(params!.sessionId);
    if (method === 'NodeWorker.detachedFromWorker') this.#sessions.delete(params!.sessionId);
    if (method === 'NodeWorker.receivedMessageFromWorker') this.#take(JSON.parse(params!.message!));
    const value = result?.result?.value;
    if (id === undefined || value === undefined) return;
    this.#waiting.get(id)?.(value);
    this.#waiting.delete(id);
  }
}

const evaluate = { expression: EXPRESSION };
