/**
 * The resolver's side of the debug-info thread. Everything that is heavy or
 * hostile happens there: it is started when there is something to ask, ended
 * when it is idle (that gives its memory back), and killed when a file costs
 * more than it may; then that file alone is asked again, later, shorter and
 * without the source that was at fault.
 */
import { Worker } from 'node:worker_threads';
import {
  type DebugInfoAccountLimits,
  DebugInfoAccounts,
  type DebugInfoPurpose,
} from './debug-info-accounts.ts';
import type { DebugInfoFile } from './debug-info-file.ts';
import type { DebugInfoSetup, FromDebugInfo, ToDebugInfo } from './debug-info-messages.ts';
import { endThread } from './end-thread.ts';

export interface DebugInfoLimits extends DebugInfoAccountLimits {
  /** Time for one request of a file; half of it after each time that the thread was lost over the file. */
  readonly requestMs: number;
  /** How long a file may hold others up before their turn comes. */
  readonly turnMs: number;
  /** JavaScript heap of the thread. */
  readonly heapMib: number;
  /** Heap and buffers of the thread. */
  readonly threadBytes: number;
  readonly idleMs: number;
}

export const DEBUG_INFO_LIMITS: DebugInfoLimits = {
  requestMs: 30_000,
  turnMs: 3_000,
  heapMib: 256,
  threadBytes: 384 << 20,
  // V8 keeps the pages of an ended thread for 8 s more; all shall be back after 10 s.
  idleMs: 1_000,
  cpuShare: 1,
  // The files of a machine that are met in the first minutes; a handful of starts for hot code.
  newsMs: 10_000,
  hotMs: 1_500,
};

export const AGENT_DEBUG_INFO_LIMITS: DebugInfoLimits = {
  ...DEBUG_INFO_LIMITS,
  // With its turn and what is left after setbacks a hostile file costs 17 s, once.
  requestMs: 8_000,
  // A start for the late addresses of libc and python takes 0.4 s: one in 200 s.
  cpuShare: 0.002,
};

/** Starting a thread, ending it, and opening a file, beside the requests themselves. */
const START_COST_MS = 80;
const WATCH_MS = 100;
/** Addresses per request: a flush of a large program has about 2,000 new ones, its first 10,000. */
const MAX_ADDRESSES = 16_384;

interface Request {
  readonly file: DebugInfoFile;
  readonly addresses: Float64Array<ArrayBuffer>;
  readonly purpose: DebugInfoPurpose;
  done(): void;
}

interface Current extends Request {
  readonly id: number;
  readonly fd: number;
  readonly roots: readonly number[];
  readonly started: number;
  /** CPU time of all threads before it: those that decompress and collect garbage for it count. */
  readonly cpuBefore: number;
  /** What the thread is at. */
  source: string | undefined;
}

/** Of this process since its start. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3;
}

/** The bundle has the thread's entry beside it, the sources in this folder. */
function bundledEntry(): URL {
  const bundled = !import.meta.url.endsWith('.ts');
  return new URL(bundled ? './debug-info.cjs' : './debug-info-worker.ts', import.meta.url);
}

export class DebugInfoClient {
  readonly #limits: DebugInfoLimits;
  readonly #setup: DebugInfoSetup;
  readonly #entry: URL;
  readonly #queue: Request[] = [];
  readonly #pending = new Set<DebugInfoFile>();
  readonly #settled = new Set<() => void>();
  #worker: Worker | undefined;
  #current: Current | undefined;
  #watch: NodeJS.Timeout | undefined;
  #idle: NodeJS.Timeout | undefined;
  /** Resident memory of the process when the thread was started. */
  #base = 0;
  #isWeighing = false;
  #downloads = 0;
  #isFreed = false;
  #nextId = 1;
  readonly #accounts: DebugInfoAccounts;
  #closed = false;

  /** @param entry module of the thread; tests have others */
  constructor(
    limits = DEBUG_INFO_LIMITS,
    setup: DebugInfoSetup = { symbols: undefined },
    entry = bundledEntry(),
  ) {
    this.#limits = limits;
    this.#accounts = new DebugInfoAccounts(limits);
    this.#setup = setup;
    this.#entry = entry;
  }

  /** True while the thread exists. */
  get running(): boolean {
    return this.#worker !== undefined;
  }

  /** Whether a file's late addresses wait, because the thread is started only for what is worth it. */
  rests(file: DebugInfoFile): boolean {
    return this.#accounts.rests(file, this.running);
  }

