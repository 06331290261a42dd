/**
 * Counts samples by raw addresses, before any name is known. This is the hot
 * path of the main thread: a sample that was seen before allocates nothing.
 *
 * Two samples are one row when process instance, layout generation, end reason,
 * thread, labels and every address word agree.
 */
import { type BootTime, bootTime } from '../units/units.ts';
import { ByteBudget, WordTable } from './word-table.ts';

export interface AggregatorOptions {
  /** Bytes that all tables of one aggregator may take, old and new arrays of a growing one both counted. */
  readonly maxBytes: number;
  /** Goroutines told apart between two drains; samples of others are counted without labels. */
  readonly maxGoroutines?: number;
  /** Contexts told apart between two drains; likewise. */
  readonly maxContexts?: number;
}

/** 2 MiB of keys; a profile holds about as many different stacks. */
const MAX_GOROUTINES = 16_384;
const MAX_CONTEXTS = 16_384;

/** Raw stacks; stack i is `words[2 * n], words[2 * n + 1]` = low and high half of address n, for `start[i] <= 2 * n < start[i + 1]`, leaf first. */
export interface RawStacks {
  readonly length: number;
  /** One more than stacks; the last is the end of the last stack. */
  readonly start: Uint32Array;
  /** The first so many addresses are the kernel's. */
  readonly kernelCount: Uint16Array;
  readonly words: Uint32Array;
}

export interface Instance {
  readonly pid: number;
  readonly startNs: BootTime;
  readonly execId: number;
  /** Index into `Aggregated.comms`. */
  readonly comm: number;
}

/**
 * What samples of Go processes say of their goroutine; entry i is `words[9 * i]`
 * up to `words[9 * i + 8]`: instance, layout, `enum ft_go_state`, then low and high
 * half of the goroutine's id, of the return address of its creator and of the
 * address of its first function, each 0 = not known. Entry 0 is nothing, entry 1
 * (state GOROUTINE_OVERFLOW) stands for all that were too many to be told apart.
 */
export interface RawGoroutines {
  readonly length: number;
  readonly words: Uint32Array;
}

/**
 * What samples say of the request that they serve; entry i is `words[start[i]]` up to
 * `words[start[i + 1]]`: instance, `enum ft_context`, then the labels as bpf/record.h
 * has them (`struct ft_label`). Entry 0 is nothing, entry 1 (outcome CONTEXT_OVERFLOW)
 * stands for all that were too many to be told apart.
 */
export interface RawContexts {
  readonly length: number;
  readonly start: Uint32Array;
  readonly words: Uint32Array;
}

/** Entry i is `words[2 * i]`, an index into the goroutines, and `words[2 * i + 1]`, one into the contexts. */
export interface RawLabels {
  readonly length: number;
  readonly words: Uint32Array;
}

/** Row i of every column belongs together. Rows are unique in all columns but `count`. */
export interface Aggregated {
  readonly rows: number;
  /** Index into `instances`. */
  readonly instance: Uint32Array;
  readonly layout: Uint32Array;
  /** `enum ft_end` of bpf/record.h. */
  readonly end: Uint32Array;
  /** Index into `comms`. */
  readonly thread: Uint32Array;
  /** Index into `labelPairs`; 0 = no labels. */
  readonly labels: Uint32Array;
  /** Index into `stacks`. */
  readonly stack: Uint32Array;
  readonly count: Uint32Array;
  readonly stacks: RawStacks;
  readonly goroutines: RawGoroutines;
  readonly contexts: RawContexts;
  readonly labelPairs: RawLabels;
  readonly instances: readonly Instance[];
  /** Names of processes and threads, valid text. */
  readonly comms: readonly string[];
  /** Sum of `count`. */
  readonly samples: number;
  /** Samples that could not be counted, by reason. */
  readonly lost: Readonly<Record<string, number>>;
  /** Samples in the rows that were unwound in user space, by `enum ft_end` of why. */
  readonly deferred: ReadonlyMap<number, number>;
}

/** Given as `deferred` for samples that the kernel unwound. */
export const NOT_DEFERRED = -1;

