/**
 * What processes say of themselves: looked for when a process is first sampled, when
 * the kernel tells that it publishes, and again for updates. A process that was
 * followed from its beginning and of which nothing was told is not searched.
 */
import { ParseError } from '../elf/source.ts';
import type { Process } from '../process/process.ts';
import type { Label } from '../profile/model.ts';
import type { Answer, ContextSource, Publication } from './context-source.ts';
import { type ProcessContext, parseProcessContext } from './process-context.ts';
import { environmentAttributes } from './process-environment.ts';
import { resourceLabels } from './resource.ts';

export interface ContextsOptions {
  readonly source: ContextSource;
  /** The kernel tells of publications; else processes are searched again and again. */
  readonly isAnnounced: boolean;
  /** Answers come from a recording, also for processes that are gone. */
  readonly isReplay: boolean;
  /** CLOCK_MONOTONIC in nanoseconds. */
  readonly clock: () => number;
  /** CPU time of this thread in nanoseconds. */
  readonly cost: () => number;
  /** At whose expense processes are looked at; without it nobody pays. */
  readonly account?: LookAccount;
}

export interface LookAccount {
  /** False while a process, or its owner, has cost too much. */
  mayLook(process: Process): boolean;
  /** @param ns CPU time */
  owe(process: Process, ns: number): void;
}

type Environment = ReadonlyMap<string, string>;

/** What is known of one process instance that has samples. */
interface Followed {
  publication: Publication | undefined;
  context: ProcessContext | undefined;
  /** Undefined until it was read. */
  environment: Environment | undefined;
  /** Made of both when asked for. */
  labels: readonly Label[] | undefined;
  publishedReadAt: number;
  environmentReadAt: number;
  /** When it began another program; what was read later is that one's. */
  replacedAt: number;
  /** When to look again. */
  dueAt: number;
  /** Until the look after the next one, if that finds nothing. */
  pauseNs: number;
  /** The same if it finds what cannot be used. */
  retryNs: number;
  /** It has published since the last look. */
  isNews: boolean;
  looks: number;
}

const SECOND = 1e9;
/** Between two looks that found nothing; what comes late is found a quarter later than it came. */
const GROWTH = 1.25;
const PAUSES = { first: SECOND / 10, longest: 60 * SECOND };
/** Where the kernel tells, this makes up for lost records only. */
const ANNOUNCED_PAUSES = { first: 60 * SECOND, longest: 600 * SECOND };
/** Looks at once when something is published; who publishes in a loop then has to wait. */
const PROMPT_LOOKS = 5;
const REREAD_NS = SECOND;
/**
 * CPU time for looks between profiles, of one core: a look takes 0.1 ms, in processes
 * with many mappings more. Not time that passes, of which a busy machine gives little.
 */
const SHARE = 0.02;
/** What may be saved up of it; a profile may cost as much. */
const MAX_CREDIT_NS = SECOND / 20;
/** Payloads of all processes: two thousand usual ones. */
const MAX_BYTES = 4 << 20;

/** Until it is asked again whether a process may be looked at. */
const REFUSED_NS = SECOND;

const NO_ENVIRONMENT: Environment = new Map();
const NEVER = Number.POSITIVE_INFINITY;

export class ProcessContexts {
  readonly #source: ContextSource;
  readonly #pauses: typeof PAUSES;
  readonly #isAnnounced: boolean;
  readonly #isReplay: boolean;
  readonly #clock: () => number;
  readonly #cost: () => number;
  readonly #account: LookAccount | undefined;
  /** The one that was looked at last is the last. */
  readonly #followed = new Map<Process, Followed>();
  /** Of children that began with their parent's. */
  readonly #inherited = new WeakMap<Process, Followed>();
  /** Nothing was published before we watched, and what comes will be told. */
  readonly #silent = new WeakSet<Process>();
  readonly #problems = new Map<string, number>();
  #bytes = 0;
  #creditNs = MAX_CREDIT_NS;
  #creditAt: number;
  #flushUntil = 0;

  constructor({ source, isAnnounced, isReplay, clock, cost, account }: ContextsOptions) {
    this.#source = source;
    this.#isAnnounced = isAnnounced;
    this.#isReplay = isReplay;
    this.#pauses = isAnnounced ? ANNOUNCED_PAUSES : PAUSES;
    this.#clock = clock;
    this.#cost = cost;
    this.#account = account;
    this.#creditAt = clock();
  }

