/** A debug-info thread that behaves as the path of the file says. */
import { fstatSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import {
  type DebugInfoAnswer,
  type DebugInfoState,
  type FromDebugInfo,
  type Lookup,
  packLines,
  type ToDebugInfo,
  transferables,
} from './debug-info-messages.ts';

const port = parentPort!;
const kept: unknown[] = [];
const downloaded = new Set<number>();
/** There is a download that ends when all is to be freed. */
let endless = false;

function answer({ id, addresses }: Lookup, state: DebugInfoState, name: string): void {
  const chains = Array.from(addresses, (address) =>
    state === 'none'
      ? undefined
      : [{ name, systemName: name, file: 'stub.c', line: address, column: 0, startLine: 1 }],
  );
  const message: DebugInfoAnswer = {
    type: 'answer',
    id,
    state,
    kind: new Uint8Array(addresses.length),
    kinds: ['dwarf'],
    lines: packLines(chains),
    problems: [['stub_problem', 1]],
  };
  port.postMessage(message satisfies FromDebugInfo, transferables(message));
}

const post = (message: FromDebugInfo): void => port.postMessage(message);

const behaviours: Readonly<Record<string, (message: Lookup) => void>> = {
  answers: (message) => answer(message, 'ready', `inode ${fstatSync(message.fd).ino}`),
  none: (message) => answer(message, 'none', ''),
  slow: (message) => void setTimeout(() => answer(message, 'ready', 'late'), 300),
  'takes 50 ms and throws'() {
    const { user, system } = process.cpuUsage();
    for (let used = { user, system }; used.user + used.system < user + system + 50_000; ) {
      for (let i = 0; i < 1e6; i++) kept.length = 0;
      used = process.cpuUsage();
    }
    throw new Error('as told');
  },
  hangs() {
    for (;;) kept.length = 0;
  },
  'sums its sources'(message) {
    const known = `${message.trusted.join()}|${message.skipped.join()}`;
    post({ type: 'summed', id: message.id, source: 'good', outcome: 'right' });
    post({ type: 'summed', id: message.id, source: 'bad', outcome: 'wrong' });
    answer(message, 'ready', known);
  },
  'hangs in its first source'(message) {
    for (const source of ['first', 'second']) {
      if (message.skipped.includes(source)) continue;
      post({ type: 'begins', id: message.id, source });
      if (source === 'second') return answer(message, 'ready', message.skipped.join());
      for (;;) kept.length = 0;
    }
  },
  // Timers, because V8 leaves no place to stop in some endless loops around built-in functions.
  heap: () =>
    void setInterval(() => {
      for (let i = 0; i < 1000; i++) kept.push({ more: Array.from({ length: 100 }, () => i) });
    }, 1),
  buffers: () => void setInterval(() => kept.push(new Uint8Array(8 << 20).fill(1)), 1),
  throws() {
    throw new TypeError('a mistake');
  },
  exits: () => process.exit(3),
  downloads(message) {
    if (downloaded.has(message.file)) return answer(message, 'ready', 'downloaded');
    answer(message, 'pending', 'meanwhile');
    post({ type: 'downloads', running: 1 });
    setTimeout(() => {
      downloaded.add(message.file);
      post({ type: 'changed', file: message.file });
      post({ type: 'downloads', running: 0 });
    }, 300);
  },
  'downloads at once'(message) {
    if (downloaded.has(message.file)) return answer(message, 'ready', 'downloaded');
    answer(message, 'pending', 'meanwhile');
    downloaded.add(message.file);
    post({ type: 'changed', file: message.file });
  },
  'downloads for ever'(message) {
    endless = true;
    answer(message, 'pending', 'meanwhile');
    post({ type: 'downloads', running: 1 });
  },
};

port.on('message', (message: ToDebugInfo) => {
  if (message.type === 'lookup') behaviours[message.path]!(message);
  else if (endless) post({ type: 'downloads', running: 0 });
});
