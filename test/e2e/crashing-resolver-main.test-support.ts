/** The resolver's thread, with a way to make it fail: by a word on a channel. */
import { isMainThread } from 'node:worker_threads';
import '../../src/agent/resolver-worker.ts';

export const CRASH_CHANNEL = 'flametap-test-crash';

const kept: unknown[] = [];
const failures: Readonly<Record<string, () => void>> = {
  throw() {
    setImmediate(() => {
      throw new Error('told to fail');
    });
  },
  exhaust() {
    for (;;) kept.push(new Array(1 << 16).fill({}));
  },
};

// The test has its own end of the channel, and is not what shall fail.
if (!isMainThread) {
  const channel = new BroadcastChannel(CRASH_CHANNEL);
  channel.onmessage = ({ data }: { data: unknown }) => failures[String(data)]?.();
}