const commWords = 4;
/** Words of an entry of `RawGoroutines`. */
export const GOROUTINE_WORDS = 9;
/** In place of a state. */
export const GOROUTINE_OVERFLOW = 0xffff_ffff;
/** In place of an outcome. */
export const CONTEXT_OVERFLOW = 0xffff_ffff;
/** Words of a context before its labels. */
export const CONTEXT_HEAD_WORDS = 2;
const OVERFLOWN = 1;
/** Words of the longest key of a context: FT_LABEL_BYTES and the head. */
const MAX_CONTEXT_WORDS = 1024 / 4 + CONTEXT_HEAD_WORDS;
const rowWords = 6;
const maxCount = 0xffff_ffff;

export class Aggregator {
  readonly #budget: ByteBudget;
  readonly #comms: WordTable;
  readonly #instances: WordTable;
  readonly #stacks: WordTable;
  readonly #rows: WordTable;
  readonly #goroutines: WordTable;
  readonly #contexts: WordTable;
  readonly #labelPairs: WordTable;
  readonly #maxGoroutines: number;
  readonly #maxContexts: number;
  readonly #contextKey = new Uint32Array(MAX_CONTEXT_WORDS);
  readonly #key = new Uint32Array(GOROUTINE_WORDS);
  readonly #deferred = new Map<number, number>();
  #instanceComm: Uint32Array;
  #counts: Uint32Array;
  #samples = 0;
  #full = 0;
  #malformed = 0;

  constructor(options: AggregatorOptions) {
    this.#budget = new ByteBudget(options.maxBytes);
    this.#comms = new WordTable(this.#budget);
    this.#instances = new WordTable(this.#budget);
    this.#stacks = new WordTable(this.#budget);
    this.#rows = new WordTable(this.#budget);
    this.#goroutines = new WordTable(this.#budget);
    this.#contexts = new WordTable(this.#budget);
    this.#labelPairs = new WordTable(this.#budget);
    this.#maxGoroutines = options.maxGoroutines ?? MAX_GOROUTINES;
    this.#maxContexts = options.maxContexts ?? MAX_CONTEXTS;
    this.#firstLabels();
    this.#instanceComm = this.#counters(256);
    this.#counts = this.#counters(256);
  }

  /** Memory of all tables. */
  get bytes(): number {
    return this.#budget.used;
  }

  /** Samples counted since the last drain, lost ones not among them. */
  get samples(): number {
    return this.#samples;
  }

  /**
   * Id of a 16-byte comm (of a process or a thread), valid until the next
   * drain; -1 when memory is used up, which `instance` and `add` understand.
   */
  comm(words: Uint32Array, first: number): number {
    if (first + commWords > words.length) return -1;
    return this.#comms.intern(words, first, commWords, 0);
  }

  /**
   * Id of a process instance, valid until the next drain; -1 when memory is
   * used up. The comm is not part of the identity: the last one given counts,
   * because a process may rename itself.
   */
  instance(pid: number, startLow: number, startHigh: number, execId: number, comm: number): number {
    if (comm < 0) return -1;
    const key = this.#key;
    key[0] = pid;
    key[1] = startLow;
    key[2] = startHigh;
    key[3] = execId;
    const id = this.#instances.intern(key, 0, 4, 0);
    if (id < 0) return -1;
    if (id >= this.#instanceComm.length) {
      const larger = this.#larger(this.#instanceComm);
      if (larger === undefined) return -1;
      this.#instanceComm = larger;
    }
    this.#instanceComm[id] = comm;
    return id;
  }

  /**
   * Id of the goroutine of a sample, valid until the next drain. The words from `first` on are goroutine's id, creator and start, the low
   * half of each first. 0 = none; those that are too many have one id together.
   */
  goroutine(
    instance: number,
    layout: number,
    state: number,
    words: Uint32Array,
    first: number,
  ): number {
    if (state === 0 || instance < 0) return 0;
    const key = this.#key;
    key[0] = instance;
    key[1] = layout;
    key[2] = state;
    for (let i = 0; i < 6; i++) key[3 + i] = words[first + i]!;
    const isFull = this.#goroutines.length >= this.#maxGoroutines;
    const id = isFull
      ? this.#goroutines.find(key, 0, GOROUTINE_WORDS, 0)
      : this.#goroutines.intern(key, 0, GOROUTINE_WORDS, 0);
    return id < 0 ? OVERFLOWN : id;
  }

