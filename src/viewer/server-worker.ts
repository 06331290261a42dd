/**
 * The thread that serves the page: whatever others do to its socket, the thread that drains the
 * rings neither accepts nor parses. Probes are answered from what that thread has said last.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { Verdict } from '../telemetry/health.ts';
import { type History, HistoryError } from './history.ts';
import type { PackedAnswer } from './history-messages.ts';
import { startViewer } from './server.ts';
import type {
  FromServer,
  Heartbeat,
  Question,
  ServerSettings,
  ToServer,
} from './server-messages.ts';

/** Of the main thread: longer than anything that it does at a time. */
const PATIENCE_MS = 60_000;

const { heartbeat: first, ...settings } = workerData as ServerSettings;
const tell = (message: FromServer): void => parentPort!.postMessage(message);

interface Asked {
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

const asked = new Map<number, Asked>();
let nextId = 1;
let heartbeat = first;
let heardAt = performance.now();

parentPort!.on('message', (message: ToServer) => {
  if (message.type === 'heartbeat') {
    heartbeat = message.heartbeat;
    heardAt = performance.now();
    return;
  }
  const question = asked.get(message.id);
  asked.delete(message.id);
  if (message.type === 'answer') question?.resolve(message.answer);
  else question?.reject(message.isLater ? new HistoryError(message.error.message) : message.error);
});

function ask(question: Question): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const id = nextId++;
    asked.set(id, { resolve, reject });
    tell({ type: 'ask', id, question });
  });
}

function verdict(of: (heartbeat: Heartbeat) => Verdict): Verdict {
  const silenceMs = performance.now() - heardAt;
  if (silenceMs <= PATIENCE_MS) return of(heartbeat);
  const words = `the thread that samples has said nothing for ${Math.round(silenceMs / 1_000)} s`;
  return { ok: false, words };
}

const history: History = {
  get version() {
    return heartbeat.version;
  },
  ask: async (address) => (await ask({ about: 'history', address })) as PackedAnswer,
};

const health = {
  get live() {
    return verdict(({ live }) => live);
  },
  get ready() {
    return verdict(({ ready }) => ready);
  },
};

/** Rejects, which ends the thread, where it cannot listen. */
async function serve(): Promise<void> {
  const { port, url } = await startViewer({
    ...settings,
    history,
    health,
    status: () => ask({ about: 'status' }),
    metrics: async (drops) => (await ask({ about: 'metrics', drops })) as string,
    onError: (error) => tell({ type: 'error', error: error as Error }),
  });
  tell({ type: 'listening', port, url });
}

void serve();
