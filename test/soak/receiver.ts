/** A backend for OTLP over HTTP that comes and goes, and that counts what it has taken. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { gunzipSync } from 'node:zlib';
import {
  decodeRequest,
  type Request,
  requestType,
} from '../../src/profile/otlp-messages.test-support.ts';

/** `away`: nobody listens. `mute`: connections are taken and nothing is ever said. */
export type Mood = 'well' | 'away' | 'mute' | 'refusing' | 'cutting';
const TALLY = 'flametap.tally.';

export class Receiver {
  readonly #type = requestType();
  readonly #sockets = new Set<Socket>();
  /** What was sent again counts once. */
  readonly #seen = new Set<string>();
  #server: Server;
  #port = 0;
  #mood: Mood = 'well';
  /** Samples in the profiles, and what their tallies say. */
  samples = 0;
  taken = 0;
  exported = 0;
  lost = 0;
  requests = 0;
  repeated = 0;

  private constructor() {
    this.#server = this.#newServer();
  }

  static async start(): Promise<Receiver> {
    const receiver = new Receiver();
    await receiver.#listen();
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get mood(): Mood {
    return this.#mood;
  }

  async become(mood: Mood): Promise<void> {
    if (mood === this.#mood) return;
    const wasAway = this.#mood === 'away';
    this.#mood = mood;
    if (mood === 'away') {
      await this.close();
    } else if (wasAway) {
      this.#server = this.#newServer();
      await this.#listen();
    } else {
      // Those that wait for an answer of the mood before.
      for (const socket of this.#sockets) socket.destroy();
    }
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #newServer(): Server {
    const server = createServer((request, response) => this.#receive(request, response));
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    return server;
  }

  async #listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  #receive(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    // A connection that is cut is the sender's affair.
    request.on('error', () => {});
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      switch (this.#mood) {
        case 'mute':
          return;
        case 'cutting':
          request.socket.destroy();
          return;
        case 'refusing':
          response.writeHead(503).end();
          return;
        default:
          this.#take(Buffer.concat(chunks), request.headers['content-encoding'] === 'gzip');
          response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
      }
    });
  }

  #take(body: Buffer, isZipped: boolean): void {
    const bytes = isZipped ? gunzipSync(body) : body;
    this.requests++;
    const digest = createHash('sha256').update(bytes).digest('base64');
    if (this.#seen.has(digest)) {
      this.repeated++;
      return;
    }
    this.#seen.add(digest);
    this.#count(decodeRequest(this.#type, bytes));
  }

  #count({ resource_profiles, dictionary }: Request): void {
    if (dictionary === null) return;
    const { attribute_table, string_table } = dictionary;
    for (const { scope_profiles } of resource_profiles) {
      for (const { samples, attribute_indices } of scope_profiles.flatMap((one) => one.profiles)) {
        for (const { values } of samples) {
          this.samples += Number(values.reduce((sum, value) => sum + value, 0n));
        }
        for (const index of attribute_indices) {
          const { key_strindex, value } = attribute_table[index]!;
          const key = string_table[key_strindex]!;
          if (!key.startsWith(TALLY)) continue;
          const count = Number(value?.int_value ?? 0n);
          const name = key.slice(TALLY.length);
          if (name === 'taken') this.taken += count;
          else if (name === 'exported') this.exported += count;
          else if (name.startsWith('lost.')) this.lost += count;
        }
      }
    }
  }
}
