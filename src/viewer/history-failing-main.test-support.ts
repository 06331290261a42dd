/** A history's thread that does what it is told by the first byte of an address: dies, hangs, or answers. */
import { parentPort } from 'node:worker_threads';
import type { FromHistory, ToHistory } from './history-messages.ts';

const tell = (message: FromHistory): void => parentPort!.postMessage(message);

parentPort!.on('message', (message: ToHistory) => {
  if (message.type === 'ask' && message.address === '/die') throw new Error('told to die');
  if (message.type === 'ask' && message.address === '/fail')
    tell({ type: 'failed', id: message.id, reason: 'told to fail' });
  else if (message.type === 'ask' && message.address !== '/hang')
    tell({
      type: 'answer',
      id: message.id,
      answer: { status: 200, type: '', headers: {}, body: new Uint8Array(1), isPacked: false },
    });
  // A profile is never taken in: as if an answer took for ever.
});