  /** Reasons why something could not be read, counted. */
  get problems(): ReadonlyMap<string, number> {
    return this.#problems;
  }

  /** Milliseconds until settle() has something to do; undefined = not before something happens. */
  get due(): number | undefined {
    let next = NEVER;
    for (const { dueAt } of this.#followed.values()) next = Math.min(next, dueAt);
    return next === NEVER ? undefined : Math.max(0, (next - this.#clock()) / 1e6);
  }

  /** What a process publishes, as far as is known. */
  of(process: Process): ProcessContext | undefined {
    return this.#followed.get(process)?.context;
  }

  /** A program has begun: a context does not outlive the one before. */
  begun(process: Process): void {
    if (this.#isAnnounced) this.#silent.add(process);
  }

  /** A child has begun: it has no context of its own yet, and the environment of its parent. */
  forked(process: Process, parent: Process | undefined): void {
    this.begun(process);
    const known = parent && (this.#followed.get(parent) ?? this.#inherited.get(parent));
    if (known) this.#inherited.set(process, known);
  }

  /** There is a sample of it. */
  sampled(process: Process): void {
    if (!this.#followed.has(process)) this.#follow(process);
  }

  /** The kernel has seen it publish. */
  published(process: Process): void {
    this.#silent.delete(process);
    const known = this.#followed.get(process);
    // Without samples nobody asks.
    if (!known) return;
    known.isNews = true;
    const pause = known.looks < PROMPT_LOOKS ? 0 : REREAD_NS;
    known.dueAt = Math.min(known.dueAt, known.publishedReadAt + pause);
  }

  /** News may have been lost: whoever has published may have published again. */
  missed(): void {
    const now = this.#clock();
    for (const [process, known] of this.#followed) {
      this.#silent.delete(process);
      known.dueAt = Math.min(known.dueAt, now);
    }
  }

  /** Began another program at `time`. */
  replaced(process: Process, time: number): void {
    const known =
      this.#followed.get(process) ?? (this.#isReplay ? this.#follow(process) : undefined);
    if (!known) return;
    known.replacedAt = time;
    if (known.publishedReadAt >= time) this.#set(known, undefined, undefined);
    if (known.environmentReadAt >= time) known.environment = NO_ENVIRONMENT;
    known.labels = undefined;
  }

  /** Looks at those whose time has come, as long as may be. */
  settle(): void {
    const now = this.#clock();
    this.#creditNs = Math.min(MAX_CREDIT_NS, this.#creditNs + (now - this.#creditAt) * SHARE);
    this.#creditAt = now;
    for (const [process, known] of this.#followed) {
      if (known.dueAt > now) continue;
      if (this.#creditNs <= 0) break;
      this.#creditNs -= this.#lookIfPaid(process, known);
    }
  }

  /** A profile is about to ask for its processes. */
  beginFlush(): void {
    this.#flushUntil = this.#isReplay ? NEVER : this.#cost() + MAX_CREDIT_NS;
  }

  /** Resource attributes of a process that has samples. */
  resource(process: Process): readonly Label[] {
    const known = this.#followed.get(process) ?? this.#follow(process);
    const isDue = known.dueAt <= this.#clock();
    if (this.#cost() < this.#flushUntil && (isDue || !this.#isCurrent(process, known))) {
      this.#lookIfPaid(process, known);
    }
    known.labels ??= resourceLabels(known.context, known.environment ?? NO_ENVIRONMENT);
    return known.labels;
  }

  /** No sample can be of these any more. */
  forget(processes: Iterable<Process>): void {
    for (const process of processes) {
      const known = this.#followed.get(process);
      if (known) this.#set(known, undefined, undefined);
      this.#followed.delete(process);
    }
  }

  #follow(process: Process): Followed {
    const parent = this.#inherited.get(process);
    const known: Followed = {
      publication: undefined,
      context: undefined,
      environment: parent?.environment,
      labels: undefined,
      publishedReadAt: 0,
      environmentReadAt: parent?.environmentReadAt ?? 0,
      replacedAt: NEVER,
      dueAt: 0,
      pauseNs: this.#pauses.first,
      retryNs: PAUSES.first,
      isNews: false,
      looks: 0,
    };
    this.#followed.set(process, known);
    return known;
  }

  #isCurrent(process: Process, { publication }: Followed): boolean {
    if (!publication || process.ended !== undefined) return true;
    return this.#source.isCurrent(process.identity, publication);
  }

  /** @returns what it has taken, nanoseconds */
  #lookIfPaid(process: Process, known: Followed): number {
    if (this.#account?.mayLook(process) === false) {
      known.dueAt = this.#clock() + REFUSED_NS;
      return 0;
    }
    const before = this.#cost();
    this.#look(process, known);
    const taken = this.#cost() - before;
    this.#account?.owe(process, taken);
    return taken;
  }

  #look(process: Process, known: Followed): void {
    known.dueAt = NEVER;
    if (process.ended !== undefined && !this.#isReplay) return;
    known.looks++;
    known.labels = undefined;
    // Whoever was just looked at comes last the next time.
    this.#followed.delete(process);
    this.#followed.set(process, known);
    if (known.environment === undefined) this.#lookAtEnvironment(process, known);
    if (this.#silent.has(process)) this.#pause(known);
    else this.#lookForPublication(process, known);
  }

  #lookAtEnvironment(process: Process, known: Followed): void {
    known.environment = NO_ENVIRONMENT;
    const answer = this.#source.environment(process.identity);
    if (this.#isRefused('process_environment', answer) || !isOf(known, answer.readAt)) return;
    known.environmentReadAt = answer.readAt;
    if (!answer.found) return;
    const { attributes, isMalformed } = environmentAttributes(answer.found);
    if (isMalformed) this.#count('process_environment_malformed');
    known.environment = attributes;
  }

  #lookForPublication(process: Process, known: Followed): void {
    const isNews = known.isNews;
    known.isNews = false;
    const answer = this.#source.publication(process.identity);
    known.publishedReadAt = this.#clock();
    if (this.#isRefused('process_context', answer)) {
      // It may be whole again in a moment, and in that moment it was what it was.
      if (answer.reason !== 'changing' && answer.reason !== 'gone') {
        this.#set(known, undefined, undefined);
      }
      this.#retry(known);
      return;
    }
    if (!isOf(known, answer.readAt)) return;
    known.publishedReadAt = answer.readAt;
    if (answer.found) this.#take(known, answer.found);
    else {
      this.#set(known, undefined, undefined);
      // What is told of is named a moment later.
      if (isNews) this.#retry(known);
      else this.#pause(known);
    }
  }

  #take(known: Followed, publication: Publication): void {
    if (known.publication?.publishedAt === publication.publishedAt && known.context) return;
    this.#set(known, undefined, undefined);
    try {
      if (this.#bytes + publication.payload.length > MAX_BYTES) {
        throw new ParseError('over_limit', 'processes publish more than is kept of all');
      }
      this.#set(known, publication, parseProcessContext(publication.payload));
      known.retryNs = PAUSES.first;
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      this.#count(`process_context_${error.reason}`);
      this.#retry(known);
    }
  }

  #set(
    known: Followed,
    publication: Publication | undefined,
    context: ProcessContext | undefined,
  ): void {
    this.#bytes += (publication?.payload.length ?? 0) - (known.publication?.payload.length ?? 0);
    known.publication = publication;
    known.context = context;
  }

  #pause(known: Followed): void {
    if (this.#isReplay) return;
    known.dueAt = this.#clock() + known.pauseNs;
    known.pauseNs = Math.min(GROWTH * known.pauseNs, this.#pauses.longest);
  }

  #retry(known: Followed): void {
    if (this.#isReplay) return;
    known.dueAt = this.#clock() + known.retryNs;
    known.retryNs = Math.min(GROWTH * known.retryNs, PAUSES.longest);
  }

  #isRefused(what: string, answer: Answer<unknown>): answer is { readonly reason: string } {
    if (!('reason' in answer)) return false;
    this.#count(`${what}_${answer.reason}`);
    return true;
  }

  #count(problem: string): void {
    this.#problems.set(problem, (this.#problems.get(problem) ?? 0) + 1);
  }
}

function isOf({ replacedAt }: Followed, readAt: number): boolean {
  return readAt < replacedAt;
}
