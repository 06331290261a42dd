/**
 * The thread that keeps the recent profiles and makes answers of them: walking through all
 * samples of an hour takes longer than the thread that drains the rings may be away.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { answerFrom } from './history.ts';
import type { FromHistory, Limits, ToHistory } from './history-messages.ts';
import { packed } from './packing.ts';
import { type PageTemplate, readPage } from './page-file.ts';
import { ProfileStore } from './store.ts';

const port = parentPort!;
const store = new ProfileStore(workerData as Limits);
let template: PageTemplate | undefined;
const page = (): PageTemplate => {
  template ??= readPage();
  return template;
};

const tell = (message: FromHistory, transfer: ArrayBuffer[] = []): void =>
  port.postMessage(message, transfer);

async function answer(id: number, address: string): Promise<void> {
  try {
    const made = await packed(answerFrom(store, address, page));
    tell({ type: 'answer', id, answer: made }, [made.body.buffer]);
  } catch (error) {
    tell({ type: 'failed', id, reason: error instanceof Error ? (error.stack ?? '') : '' });
  }
}

port.on('message', (message: ToHistory) => {
  if (message.type === 'ask') void answer(message.id, message.address);
  else if (message.type === 'limit') store.limit(message.limits);
  else {
    store.add(message.profile);
    tell({ type: 'added' });
  }
});
