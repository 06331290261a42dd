/** A history's thread that takes more memory than it may have when it is asked to. */
import { parentPort } from 'node:worker_threads';
import type { FromHistory, ToHistory } from './history-messages.ts';

parentPort!.on('message', (message: ToHistory) => {
  if (message.type !== 'ask') return;
  const taken: number[][] = [];
  while (message.address === '/all') taken.push(new Array(100_000).fill(taken.length));
  const answer = { status: 200, type: '', headers: {}, body: new Uint8Array(1), isPacked: false };
  parentPort!.postMessage({ type: 'answer', id: message.id, answer } satisfies FromHistory);
});
