/**
 * What live sampling and replay have in common: records in, profiles out.
 * Knows nothing of where records come from.
 */
import { hostname } from 'node:os';
import { type Decoded, type DecodeOptions, decode } from '../capture/decode.ts';
import type { WantedKey } from '../context/wanted-keys.ts';
import { countRecords } from '../process/sideband.ts';
import { collectAddresses } from '../profile/address-collection.ts';
import { type Aggregated, Aggregator } from '../profile/aggregator.ts';
import { type BuilderOptions, ProfileBuilder } from '../profile/builder.ts';
import { contextLabels } from '../profile/context-labels.ts';
import { goroutineLabels, selectedLabels } from '../profile/goroutine-labels.ts';
import { pairLabels } from '../profile/label-pairs.ts';
import type { Profile } from '../profile/model.ts';
import { type LabelLimits, USUAL_LABEL_LIMITS } from '../profile/profile-tables.ts';
import { addCounts } from '../profile/tally.ts';
import { type Nanoseconds, nanoseconds, type UnixTime } from '../units/units.ts';
import type {
  Delivery,
  Patience,
  ResolverSetup,
  ResolverStats,
  Snapshot,
  Waiting,
} from './messages.ts';
import {
  type RefusedCopy,
  ResolverClient,
  type ResolverClientOptions,
  type ResolverEvents,
} from './resolver-client.ts';

/** Raw stacks of one interval; 2,000 different ones of 50 frames take about 1 MiB. */
const MAX_AGGREGATE_BYTES = 32 << 20;

export interface PipelineOptions {
  readonly threads: boolean;
  /** Keys of the labels that samples keep; absent: all. */
  readonly labels?: ReadonlySet<string>;
  /** Of a profile's labels. */
  readonly labelLimits?: LabelLimits;
  /** As `BuilderOptions` has it. */
  readonly addresses?: boolean;
  /** Keys that the kernel side looks for, by number. */
  readonly wanted: readonly WantedKey[];
  onSnapshot(snapshot: Snapshot): void;
  onWaiting?(waiting: Waiting): void;
  /** Node warns of something in another thread. */
  onWarning?(name: string, message: string): void;
  /** The resolver's thread has failed and starts again: what it has told the kernel is to be forgotten. */
  onRestart?(cause: Error, pauseMs: number): void;
  /** And once more, before the new one tells it anything. */
  onRestarted?(): void;
  onFailure(error: Error): void;
  readonly resolver?: ResolverClientOptions;
}

/** Frame of a profile in time, and what the source counted as lost in it. */
export interface Interval {
  readonly startTime: UnixTime;
  readonly duration: Nanoseconds;
  readonly period: Nanoseconds;
  readonly host: string | undefined;
  readonly lost: Readonly<Record<string, number>>;
  readonly eventsLost: Readonly<Record<string, number>>;
  readonly timingMs: Readonly<Record<string, number>>;
}