  /** Files whose debug information is being downloaded. */
  get downloads(): number {
    return this.#pending.size;
  }

  /**
   * Asks for what the files want. Resolves when all is answered or given up;
   * the answers are with the files. Never rejects.
   * @param frames of all samples that names are wanted for; when it is not told nothing is hot
   */
  async ask(files: readonly DebugInfoFile[], frames = Number.POSITIVE_INFINITY): Promise<void> {
    if (this.#closed) return;
    const worth = this.#accounts.worth(files, frames, this.running);
    const requests = [...worth].flatMap(([file, purpose]) => {
      const questions = file.takeQuestions();
      const parts: Promise<void>[] = [];
      for (let at = 0; at < questions.length; at += MAX_ADDRESSES) {
        parts.push(this.#enqueue(file, questions.slice(at, at + MAX_ADDRESSES), purpose));
      }
      return parts;
    });
    await Promise.all(requests);
  }

  /** Resolves when no download is under way. */
  downloaded(): Promise<void> {
    if (this.#pending.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#settled.add(resolve));
  }

  close(): void {
    this.#closed = true;
    this.#drop();
    if (this.#current) this.#finish(this.#current);
    for (const request of this.#queue.splice(0)) this.#finish(request);
  }

  #enqueue(
    file: DebugInfoFile,
    addresses: Float64Array<ArrayBuffer>,
    purpose: DebugInfoPurpose,
  ): Promise<void> {
    return new Promise((resolve) => {
      this.#queue.push({ file, addresses, purpose, done: resolve });
      this.#next();
    });
  }

  /** One request at a time: when it goes wrong it is known whose fault it is. */
  #next(): void {
    clearTimeout(this.#idle);
    this.#isFreed = false;
    while (!this.#current) {
      const request = this.#first();
      if (!request) {
        if (!this.#worker) return;
        this.#idle = setTimeout(() => this.#endIdle(), this.#limits.idleMs);
        this.#idle.unref();
        return;
      }
      if (request.file.mayAnswer) this.#send(request);
      else this.#finish(request);
    }
  }

  /** Those that were never slow come first. */
  #first(): Request | undefined {
    let first = 0;
    this.#queue.forEach(({ file }, i) => {
      if (file.rank < this.#queue[first]!.file.rank) first = i;
    });
    return this.#queue.splice(first, 1)[0];
  }

  #send(request: Request): void {
    const { file, addresses } = request;
    try {
      this.#worker ??= this.#start(request);
    } catch {
      // No further thread, or no memory for one (EAGAIN, ENOMEM): asked again at the next flush.
      this.#finish(request);
      return;
    }
    let fd: number;
    try {
      fd = file.origin.open();
    } catch {
      // Closed meanwhile: nobody maps it any more.
      file.giveUp('debug_info_file_closed');
      this.#finish(request);
      return;
    }
    const id = this.#nextId++;
    const roots = file.origin.roots();
    this.#current = {
      ...request,
      id,
      fd,
      roots,
      started: performance.now(),
      cpuBefore: cpuMs(),
      source: undefined,
    };
    this.#watch ??= setInterval(() => this.#check(), WATCH_MS);
    const { id: number, path } = file.origin;
    this.#worker.postMessage({
      type: 'lookup',
      id,
      file: number,
      fd,
      path,
      roots,
      addresses,
      skipped: [...file.skipped],
      trusted: [...file.trusted],
    } satisfies ToDebugInfo);
  }

  #start({ purpose, file }: Request): Worker {
    const { heapMib } = this.#limits;
    this.#accounts.owe(purpose, file, START_COST_MS);
    this.#base = process.memoryUsage.rss();
    const worker = new Worker(this.#entry, {
      workerData: this.#setup,
      resourceLimits: { maxOldGenerationSizeMb: heapMib, maxYoungGenerationSizeMb: 8 },
      // Whatever it had opened is closed when it is killed.
      trackUnmanagedFds: true,
      // Node warns when one is closed that was opened by the addon.
      execArgv: ['--no-warnings'],
    });
    // Of a thread that was given up nothing is heard any more.
    const isOurs = () => worker === this.#worker;
    worker.on('message', (message: FromDebugInfo) => {
      if (isOurs()) this.#take(message);
    });
    worker.on('error', (cause: NodeJS.ErrnoException) => {
      const isMemory = cause.code === 'ERR_WORKER_OUT_OF_MEMORY';
      if (isOurs()) this.#fail(isMemory ? 'debug_info_memory_limit' : 'debug_info_crash');
    });
    worker.on('exit', () => {
      if (isOurs()) this.#fail('debug_info_crash');
    });
    return worker;
  }

  #take(message: FromDebugInfo): void {
    if (message.type === 'downloads') {
      this.#downloads = message.running;
    } else if (message.type === 'begins') {
      if (message.id === this.#current?.id) this.#current.source = message.source;
    } else if (message.type === 'summed') {
      if (message.id === this.#current?.id) {
        this.#current.file.summed(message.source, message.outcome);
      }
    } else if (message.type === 'changed') {
      for (const file of this.#pending) {
        if (file.origin.id === message.file) this.#noLongerPending(file);
      }
    } else if (message.id === this.#current?.id) {
      const current = this.#current;
      current.file.learn(current.addresses, message);
      if (current.file.pending) this.#pending.add(current.file);
      else this.#noLongerPending(current.file);
      this.#finish(current);
      this.#next();
    }
  }

  #check(): void {
    if (!this.#current) return;
    const { requestMs, turnMs, threadBytes } = this.#limits;
    const { file, started } = this.#current;
    const elapsed = performance.now() - started;
    if (elapsed > requestMs / 2 ** file.setbacks) {
      this.#fail('debug_info_time_limit');
    } else if (elapsed > turnMs && file.rank === 0 && this.#hasOthers(file)) {
      file.postpone();
      this.#restart();
    } else if (process.memoryUsage.rss() - this.#base > threadBytes) {
      // Other threads grow too.
      void this.#weigh();
    }
  }

  async #weigh(): Promise<void> {
    const worker = this.#worker;
    if (!worker || this.#isWeighing) return;
    this.#isWeighing = true;
    try {
      const { total_heap_size: heap, external_memory: buffers } = await worker.getHeapStatistics();
      const isTooMuch = heap + buffers > this.#limits.threadBytes;
      if (isTooMuch && worker === this.#worker) this.#fail('debug_info_memory_limit');
    } catch {
      // It has ended meanwhile.
    } finally {
      this.#isWeighing = false;
    }
  }

  #hasOthers(file: DebugInfoFile): boolean {
    return this.#queue.some((request) => request.file !== file && request.file.rank === 0);
  }

  /** The thread is lost, by its own fault or by ours. */
  #fail(reason: string): void {
    this.#current?.file.setBack(reason, this.#current.source);
    this.#restart();
  }

  /** Who was being served is served again when its turn comes. */
  #restart(): void {
    const current = this.#current;
    if (current) {
      const { file, addresses, purpose, done } = current;
      this.#release(current);
      this.#queue.push({ file, addresses, purpose, done });
    }
    this.#drop();
    this.#next();
  }

  #release({ cpuBefore, purpose, fd, roots, file }: Current): void {
    this.#accounts.owe(purpose, file, cpuMs() - cpuBefore);
    file.origin.giveBack([fd, ...roots]);
    this.#current = undefined;
  }

  #finish(request: Request): void {
    if (this.#current?.done === request.done) this.#release(this.#current);
    request.file.unanswered(request.addresses);
    request.done();
  }

  #endIdle(): void {
    if (this.#current || this.#queue.length > 0) return;
    if (this.#downloads > 0) {
      // A server may take minutes, and what was read is not needed for that.
      if (!this.#isFreed) this.#worker?.postMessage({ type: 'free' } satisfies ToDebugInfo);
      this.#isFreed = true;
      this.#idle = setTimeout(() => this.#endIdle(), this.#limits.idleMs);
      this.#idle.unref();
      return;
    }
    this.#drop();
  }

  #drop(): void {
    clearTimeout(this.#idle);
    clearInterval(this.#watch);
    this.#watch = undefined;
    const worker = this.#worker;
    this.#worker = undefined;
    // In a long native call it ends later; meanwhile another one serves.
    if (worker) void endThread(worker);
    this.#downloads = 0;
    for (const file of [...this.#pending]) this.#noLongerPending(file);
  }

  #noLongerPending(file: DebugInfoFile): void {
    if (!this.#pending.delete(file)) return;
    file.changed();
    if (this.#pending.size > 0) return;
    for (const resolve of this.#settled) resolve();
    this.#settled.clear();
  }
}
