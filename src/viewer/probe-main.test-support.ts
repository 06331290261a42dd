/** Asks for a page, and leaves its status where a thread that stands still sees it. */
import { workerData } from 'node:worker_threads';
import { ask } from './ask.test-support.ts';

const { url, path, status } = workerData as { url: string; path: string; status: Int32Array };
const reply = await ask(url, path);
Atomics.store(status, 0, reply.status);
Atomics.notify(status, 0);
