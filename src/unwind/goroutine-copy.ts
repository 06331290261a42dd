/**
 * The goroutine of a sample from a process that the kernel side did not know yet:
 * the same judgement as bpf/goroutine.h makes, on what it has copied.
 */
import { GO_COPY_CURG, GO_COPY_G_BYTES, GoCopy, type GoState } from '../capture/record.ts';
import { readWord } from '../capture/word.ts';
import type { GoThreadLayout } from '../elf/go-thread.ts';

export interface Goroutine {
  readonly state: GoState;
  readonly goid: number;
  readonly creator: number;
  readonly start: number;
}

/** Where g was looked for, from the thread pointer. */
const COPIED_G_OFFSET = -8;
/** And g.m in g. */
const COPIED_M = 48;
const M_BYTES = GoCopy.curgWords - GoCopy.mWords;
/** As in bpf/goroutine.h. */
const STATUS_SCAN = 0x1000;
const STATUS_RUNS = [1, 2, 3, 4, 8, 9];

const without = (state: GoState): Goroutine => ({ state, goid: 0, creator: 0, start: 0 });

/**
 * Undefined when the copy says nothing of it.
 * @param copy `struct ft_go_copy`
 * @param layout undefined when it is not known
 */
export function copiedGoroutine(
  copy: DataView,
  layout: GoThreadLayout | undefined,
): Goroutine | undefined {
  if (!layout) return without('go_layout_unknown');
  const g = readWord(copy, GoCopy.g);
  if (layout.gOffset !== COPIED_G_OFFSET || g === 0 || !isCopied(layout)) return undefined;
  const m = readWord(copy, GoCopy.gWords + layout.m);
  const ofM = (offset: number): number => readWord(copy, GoCopy.mWords + offset);
  const g0 = ofM(0);
  const curg = ofM(layout.curg);
  const isSignal = g === ofM(layout.gsignal);
  if (!isSignal && g !== g0 && g !== curg) return without('goroutine_changing');
  if (curg === 0) return without(isSignal ? 'signal' : 'scheduler');
  let words: number = GoCopy.gWords;
  if (g !== curg) {
    if (layout.inC !== 0 && copy.getUint8(GoCopy.mWords + layout.inC) !== 0) {
      return without('foreign');
    }
    words = GoCopy.curgWords + (layout.curg === GO_COPY_CURG ? 0 : GO_COPY_G_BYTES);
  }
  const status = copy.getUint32(words + layout.goid - 8, true) & ~STATUS_SCAN;
  const goid = readWord(copy, words + layout.goid);
  const agrees = readWord(copy, words + layout.m) === m;
  if (!agrees || !STATUS_RUNS.includes(status) || goid === 0 || goid >= 2 ** 48) {
    return without('goroutine_changing');
  }
  return {
    state: isSignal ? 'signal' : 'goroutine',
    goid,
    creator: readWord(copy, words + layout.gopc),
    start: readWord(copy, words + layout.gopc + 16),
  };
}

/** Whether a layout that is in no table has its fields in what was copied. */
const isCopied = ({ m, curg, inC }: GoThreadLayout): boolean =>
  m === COPIED_M && (curg === GO_COPY_CURG || curg === GO_COPY_CURG + 8) && inC < M_BYTES;
