/**
 * The main thread's side of the resolver. The thread is started again when it fails: what
 * it was working on is lost and counted, and the new one looks everything up anew.
 */
import type { AddressQueries } from '../profile/address-collection.ts';
import type { Instance } from '../profile/aggregator.ts';
import type { ProcessInformation } from '../profile/builder.ts';
import type { ResolvedLocation } from '../profile/profile-tables.ts';
import { addCounts } from '../profile/tally.ts';
import { AGENT_AGE_MS, Backlog, type BacklogLimits } from './backlog.ts';
import { AGENT_COPY_BUDGET, COPY_BUDGET, CopyBudget } from './copy-budget.ts';
import type {
  Delivery,
  FromResolver,
  Resolution,
  ResolverSetup,
  ResolverStats,
  Snapshot,
  ToResolver,
  Waiting,
} from './messages.ts';
import { ResolverThread, resolverEntry, type ThreadEvents } from './resolver-thread.ts';
import { RestartPause } from './restart-pause.ts';
import { SuspectFiles } from './suspect-files.ts';

/** Why samples that came with a copy of their stack are lost. */
export type LostReason = 'resolver_restarted' | 'resolver_behind' | 'malformed_record';

/** Why a deferred sample is counted without the frames of its copied stack: a `problem` of the tally. */
export type RefusedCopy =
  | 'stack_copy_over_budget'
  | 'stack_copy_resolver_behind'
  | 'stack_copy_resolver_restarting';

export interface ResolverEvents {
  /** Finished samples made of deferred ones. */
  onSamples(records: Uint8Array<ArrayBuffer>): void;
  onSnapshot(snapshot: Snapshot): void;
  /** A resolution takes long. */
  onWaiting(waiting: Waiting): void;
  /** Node warns of something. */
  onWarning(name: string, message: string): void;
  /** Samples, with copies of their stacks, that will not come back. */
  onLost(reason: LostReason, samples: number): void;
  /** The thread has failed; it starts again in `pauseMs`. What it has told the kernel is to be forgotten. */
  onRestart(cause: Error, pauseMs: number): void;
  /** What the kernel may have made of the dead thread's entries since is to be forgotten too. */
  onRestarted(): void;
  /** The thread has died and is not started again: nothing can be named any more. */
  onFailure(error: Error): void;
}

export interface ResolvedQueries {
  readonly locations: readonly (ResolvedLocation | undefined)[];
  readonly processes: readonly (ProcessInformation | undefined)[];
}

export interface ResolverClientOptions {
  /** Module of the thread; tests have others. */
  readonly entry?: URL;
  readonly limits?: BacklogLimits;
  /** JavaScript heap of the thread. */
  readonly heapMib?: number;
  /** How often it is asked whether it is still there. */
  readonly pingMs?: number;
  /** How long a thread has waited for a CPU. */
  readonly waitedMs?: (task: number) => number;
}

/** A flush waits for a thread that starts again, but no longer than this. */
const WAIT_FOR_START_MS = 5_000;
/** A question may itself be what the thread fails at. */
const MAX_ATTEMPTS = 2;

const NO_STATS: ResolverStats = {
  processes: 0,
  binaries: 0,
  tableBytes: 0,
  problems: {},
  sidebandLost: 0,
};

interface Question {
  readonly message: Extract<ToResolver, { type: 'resolve' | 'sync' }>;
  attempts: number;
  /** Undefined: the thread has failed, there is no answer. */
  answer(message: FromResolver | undefined): void;
  reject(error: Error): void;
}

export class ResolverClient {
  readonly #events: ResolverEvents;
  readonly #entry: URL;
  readonly #backlog: Backlog;
  #budget = new CopyBudget(COPY_BUDGET);
  readonly #pause = new RestartPause();
  readonly #suspects = new SuspectFiles();
  readonly #questions = new Map<number, Question>();
  /** Loading, or at work when `#isUp`. */
  #thread: ResolverThread | undefined;
  #isUp = false;
  #restart: NodeJS.Timeout | undefined;
  /** When it is started again. */
  #startsAt = 0;
  #setup: ResolverSetup | undefined;
  #isHurried = false;
  #restarts = 0;
  /** By number, as the resolver gave them. */
  #locations: (ResolvedLocation | undefined)[] = [undefined];
  #nextId = 1;
  /** News of processes that were not delivered since the last batch that was. */
  #undelivered = 0;
  /** Of threads that have failed. */
  #past = NO_STATS;
  #current = NO_STATS;
  #failure: Error | undefined;
  #isClosed = false;
  readonly #heapMib: number | undefined;
  readonly #pingMs: number | undefined;
  readonly #waitedMs: ((task: number) => number) | undefined;

