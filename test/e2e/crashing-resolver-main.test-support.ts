/** The resolver's thread, with ways to make it fail: by a word on a channel, or a file with a mark at its end. */
import { isMainThread } from 'node:worker_threads';
import '../../src/agent/resolver-worker.ts';
import { ElfImage } from '../../src/elf/image.ts';
import { ElfSymbols } from '../../src/symbolize/elf-symbols.ts';

export const CRASH_CHANNEL = 'flametap-test-crash';

/** Ends a file at which the thread runs out of memory, when it is opened or when it is asked for names. */
export const MARKS = { open: 'flametap: open  ', names: 'flametap: names ' } as const;

const kept: unknown[] = [];
const failures: Readonly<Record<string, () => void>> = {
  throw() {
    setImmediate(() => {
      throw new Error('told to fail');
    });
  },
  exhaust,
};

function exhaust(): never {
  for (;;) kept.push(new Array(1 << 16).fill({}));
}

const { parse } = ElfImage;
const { read } = ElfSymbols;
const nameless = new WeakSet<ElfImage>();
ElfImage.parse = (source) => {
  const { open, names } = MARKS;
  const mark = Buffer.from(source.read(source.size - open.length, open.length)).toString('latin1');
  if (mark === open) exhaust();
  const image = parse(source);
  if (mark === names) nameless.add(image);
  return image;
};
ElfSymbols.read = (image, demangle) => (nameless.has(image) ? exhaust() : read(image, demangle));

// The test has its own end of the channel, and is not what shall fail.
if (!isMainThread) {
  const channel = new BroadcastChannel(CRASH_CHANNEL);
  channel.onmessage = ({ data }: { data: unknown }) => failures[String(data)]?.();
}
