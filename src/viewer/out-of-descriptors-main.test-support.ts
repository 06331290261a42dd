/** Serves a page, and says what it noticed when its descriptors were gone, and how often its loop turned then. */
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { startViewer } from './server.ts';

const LOOKS = 10;
const LOOK_MS = 50;

const told: string[] = [];
const well = { ok: true, words: 'sampling' };
const viewer = await startViewer({
  listen: '127.0.0.1:0',
  history: { version: 1, ask: () => Promise.reject(new Error('nothing is kept')) },
  page: { policy: '', html: '<!--flametap:title--><!--flametap:mode--><!--flametap:data-->' },
  health: { live: well, ready: well },
  metrics: (drops) => JSON.stringify(drops),
  onError: (error) => told.push((error as Error).message),
});
const tell = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
const turns = (): number => performance.nodeTiming.uvMetricsInfo.loopCount;

tell({ port: viewer.port });
// Whoever started it takes the descriptors away and connects.
await once(process.stdin, 'data');
while (told.length === 0) await pause(LOOK_MS);
const begun = turns();
for (let i = 0; i < LOOKS; i++) await pause(LOOK_MS);
tell({ told, turns: turns() - begun });
await once(process.stdin, 'end');
await viewer.close();
