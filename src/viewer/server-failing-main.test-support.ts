/** A server's thread that listens, and dies when it hears more; the first of a port says so, others cannot listen. */
import { parentPort, workerData } from 'node:worker_threads';
import type { FromServer, ServerSettings } from './server-messages.ts';

const { listen } = workerData as ServerSettings;
if (typeof listen === 'string') throw new Error('the port is told in numbers');
const port = listen.port === 0 ? 4_711 : listen.port;
const message: FromServer = { type: 'listening', port, url: `http://127.0.0.1:${port}/` };
parentPort!.postMessage(message);
parentPort!.once('message', () => {
  throw new Error(`told to die on ${listen.port}`);
});
