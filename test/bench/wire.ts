/** What the agent sends: bytes on the wire, gzipped, with all names, files and lines. */
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { pause } from '../harness/record.ts';
import { Agent } from './agent.ts';
import { loadNamed, RunningLoad } from './loads.ts';
import type { Figure } from './table.ts';

const INTERVAL_S = 10;
/** The first ones have what was there before, and names that come later. */
const SETTLING = 2;
/** Requests of one profile come at once. */
const GAP_MS = INTERVAL_S * 500;
const PATIENCE_MS = 120_000;
/**
 * Bytes a second of the OpenTelemetry eBPF profiler on these loads, gzipped; it
 * sends no names of native functions. Measured with two CPUs at 99 Hz: a later
 * measurement belongs here, not a wish.
 */
const PEER: Readonly<Record<string, number>> = {
  idle: 300,
  c: 1600,
  go: 6300,
  mix: 6600,
  sleepers: 6300,
};

/** Takes OTLP over HTTP and counts what its connections carry, headers included. */
class CountingReceiver {
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      const now = performance.now();
      if (now - this.#latest > GAP_MS) this.profiles++;
      this.#latest = now;
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  #latest = Number.NEGATIVE_INFINITY;
  #closedBytes = 0;
  profiles = 0;

  async listen(): Promise<string> {
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => {
        this.#closedBytes += socket.bytesRead;
        this.#sockets.delete(socket);
      });
    });
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get bytes(): number {
    return [...this.#sockets].reduce((sum, { bytesRead }) => sum + bytesRead, this.#closedBytes);
  }

  /** Just after the requests of so many more profiles. */
  async received(more: number, check: () => void): Promise<void> {
    const wanted = this.profiles + more;
    const deadline = performance.now() + PATIENCE_MS + more * INTERVAL_S * 1000;
    while (this.profiles < wanted) {
      check();
      if (performance.now() > deadline) throw new Error('the agent sends nothing');
      await pause(50);
    }
    // A profile may be several requests.
    await pause(1000);
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

async function bytesPerMinute(name: string, port: number, profiles: number): Promise<number> {
  const load = new RunningLoad(loadNamed(name).commands());
  const receiver = new CountingReceiver();
  try {
    const otlp = {
      endpoint: await receiver.listen(),
      protocol: 'http/protobuf',
      queue: { directory: '' },
    };
    const agent = new Agent(port, [
      '--set',
      `exporters=${JSON.stringify([{ otlp }])}`,
      '--interval',
      `${INTERVAL_S}s`,
    ]);
    try {
      await receiver.received(SETTLING, () => agent.check());
      const before = receiver.bytes;
      await receiver.received(profiles, () => agent.check());
      load.check();
      return ((receiver.bytes - before) / profiles) * (60 / INTERVAL_S);
    } finally {
      await agent.stop();
    }
  } finally {
    receiver.close();
    await load.stop();
  }
}

export async function wire({
  seconds,
  port,
}: {
  readonly seconds: number;
  readonly port: number;
}): Promise<Figure[]> {
  const profiles = Math.max(1, Math.round(seconds / INTERVAL_S));
  const figures: Figure[] = [];
  for (const [name, perSecond] of Object.entries(PEER)) {
    const aim = (perSecond * 60) / 1000;
    figures.push({
      what: `${name}: bytes on the wire, gzip, all names`,
      unit: 'kB/min',
      ours: (await bytesPerMinute(name, port, profiles)) / 1000,
      atMost: aim,
      stretch: aim / 2,
      peer: aim,
      peerName: 'OTel, measured before',
      note: `${profiles} profiles of ${INTERVAL_S} s`,
    });
  }
  return figures;
}
