/**
 * Stacks as the recorder mode leaves them: each sample twice, unwound in the
 * kernel (SAMPLE) and as registers with stack bytes (DEFERRED). Decoded here
 * on its own from bpf/record.h, so that a mistake in src/capture shows.
 */

const RECORD_SAMPLE = 1;
const RECORD_DEFERRED = 2;
const SAMPLE_BYTES = 120;
const STACK_BYTES = 1416;
const EXACT_PC = 1n << 63n;

/** One user-space frame: where it was, and whether that is the pc itself or a return address. */
export interface Frame {
  readonly address: bigint;
  readonly exact: boolean;
}

export interface RecordedStack {
  readonly pid: number;
  readonly tid: number;
  readonly comm: string;
  readonly timeNs: bigint;
  /** enum ft_end of the kernel's unwinder. */
  readonly end: number;
  /** Leaf first, as unwound in the kernel. */
  readonly frames: readonly Frame[];
  /** DWARF order, rip last. */
  readonly registers: readonly bigint[];
  readonly base: bigint;
  readonly bytes: Uint8Array;
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(bytes.subarray(0, end < 0 ? bytes.length : end)).toString('latin1');
}

/**
 * Pairs the two records of each sample in a raw record stream; they agree in
 * thread and time. Samples that lost their other half are left out.
 * @throws Error when the stream is not a sequence of whole records.
 */
export function pairRecorded(stream: Uint8Array): RecordedStack[] {
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  const halves = new Map<string, number>();
  const pairs: RecordedStack[] = [];
  for (let at = 0; at < stream.length; ) {
    const length = at + 32 <= stream.length ? view.getUint32(at, true) : 0;
    if (length < 32 || length % 8 !== 0 || at + length > stream.length) {
      throw new Error(`record stream broken at byte ${at}: length ${length}`);
    }
    const type = view.getUint16(at + 4, true);
    if (type === RECORD_SAMPLE || type === RECORD_DEFERRED) {
      const key = `${view.getUint32(at + 32, true)}:${view.getBigUint64(at + 8, true)}`;
      const other = halves.get(key);
      if (other === undefined) halves.set(key, at);
      else {
        halves.delete(key);
        const [sample, deferred] = type === RECORD_SAMPLE ? [at, other] : [other, at];
        pairs.push(decodePair(stream, view, sample, deferred));
      }
    }
    at += length;
  }
  return pairs;
}

function decodePair(
  stream: Uint8Array,
  view: DataView,
  sample: number,
  deferred: number,
): RecordedStack {
  const frames: Frame[] = [];
  const users = sample + SAMPLE_BYTES + view.getUint16(sample + 40, true) * 8;
  for (let i = 0; i < view.getUint16(sample + 42, true); i++) {
    const word = view.getBigUint64(users + i * 8, true);
    frames.push({ address: word & ~EXACT_PC, exact: (word & EXACT_PC) !== 0n });
  }
  const stack = deferred + SAMPLE_BYTES + view.getUint16(deferred + 40, true) * 8;
  const registers: bigint[] = [];
  for (let i = 0; i < 17; i++) registers.push(view.getBigUint64(stack + i * 8, true));
  const bytes = view.getUint32(stack + 152, true);
  return {
    pid: view.getUint32(sample + 16, true),
    tid: view.getUint32(sample + 32, true),
    comm: text(stream.subarray(sample + 64, sample + 80)),
    timeNs: view.getBigUint64(sample + 8, true),
    end: view.getUint16(sample + 44, true),
    frames,
    registers,
    base: view.getBigUint64(stack + 144, true),
    bytes: stream.subarray(stack + STACK_BYTES, stack + STACK_BYTES + bytes),
  };
}