export class Pipeline {
  /** Of samples that come from the kernel finished. */
  #aggregator: Aggregator;
  /** Of those that the resolver has finished: an earlier one while it is at work on what came before a collection. */
  #returned: Aggregator;
  #spare: Aggregator | undefined;
  readonly #resolver: ResolverClient;
  readonly #building: Required<BuilderOptions>;
  readonly #labels: ReadonlySet<string> | undefined;
  readonly #wanted: readonly WantedKey[];
  #builder: ProfileBuilder;
  /** One collection after the other. */
  #turn: Promise<void> = Promise.resolve();
  #samples = 0;
  #unnamed: number | undefined;
  #sidebandLost = 0;
  /** Samples that the resolver has not given back, by reason; since the last profile, and in all. */
  #lost: Record<string, number> = {};
  #lostInAll = 0;
  /** News of processes for which there was no room. */
  #undelivered = 0;
  readonly #refused: Record<RefusedCopy, number> = {
    stack_copy_over_budget: 0,
    stack_copy_resolver_behind: 0,
    stack_copy_resolver_restarting: 0,
  };
  #stats: ResolverStats | undefined;
  /** By reason, as told in the profiles so far. */
  #problems: Readonly<Record<string, number>> = {};

  constructor(options: PipelineOptions) {
    const { threads, labelLimits = USUAL_LABEL_LIMITS, addresses = false } = options;
    this.#building = { threads, labelLimits, addresses };
    this.#aggregator = newAggregator(labelLimits);
    this.#returned = this.#aggregator;
    this.#labels = options.labels;
    this.#wanted = options.wanted;
    this.#builder = new ProfileBuilder(this.#building);
    const events: ResolverEvents = {
      onSamples: (records) => this.#decode(records.buffer, records.length, this.#returned),
      onSnapshot: options.onSnapshot,
      onWaiting: (waiting) => options.onWaiting?.(waiting),
      onWarning: (name, message) => options.onWarning?.(name, message),
      onLost: (reason, samples) => {
        addCounts(this.#lost, { [reason]: samples });
        this.#lostInAll += samples;
      },
      onRestart: (cause, pauseMs) => options.onRestart?.(cause, pauseMs),
      onRestarted: () => options.onRestarted?.(),
      onFailure: options.onFailure,
    };
    this.#resolver = new ResolverClient(events, options.resolver);
  }

  /** Nothing may be consumed before this has resolved. */
  start(setup: ResolverSetup): Promise<void> {
    return this.#resolver.start(setup);
  }

  /** Samples taken in since the start, without those still with the resolver. */
  get samples(): number {
    return this.#samples;
  }

  /** Those among the kernel's samples that will not come: counted in the profiles. */
  get lost(): number {
    return this.#lostInAll;
  }

  /** The thread that reads files. */
  get resolver(): { readonly isUp: boolean; readonly restarts: number } {
    return this.#resolver;
  }

  /** Names missing in the profiles so far, weighted by samples; undefined before the first one. */
  get unnamed(): number | undefined {
    return this.#unnamed;
  }

  /** The resolver's figures as of the last flush. */
  get stats(): ResolverStats | undefined {
    return this.#stats;
  }

  /** @param buffer drained records, changed in place. */
  consume(buffer: ArrayBuffer, length: number, sideband: Uint8Array, delivery?: Delivery): void {
    const { forwarded, events } = this.#decode(buffer, length, this.#aggregator, this.#admits);
    const lost = delivery?.eventsLost ?? 0;
    if (forwarded === 0 && sideband.length === 0 && lost === 0) return;
    const news = events + countRecords(sideband);
    const records = new Uint8Array(buffer, 0, forwarded);
    const isSent = this.#resolver.batch(records, sideband, news, delivery);
    if (!isSent) this.#undelivered += news;
  }

  readonly #admits = (pid: number, bytes: number): boolean => {
    const reason = this.#resolver.refusal(pid, bytes);
    if (reason) this.#refused[reason]++;
    return reason === undefined;
  };

  /** Waits for the resolver to be through with all that it was given. */
  async settle(): Promise<void> {
    this.#stats = await this.#resolver.sync();
  }

  /**
   * Names what was counted so far and puts it aside. Called now and then in a
   * long interval: processes that ended meanwhile can be forgotten after it.
   */
  collect(): Promise<void> {
    const taken = this.#take();
    const done = Promise.all([taken, this.#turn]).then(([aggregated]) => this.#add(aggregated));
    this.#turn = done.catch(() => {});
    return done;
  }

  /** The profile of all samples that were consumed since the last one, and of none that come after the call. */
  async profile(interval: Interval): Promise<Profile> {
    await this.collect();
    // Naming has met problems of its own.
    await this.settle();
    const builder = this.#builder;
    this.#builder = new ProfileBuilder(this.#building);
    const sidebandLost = (this.#stats?.sidebandLost ?? 0) - this.#sidebandLost;
    this.#sidebandLost += sidebandLost;
    const problems = this.#newProblems();
    const profile = builder.finish({
      startTime: interval.startTime,
      duration: interval.duration,
      period: interval.period,
      host: interval.host ?? hostname(),
      lost: withoutZeros({ ...interval.lost, ...this.#takeLost() }),
      eventsLost: withoutZeros({
        ...interval.eventsLost,
        mapping_ring_full: sidebandLost,
        resolver_behind: this.#takeUndelivered(),
      }),
      problems,
      timingMs: withoutZeros(interval.timingMs),
    });
    this.#unnamed = (this.#unnamed ?? 0) + profile.tally.framesUnnamed;
    return profile;
  }

  /** What is not named yet gets the names that can be had at once. */
  hurry(): void {
    this.#resolver.hurry();
  }

  /**
   * What was consumed up to now. What comes while the resolver, which may be busy for
   * seconds, finishes the samples that it has, is counted apart: it is of the next interval.
   */
  async #take(): Promise<Aggregated> {
    const taken = this.#aggregator;
    const next = this.#spare ?? newAggregator(this.#building.labelLimits);
    this.#spare = undefined;
    this.#aggregator = next;
    this.#stats = await this.#resolver.take();
    // Takes are settled in their order, and samples of later batches are not back yet.
    this.#returned = next;
    const aggregated = taken.drain();
    this.#spare = taken;
    return aggregated;
  }

  async #add(aggregated: Aggregated): Promise<void> {
    const collection = collectAddresses(aggregated);
    const answers = await this.#resolver.resolve(collection.queries, aggregated.instances);
    const goroutines = goroutineLabels(aggregated, collection, answers.locations);
    const contexts = contextLabels(aggregated.contexts, {
      wanted: this.#wanted,
      attributeKeys: (instance) => answers.processes[instance]?.attributeKeys,
      selected: this.#labels,
    });
    const labels = pairLabels(
      aggregated.labelPairs,
      this.#labels ? selectedLabels(goroutines, this.#labels) : goroutines,
      contexts,
    );
    this.#builder.add(aggregated, collection, {
      ...answers,
      labelSets: labels.sets,
      labelsMissing: labels.missing,
    });
  }

  close(): Promise<void> {
    return this.#resolver.close();
  }

  #decode(
    buffer: ArrayBuffer,
    length: number,
    into: Aggregator,
    admits?: DecodeOptions['admits'],
  ): Decoded {
    const { threads } = this.#building;
    const decoded = decode(buffer, length, into, { threads, ...(admits && { admits }) });
    this.#samples += decoded.samples;
    addCounts(this.#lost, { malformed_record: decoded.malformed });
    return decoded;
  }

  #newProblems(): Record<string, number> {
    const before = this.#problems;
    this.#problems = { ...(this.#stats?.problems ?? before), ...this.#refused };
    const news = Object.entries(this.#problems).map(
      ([reason, count]) => [reason, count - (before[reason] ?? 0)] as const,
    );
    return withoutZeros(Object.fromEntries(news));
  }

  #takeLost(): Record<string, number> {
    const lost = this.#lost;
    this.#lost = {};
    return lost;
  }

  #takeUndelivered(): number {
    const count = this.#undelivered;
    this.#undelivered = 0;
    return count;
  }
}

function newAggregator({ sets }: LabelLimits): Aggregator {
  return new Aggregator({ maxBytes: MAX_AGGREGATE_BYTES, maxGoroutines: sets, maxContexts: sets });
}

function withoutZeros(counts: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
}

/**
 * Profiles that follow one another do not wait for names: the next one has
 * them. A single one waits until each file was read or has reached its own limit.
 */
export const patienceOf = (isSteady: boolean): Patience =>
  isSteady ? { namesMs: 1_000, downloadsMs: 0 } : { namesMs: 120_000, downloadsMs: 10_000 };

/** CPU time that one sample stands for. */
export const periodOf = (hz: number): Nanoseconds => nanoseconds(Math.round(1e9 / hz));
