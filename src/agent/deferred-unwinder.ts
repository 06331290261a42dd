/** Unwinds the stacks that samples bring along because the kernel side could not. */
import { REGISTER_COUNT } from '../capture/record.ts';
import type { ProcessContexts } from '../context/process-contexts.ts';
import { findMapping, type Mapped } from '../process/mapping-list.ts';
import type { Identity, MappedThing, Process } from '../process/process.ts';
import type { ProcessTracker } from '../process/tracker.ts';
import { type MonotonicTime, processAddress, textOffset } from '../units/units.ts';
import {
  anonymousPlace,
  type CodePlace,
  type StackCopy,
  StackWalker,
  unreadablePlace,
  type Walked,
} from '../unwind/stack-walk.ts';
import type { Binary } from './binary.ts';
import { deferredGoroutine } from './deferred-goroutine.ts';
import type { ProcessCosts } from './process-costs.ts';
import { isGeneratedCode } from './process-publisher.ts';
import type { RecordWriter } from './record-writer.ts';
import { stackCopy } from './stack-copy.ts';

export interface DeferredUnwinderOptions {
  readonly tracker: ProcessTracker;
  readonly costs: ProcessCosts;
  readonly contexts: ProcessContexts;
  readonly writer: RecordWriter;
  readonly maxDepth: number;
  /** Open ones, by the id of their file. */
  readonly binaries: ReadonlyMap<number, Binary>;
  readonly binary: (process: Process, mapped: Mapped<MappedThing>) => Binary | undefined;
  /** Closes files that turned out to be unreadable. False when there are none. */
  readonly dropFailed: () => boolean;
  /** The kernel side is to learn of the process as it is now. */
  readonly changed: (process: Process) => void;
  /** Its mapping list needs a number of its own, for the samples that name it. */
  readonly renumber: (process: Process) => void;
}

const NOTHING: Omit<Walked, 'end'> = {
  addresses: new Float64Array(),
  exact: new Uint8Array(),
  length: 0,
};

export class DeferredUnwinder {
  readonly #options: DeferredUnwinderOptions;
  readonly #walker = new StackWalker();
  readonly #registers = new Float64Array(REGISTER_COUNT);

  constructor(options: DeferredUnwinderOptions) {
    this.#options = options;
  }

  /** Writes the sample at `at` as it turns out. @returns whose it is */
  unwind(records: DataView, at: number, identity: Identity, now: MonotonicTime): Process {
    const { tracker, contexts, costs } = this.#options;
    const process = tracker.lookup(identity, this.#mayRead);
    // Of the dead nobody can find out whose they were.
    const isFollowed =
      process.ended === undefined ? this.#mayRead(process) : costs.pauseMs(process) === 0;
    if (isFollowed) contexts.sampled(process);
    const copy = isFollowed && stackCopy(records, at, this.#registers);
    if (copy && process.complete) this.#walk(process, copy, records, at, now);
    else this.#writeNothing(process, records, at);
    return process;
  }

  readonly #mayRead = (process: Process): boolean => this.#options.costs.mayFollow(process);

  #walk(process: Process, copy: StackCopy, records: DataView, at: number, now: MonotonicTime) {
    const { tracker, binaries, writer, changed, renumber } = this.#options;
    let walked = this.#walked(process, copy);
    if (walked.end === 'no_mapping' && this.#mayRead(process)) {
      const address = processAddress(walked.addresses[walked.length - 1] ?? 0);
      if (tracker.refresh(process, now, address)) walked = this.#walked(process, copy);
    }
    if (process.layout === 0 || process.stale) renumber(process);
    if (process.ended === undefined) changed(process);
    const goroutine = deferredGoroutine(process, binaries, records, at);
    writer.write(records, at, walked, process.layout, goroutine);
  }

  #walked(process: Process, copy: StackCopy): Walked {
    const { maxDepth, dropFailed } = this.#options;
    const place = (address: number) => this.#place(process, address);
    for (;;) {
      const walked = this.#walker.walk(copy, place, maxDepth);
      // Then it went by rules that may be another file's: again, without those.
      if (!dropFailed()) return walked;
    }
  }

  #writeNothing(process: Process, records: DataView, at: number): void {
    const { costs, changed, writer } = this.#options;
    const isPaused = costs.pauseMs(process) > 0;
    if (process.ended === undefined && (isPaused || !process.complete)) {
      if (!isPaused) costs.fail(process);
      changed(process);
    }
    writer.write(records, at, { ...NOTHING, end: isPaused ? 'not_followed' : 'process_gone' }, 0);
  }

  #place(process: Process, address: number): CodePlace | undefined {
    const mapped = findMapping(process.mappings, processAddress(address));
    if (!mapped) return undefined;
    if (mapped.what === 'anonymous') return anonymousPlace;
    const wasOpen = mapped.what.opened !== undefined;
    const binary = this.#options.binary(process, mapped);
    if (!wasOpen) process.stale = true;
    const bias = binary?.bias(mapped.start, mapped.raw.offset);
    if (!binary && isGeneratedCode(mapped)) return anonymousPlace;
    if (!binary || bias === undefined) return unreadablePlace;
    return {
      kind: 'file',
      rule: (lookup, exact) => binary.rule(textOffset(lookup - bias), exact),
      exactStep: (lookup, registers, read) =>
        binary.exactStep(textOffset(lookup - bias), registers, read),
    };
  }
}