  /**
   * Id of what a sample says of its request: the outcome of reading its labels and
   * `length` words of them from `first` on. 0 = nothing; those that are too many have
   * one id together.
   */
  context(
    instance: number,
    outcome: number,
    words: Uint32Array,
    first: number,
    length: number,
  ): number {
    if (outcome === 0 || instance < 0) return 0;
    const size = CONTEXT_HEAD_WORDS + length;
    if (size > MAX_CONTEXT_WORDS) return OVERFLOWN;
    const key = this.#contextKey;
    key[0] = instance;
    key[1] = outcome;
    for (let i = 0; i < length; i++) key[CONTEXT_HEAD_WORDS + i] = words[first + i]!;
    const isFull = this.#contexts.length >= this.#maxContexts;
    const id = isFull
      ? this.#contexts.find(key, 0, size, 0)
      : this.#contexts.intern(key, 0, size, 0);
    return id < 0 ? OVERFLOWN : id;
  }

  /** Id of a goroutine and a context together, as labels of a sample; -1 when memory is used up. */
  labels(goroutine: number, context: number): number {
    if (goroutine === 0 && context === 0) return 0;
    this.#key[0] = goroutine;
    this.#key[1] = context;
    return this.#labelPairs.intern(this.#key, 0, 2, 0);
  }

  /**
   * Counts `weight` samples. Addresses are u64 little-endian words in `words`
   * from index `firstWord`, the low half first: `kernelCount` kernel addresses
   * and then `userCount` user addresses, leaf first. `deferred` is the `enum
   * ft_end` for which the sample was unwound in user space.
   *
   * False when the sample was lost: `aggregation_full` over the byte limit,
   * `malformed_sample` when the words are not all there.
   */
  add(
    instance: number,
    layout: number,
    end: number,
    thread: number,
    labels: number,
    words: Uint32Array,
    firstWord: number,
    kernelCount: number,
    userCount: number,
    weight = 1,
    deferred: number = NOT_DEFERRED,
  ): boolean {
    const length = (kernelCount + userCount) * 2;
    if (firstWord + length > words.length || kernelCount > 0xffff) {
      this.#malformed += weight;
      return false;
    }
    const row =
      instance < 0 || thread < 0 || labels < 0
        ? -1
        : this.#row(instance, layout, end, thread, labels, words, firstWord, length, kernelCount);
    if (row < 0 || this.#counts[row]! + weight > maxCount) {
      this.#full += weight;
      return false;
    }
    this.#counts[row]! += weight;
    this.#samples += weight;
    if (deferred >= 0) {
      this.#deferred.set(deferred, (this.#deferred.get(deferred) ?? 0) + weight);
    }
    return true;
  }

