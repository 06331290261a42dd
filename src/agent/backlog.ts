/**
 * What the resolver has been given and not finished yet. It is bounded: copies of stacks
 * have up to 64 KiB each, and a resolver that waits for a disk would otherwise collect them
 * without end. What finds no room is said by the caller's counters.
 */

export interface BacklogLimits {
  /** Copies of stacks, of all processes. */
  readonly copyBytes: number;
  /** Of one process: whoever makes many leaves room for others. */
  readonly processCopyBytes: number;
  /** Copies and news of processes together. */
  readonly bytes: number;
}

/** Two hundred large copies, which 8 CPUs make in the first quarter of a second; news of 40,000 short processes. */
const BACKLOG_LIMITS: BacklogLimits = {
  copyBytes: 12 << 20,
  processCopyBytes: 3 << 20,
  bytes: 16 << 20,
};

/** For who waits for the resolver himself. */
export const UNLIMITED: BacklogLimits = {
  copyBytes: Number.POSITIVE_INFINITY,
  processCopyBytes: Number.POSITIVE_INFINITY,
  bytes: Number.POSITIVE_INFINITY,
};

/** Of the oldest batch in an agent: each flush waits behind all that was given before it. */
export const AGENT_AGE_MS = 5_000;
/** That the oldest batch is finished is only learnt between two drains. */
const MIN_LOOKS = 4;

export interface Batch {
  readonly bytes: number;
  /** Copies of stacks, each of one sample. */
  readonly copies: number;
  /** Bytes of copies by process. */
  readonly byProcess: ReadonlyMap<number, number>;
  readonly since: number;
}

export class Backlog {
  readonly #limits: BacklogLimits;
  readonly #batches: Batch[] = [];
  readonly #byProcess = new Map<number, number>();
  #bytes = 0;
  #copyBytes = 0;
  /** Of the batch that is being made. */
  #copies = 0;
  #next = new Map<number, number>();

  #ageMs = Number.POSITIVE_INFINITY;
  /** How often the oldest batch was found to be still there. */
  #looks = 0;
  readonly #clock: () => number;

  /** @param clock milliseconds that never go back */
  constructor(
    limits: BacklogLimits = BACKLOG_LIMITS,
    clock: () => number = () => performance.now(),
  ) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Whether a sample with a copy of its stack may become part of the next batch; true takes the room. */
  admits(pid: number, bytes: number): boolean {
    const { copyBytes, processCopyBytes } = this.#limits;
    const ofProcess = (this.#byProcess.get(pid) ?? 0) + bytes;
    if (ofProcess > processCopyBytes || this.#copyBytes + bytes > copyBytes) return false;
    this.#byProcess.set(pid, ofProcess);
    this.#copyBytes += bytes;
    this.#next.set(pid, (this.#next.get(pid) ?? 0) + bytes);
    this.#copies++;
    return true;
  }

  /** From now on nothing is sent after a batch that is not finished so long after it was. */
  boundAge(ms: number): void {
    this.#ageMs = ms;
  }

  /** Whether a batch of so many bytes may be sent; asked once for each. */
  hasRoom(bytes: number): boolean {
    const [oldest] = this.#batches;
    this.#looks++;
    const isSlow = oldest !== undefined && this.#clock() - oldest.since > this.#ageMs;
    if (isSlow && this.#looks >= MIN_LOOKS) return false;
    return this.#bytes + bytes <= this.#limits.bytes;
  }

  /** The next batch, with all that was admitted, is on its way. */
  add(bytes: number): void {
    this.#bytes += bytes;
    this.#batches.push(this.#take(bytes));
  }

  /** The next batch is not sent. @returns copies that it had */
  drop(): number {
    const batch = this.#take(0);
    this.#release(batch);
    return batch.copies;
  }

  /** The oldest batch is finished. */
  finish(): Batch | undefined {
    const batch = this.#batches.shift();
    this.#looks = 0;
    if (!batch) return undefined;
    this.#bytes -= batch.bytes;
    this.#release(batch);
    return batch;
  }

  /** No batch will be finished any more. @returns copies that they had */
  clear(): number {
    let copies = 0;
    while (this.#batches.length > 0) copies += this.finish()!.copies;
    return copies;
  }

  #take(bytes: number): Batch {
    const since = this.#clock();
    const batch = { bytes, copies: this.#copies, byProcess: this.#next, since };
    this.#copies = 0;
    this.#next = new Map();
    return batch;
  }

  #release({ byProcess }: Batch): void {
    for (const [pid, bytes] of byProcess) {
      const left = this.#byProcess.get(pid)! - bytes;
      if (left > 0) this.#byProcess.set(pid, left);
      else this.#byProcess.delete(pid);
      this.#copyBytes -= bytes;
    }
  }
}