  /** Starts the thread; it loads while the caller goes on. */
  constructor(events: ResolverEvents, options: ResolverClientOptions = {}) {
    const { entry, limits, heapMib, pingMs, waitedMs } = options;
    this.#events = events;
    this.#entry = entry ?? resolverEntry();
    this.#backlog = new Backlog(limits);
    this.#heapMib = heapMib;
    this.#pingMs = pingMs;
    this.#waitedMs = waitedMs;
    this.#thread = this.#load();
  }

  /** True while there is a thread at work. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** How often it was started again. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Figures as of the last answer, over all threads that there were. */
  get stats(): ResolverStats {
    return joined(this.#past, this.#current);
  }

  /** Resolves once the thread takes batches. @throws Error when it fails before */
  async start(setup: ResolverSetup): Promise<void> {
    this.#setup = setup;
    if (setup.isSteady) {
      this.#budget = new CopyBudget(AGENT_COPY_BUDGET);
      this.#backlog.boundAge(AGENT_AGE_MS);
    }
    await this.#thread!.start(setup, this.#suspects.refused());
    this.#isUp = true;
  }

  /** Why a sample with a copy of its stack may not be part of the next batch; undefined takes the room for it. */
  refusal(pid: number, bytes: number): RefusedCopy | undefined {
    if (!this.#isUp) return 'stack_copy_resolver_restarting';
    if (!this.#budget.allows(pid)) return 'stack_copy_over_budget';
    return this.#backlog.admits(pid, bytes) ? undefined : 'stack_copy_resolver_behind';
  }

  /**
   * Process events and admitted samples; both are copied.
   * @param events how many of them are news of processes
   * @returns false when there is no room, and all of it was dropped
   */
  batch(records: Uint8Array, sideband: Uint8Array, events: number, delivery?: Delivery): boolean {
    // A new thread asks the machine itself how things stand.
    if (!this.#isUp) return true;
    const bytes = records.length + sideband.length;
    if (!this.#backlog.hasRoom(bytes)) {
      this.#undelivered += events + (delivery?.eventsLost ?? 0);
      this.#lose('resolver_behind', this.#backlog.drop());
      return false;
    }
    this.#backlog.add(bytes);
    const message = {
      type: 'batch',
      records: records.slice(),
      sideband: sideband.slice(),
      undelivered: this.#undelivered,
      delivery,
    } as const;
    this.#undelivered = 0;
    this.#thread!.post(message, [message.records.buffer, message.sideband.buffer]);
    return true;
  }

  /** All samples of batches sent before are back when it resolves, or lost. */
  sync(): Promise<ResolverStats> {
    return this.#sync(false);
  }

  /** As sync(), to be followed by one resolve() of all that was counted until the call. */
  take(): Promise<ResolverStats> {
    return this.#sync(true);
  }

  async #sync(isTake: boolean): Promise<ResolverStats> {
    const answer = await this.#ask({ type: 'sync', id: this.#nextId++, isTake });
    if (answer?.type === 'synced') this.#current = answer.stats;
    return this.stats;
  }

  /** Once for each take(), in their order. Nothing is known when the thread has failed at it. */
  async resolve(queries: AddressQueries, instances: readonly Instance[]): Promise<ResolvedQueries> {
    const answer = await this.#ask({ type: 'resolve', id: this.#nextId++, queries, instances });
    if (answer?.type !== 'resolution') {
      return {
        locations: Array.from({ length: queries.length }, () => undefined),
        processes: instances.map(() => undefined),
      };
    }
    return this.#learn(answer);
  }

  /** From now on names are not waited for long. */
  hurry(): void {
    this.#isHurried = true;
    if (this.#isUp) this.#thread!.post({ type: 'hurry' });
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#restart);
    await this.#thread?.close();
  }

  #load(): ResolverThread {
    const events: ThreadEvents = {
      onMessage: (message) => this.#receive(message),
      onEnd: (cause) => this.#ended(cause),
    };
    return new ResolverThread(this.#entry, events, this.#heapMib, this.#pingMs, this.#waitedMs);
  }

  #receive(message: Parameters<ThreadEvents['onMessage']>[0]): void {
    switch (message.type) {
      case 'done':
        this.#finished(message);
        break;
      case 'snapshot':
        this.#events.onSnapshot(message.snapshot);
        break;
      case 'warning':
        this.#events.onWarning(message.name, message.message);
        break;
      case 'waiting':
        this.#events.onWaiting(message.waiting);
        break;
      default: {
        const question = this.#questions.get(message.id);
        this.#questions.delete(message.id);
        question?.answer(message);
      }
    }
  }

  /** Batches are finished in their order. */
  #finished({ records, samples, cpuMs }: Extract<FromResolver, { type: 'done' }>): void {
    const batch = this.#backlog.finish();
    if (batch) {
      // Those that contradict themselves do not come back.
      this.#lose('malformed_record', batch.copies - samples);
      if (this.#setup?.maps) this.#budget.spent(cpuMs, batch.byProcess);
    }
    if (records) this.#events.onSamples(records);
  }

  #lose(reason: LostReason, samples: number): void {
    if (samples > 0) this.#events.onLost(reason, samples);
  }

  #learn({ locations, firstNew, fresh, forgotten, processes }: Resolution): ResolvedQueries {
    // The resolver numbers from 1 again when it has forgotten all.
    if (firstNew < this.#locations.length) this.#locations = [undefined];
    // Not as arguments of push(): of 100,000 there is no room on the stack.
    for (const location of fresh) this.#locations.push(location);
    const known = Array.from(locations, (number) => this.#locations[number]);
    for (const number of forgotten) this.#locations[number] = undefined;
    return { locations: known, processes };
  }

  #ask(message: Question['message']): Promise<FromResolver | undefined> {
    return new Promise((answer, reject) => {
      if (this.#failure) {
        reject(this.#failure);
        return;
      }
      const question = { message, attempts: 0, answer, reject };
      if (this.#isUp) {
        this.#questions.set(message.id, question);
        this.#pose(question);
      } else if (message.type === 'resolve' && this.#startsSoon()) {
        this.#questions.set(message.id, question);
      } else {
        answer(undefined);
      }
    });
  }

  #pose(question: Question): void {
    question.attempts++;
    this.#thread!.post(question.message);
  }

  #startsSoon(): boolean {
    return this.#startsAt - performance.now() <= WAIT_FOR_START_MS;
  }

  #ended(cause: Error): void {
    const wasUp = this.#isUp;
    const file = this.#thread?.file;
    if (file !== undefined) this.#suspects.suspect(file);
    this.#thread = undefined;
    this.#isUp = false;
    // A replay's answers of the machine are used up; and what never ran does not run now.
    if ((!wasUp && this.#restarts === 0) || !this.#setup?.maps) {
      this.#fail(cause);
      return;
    }
    this.#restarts++;
    this.#lose('resolver_restarted', this.#backlog.clear());
    this.#undelivered = 0;
    this.#past = { ...this.stats, processes: 0, binaries: 0, tableBytes: 0 };
    this.#current = NO_STATS;
    this.#locations = [undefined];
    const pauseMs = this.#pause.failed();
    this.#startsAt = performance.now() + pauseMs;
    this.#events.onRestart(cause, pauseMs);
    for (const [id, { message, attempts, answer }] of this.#questions) {
      // Whoever wants to go does not wait for the same again.
      const isWorthIt = attempts < MAX_ATTEMPTS && !this.#isHurried;
      const mayAskAgain = message.type === 'resolve' && isWorthIt;
      if (mayAskAgain && this.#startsSoon()) continue;
      this.#questions.delete(id);
      answer(undefined);
    }
    this.#restart = setTimeout(() => void this.#startAgain(this.#setup!), pauseMs);
  }

  async #startAgain(setup: ResolverSetup): Promise<void> {
    let thread: ResolverThread;
    try {
      thread = this.#load();
    } catch (cause) {
      // No further thread, or no memory for one (EAGAIN, ENOMEM).
      this.#ended(cause as Error);
      return;
    }
    this.#thread = thread;
    try {
      await thread.start(setup, this.#suspects.refused());
    } catch {
      // Its end was told.
      return;
    }
    if (this.#isClosed) return;
    this.#events.onRestarted();
    this.#isUp = true;
    if (this.#isHurried) thread.post({ type: 'hurry' });
    for (const question of this.#questions.values()) this.#pose(question);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#questions.values()) reject(error);
    this.#questions.clear();
    this.#events.onFailure(error);
  }
}

/** Counts of both; what is there now is the newer one's. */
function joined(past: ResolverStats, current: ResolverStats): ResolverStats {
  const problems = { ...past.problems };
  addCounts(problems, current.problems);
  return {
    ...current,
    sidebandLost: past.sidebandLost + current.sidebandLost,
    problems,
  };
}
