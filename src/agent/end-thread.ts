/** The end of a thread that may hang in the kernel. */
import type { Worker } from 'node:worker_threads';
import { loadAddon } from '../capture/addon.ts';

/** A thread that computes ends in a few milliseconds. */
const LIMIT_MS = 2_000;

/**
 * Resolves when the thread has ended, or is left to itself: nothing ends it while it waits
 * for a file system that does not answer, and Node would wait for it at the end of the process.
 */
export async function endThread(worker: Worker): Promise<void> {
  const leave = (code: number) => loadAddon().exitWithin(LIMIT_MS, code);
  process.once('exit', leave);
  const ended = worker.terminate().then(() => {
    process.off('exit', leave);
  });
  worker.unref();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, LIMIT_MS);
  });
  await Promise.race([ended, late]);
  clearTimeout(timer);
}