  /** Hands out what was counted and starts anew; ids of comms and instances are void after it. */
  drain(): Aggregated {
    // A row beyond the counters was refused when these could not grow.
    const rows = Math.min(this.#rows.length, this.#counts.length);
    const keys = this.#rows.words;
    const column = (field: number): Uint32Array => {
      const values = new Uint32Array(rows);
      for (let row = 0; row < rows; row++) values[row] = keys[row * rowWords + field]!;
      return values;
    };
    const aggregated: Aggregated = {
      rows,
      instance: column(0),
      layout: column(1),
      end: column(2),
      thread: column(3),
      labels: column(4),
      stack: column(5),
      count: this.#counts.slice(0, rows),
      stacks: {
        length: this.#stacks.length,
        start: this.#stacks.starts.slice(),
        kernelCount: Uint16Array.from(this.#stacks.tags),
        words: this.#stacks.words.slice(),
      },
      goroutines: { length: this.#goroutines.length, words: this.#goroutines.words.slice() },
      contexts: {
        length: this.#contexts.length,
        start: this.#contexts.starts.slice(),
        words: this.#contexts.words.slice(),
      },
      labelPairs: { length: this.#labelPairs.length, words: this.#labelPairs.words.slice() },
      instances: this.#drainInstances(),
      comms: this.#drainComms(),
      samples: this.#samples,
      lost: lostByReason(this.#full, this.#malformed),
      deferred: new Map(this.#deferred),
    };
    this.#clear();
    return aggregated;
  }

  /** Takes the ids 0 and, of goroutines and contexts, OVERFLOWN. */
  #firstLabels(): void {
    const key = this.#key.fill(0);
    this.#goroutines.intern(key, 0, GOROUTINE_WORDS, 0);
    this.#contexts.intern(key, 0, CONTEXT_HEAD_WORDS, 0);
    this.#labelPairs.intern(key, 0, 2, 0);
    key[2] = GOROUTINE_OVERFLOW;
    this.#goroutines.intern(key, 0, GOROUTINE_WORDS, 0);
    key[1] = CONTEXT_OVERFLOW;
    this.#contexts.intern(key, 0, CONTEXT_HEAD_WORDS, 0);
  }

  #row(
    instance: number,
    layout: number,
    end: number,
    thread: number,
    labels: number,
    words: Uint32Array,
    firstWord: number,
    length: number,
    kernelCount: number,
  ): number {
    const stack = this.#stacks.intern(words, firstWord, length, kernelCount);
    if (stack < 0) return -1;
    const key = this.#key;
    key[0] = instance;
    key[1] = layout;
    key[2] = end;
    key[3] = thread;
    key[4] = labels;
    key[5] = stack;
    const row = this.#rows.intern(key, 0, rowWords, 0);
    if (row >= this.#counts.length) {
      const larger = this.#larger(this.#counts);
      if (larger === undefined) return -1;
      this.#counts = larger;
    }
    return row;
  }

  #clear(): void {
    this.#comms.clear();
    this.#instances.clear();
    this.#stacks.clear();
    this.#rows.clear();
    this.#goroutines.clear();
    this.#contexts.clear();
    this.#labelPairs.clear();
    this.#firstLabels();
    this.#counts.fill(0);
    this.#deferred.clear();
    this.#samples = 0;
    this.#full = 0;
    this.#malformed = 0;
  }

  #drainInstances(): Instance[] {
    const keys = this.#instances.words;
    const length = Math.min(this.#instances.length, this.#instanceComm.length);
    return Array.from({ length }, (_, id) => ({
      pid: keys[id * 4]!,
      startNs: bootTime((BigInt(keys[id * 4 + 2]!) << 32n) | BigInt(keys[id * 4 + 1]!)),
      execId: keys[id * 4 + 3]!,
      comm: this.#instanceComm[id]!,
    }));
  }

  #drainComms(): string[] {
    const bytes = new Uint8Array(this.#comms.words.slice().buffer);
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    return Array.from({ length: this.#comms.length }, (_, id) => {
      const comm = bytes.subarray(id * commWords * 4, (id + 1) * commWords * 4);
      const end = comm.indexOf(0);
      return decoder.decode(end < 0 ? comm : comm.subarray(0, end));
    });
  }

  #counters(length: number): Uint32Array {
    const counters = new Uint32Array(length);
    if (!this.#budget.take(counters.byteLength)) {
      throw new Error(`maxBytes of ${this.#budget.limit} is too small for an aggregator`);
    }
    return counters;
  }

  #larger(counters: Uint32Array): Uint32Array | undefined {
    if (!this.#budget.take(counters.byteLength * 2)) return undefined;
    const larger = new Uint32Array(counters.length * 2);
    larger.set(counters);
    this.#budget.give(counters.byteLength);
    return larger;
  }
}

function lostByReason(full: number, malformed: number): Record<string, number> {
  const lost: Record<string, number> = {};
  if (full > 0) lost.aggregation_full = full;
  if (malformed > 0) lost.malformed_sample = malformed;
  return lost;
}
