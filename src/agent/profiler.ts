/** A profiling run: from the options of a command to profiles. */
import { hostname } from 'node:os';
import { IntervalClock } from '../capture/interval-clock.ts';
import type { LiveCapture } from '../capture/live.ts';
import { LOST_COUNTERS } from '../capture/record.ts';
import { ChunkKind, RecordingError, RecordingWriter } from '../capture/recording.ts';
import type { LiveCounts, Profiler, ProfilerOptions } from '../cli/profiler-seam.ts';
import { DEFAULT_LABELS, wantedKeys } from '../context/wanted-keys.ts';
import { machineClock } from '../process/time-namespace.ts';
import type { Profile } from '../profile/model.ts';
import { thisMachine } from './doctor-machine.ts';
import { KernelCost } from './kernel-cost.ts';
import { explained, openKernelSide, RING_BYTES } from './kernel-side.ts';
import { LiveIntervals } from './live-intervals.ts';
import type { Delivery, Snapshot } from './messages.ts';
import { Pipeline, patienceOf } from './pipeline.ts';
import { refuseOtherPids } from './refusal.ts';
import { startReplay } from './replay.ts';
import type { ResolverClientOptions } from './resolver-client.ts';
import { RetriedWork } from './retried-work.ts';

/** One buffer for all drains, at least as large as a ring, so that one call empties it. */
const DRAIN_BYTES = 1 << 20;
/** More than any: 64 KiB of stack, 1,151 addresses, labels. */
const LARGEST_RECORD = 128 << 10;
const SIDEBAND_BYTES = 256 << 10;
/** Stragglers below the rings' watermark wait no longer than this. */
const DRAIN_INTERVAL_MS = 200;
/** In longer intervals names are looked up now and then: memory stays bounded. */
const COLLECT_INTERVAL_MS = 15_000;
const CPU_CHECK_INTERVAL_MS = 1_000;
/**
 * Of one CPU that came online, while the others are sampled: somebody has lowered
 * kernel.perf_event_max_sample_rate or denied the system call since the start.
 */
const EVENT_REFUSALS = ['EACCES', 'EINVAL', 'EPERM'] as const;
/** A drain that finds this many full buffers in a row lets others run first. */
const MAX_DRAINS = 8;

/** @throws MachineError when this machine does not allow it; sampling runs once it resolves. */
export async function startProfiler(options: ProfilerOptions): Promise<Profiler> {
  return options.replay ? startReplay(options, options.replay) : LiveProfiler.start(options);
}

export class LiveProfiler implements Profiler {
  readonly #capture: LiveCapture;
  readonly #pipeline: Pipeline;
  #recording: RecordingWriter | undefined;
  /** Why the recording is not whole. */
  #recordingFailure: RecordingError | undefined;
  readonly #intervals: LiveIntervals;
  readonly #buffer: ArrayBuffer;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #sideband = new Uint8Array(SIDEBAND_BYTES);
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #clock = machineClock();
  #drainedUntil = 0;
  #eventsLost = 0;
  /** Measured for an agent only: others are too short to be worth it. */
  readonly #cost: KernelCost | undefined;
  readonly #options: ProfilerOptions;
  readonly #work: RetriedWork;
  #isCollecting = false;
  #failure: Error | undefined;
  #stopped = false;

  /** @param resolver its thread; tests have others */
  static async start(
    options: ProfilerOptions,
    resolver: ResolverClientOptions = {},
  ): Promise<LiveProfiler> {
    refuseOtherPids(thisMachine('/', async () => ''));
    // The resolver's thread loads while this one loads the BPF programs.
    let profiler: LiveProfiler | undefined;
    const tell = (what: (it: LiveProfiler) => void): void => {
      if (profiler) what(profiler);
    };
    const wanted = wantedKeys(options.labels ?? DEFAULT_LABELS);
    const pipeline = new Pipeline({
      threads: options.threads,
      ...(options.labels ? { labels: new Set(options.labels) } : {}),
      ...(options.labelLimits ? { labelLimits: options.labelLimits } : {}),
      addresses: options.addresses ?? false,
      wanted,
      onSnapshot: (snapshot) => tell((it) => it.#save(snapshot)),
      ...(options.onWaiting ? { onWaiting: options.onWaiting } : {}),
      onWarning: (name, message) =>
        options.onWarning?.(`node ${name}`, { name }, `Node.js warns: ${message}`),
      onRestart: (cause, pauseMs) => tell((it) => it.#resolverRestarts(cause, pauseMs)),
      onRestarted: () => tell((it) => it.#forgetProcesses()),
      onFailure: (error) => tell((it) => it.#fail(error)),
      resolver,
    });
    let capture: LiveCapture | undefined;
    try {
      capture = await openKernelSide(options, wanted);
      profiler = new LiveProfiler(capture, pipeline, options);
      await pipeline.start({
        maps: capture.maps,
        maxDepth: options.maxDepth,
        patience: patienceOf(options.steady ?? false),
        isSteady: options.steady ?? false,
        announcesContexts: capture.announceContexts() === undefined,
        saveSnapshots: options.saveRecords !== undefined,
        snapshots: undefined,
        symbols: options.symbols,
      });
      profiler.#begin();
      return profiler;
    } catch (cause) {
      capture?.close();
      await pipeline.close();
      throw cause;
    }
  }

  private constructor(capture: LiveCapture, pipeline: Pipeline, options: ProfilerOptions) {
    this.#capture = capture;
    this.#pipeline = pipeline;
    this.#options = options;
    this.#work = new RetriedWork({
      onRetry: (work, error) => {
        const told = `${RETRIED[work as keyof typeof RETRIED]} failed and is tried again: ${error.message}`;
        options.onWarning?.(`retried ${work} ${error.code}`, { work, code: error.code }, told);
      },
      onFailure: (error) => this.#fail(error),
    });
    this.#buffer = new ArrayBuffer(Math.max(DRAIN_BYTES, options.ringBytes ?? RING_BYTES));
    this.#bytes = new Uint8Array(this.#buffer);
    const clock = new IntervalClock(capture.readClocks);
    this.#intervals = new LiveIntervals(capture, clock, options.hz);
    this.#recording =
      options.saveRecords === undefined
        ? undefined
        : new RecordingWriter(options.saveRecords, {
            hz: options.hz,
            startTime: String(this.#intervals.startTime),
            host: hostname(),
            labels: [...(options.labels ?? DEFAULT_LABELS)],
          });
    this.#cost = options.steady ? new KernelCost(capture) : undefined;
  }

  #begin(): void {
    try {
      this.#capture.followCpus();
    } catch (cause) {
      throw explained(cause);
    }
    this.#intervals.next();
    this.#capture.onReadable(() => this.#tick());
    this.#timers.push(
      setInterval(() => this.#tick(), DRAIN_INTERVAL_MS),
      setInterval(() => this.#measure(), DRAIN_INTERVAL_MS),
      setInterval(
        () => this.#work.attempt('follow_cpus', () => this.#capture.followCpus(), EVENT_REFUSALS),
        CPU_CHECK_INTERVAL_MS,
      ),
      setInterval(() => void this.#collect(), COLLECT_INTERVAL_MS),
    );
  }

  counts(): LiveCounts {
    // The resolver's own count, as of a moment ago.
    void this.#pipeline.settle().catch(() => {});
    const counters = this.#capture.counters();
    const { isUp, restarts } = this.#pipeline.resolver;
    return {
      samples: this.#pipeline.samples,
      lost: LOST_COUNTERS.reduce((sum, name) => sum + counters[name], 0),
      unresolved: this.#pipeline.unnamed,
      processes: this.#pipeline.stats?.processes,
      mapBytes: this.#capture.mapMemory(),
      tableBytes: this.#pipeline.stats?.tableBytes,
      kernelCpuSeconds: this.#cost?.seconds(this.#pipeline.samples),
      resolver: { isUp, restarts },
      retried: this.#work.failures,
    };
  }

  /** What the kernel side counted and costs. */
  get capture(): LiveCapture {
    return this.#capture;
  }

  get pipeline(): Pipeline {
    return this.#pipeline;
  }

  get problems(): readonly string[] {
    const problems = [this.#recordingFailure, this.#failure];
    return problems.flatMap((problem) => (problem ? [problem.message] : []));
  }

  hurry(): void {
    this.#pipeline.hurry();
  }

  async flush(): Promise<Profile> {
    this.#tick();
    // The last profile has what could be had.
    if (this.#failure && !this.#stopped) throw this.#failure;
    const interval = this.#intervals.next();
    if (!this.#stopped) return this.#pipeline.profile({ ...interval, host: undefined });
    // All is quiet now: what the kernel sent and what arrives, or is lost, must be the same.
    await this.#pipeline.settle();
    const unaccounted = this.#intervals.unaccounted(this.#pipeline.samples + this.#pipeline.lost);
    const lost = { ...interval.lost, unaccounted };
    return this.#pipeline.profile({ ...interval, lost, host: undefined });
  }

  async stop(): Promise<Profile> {
    if (this.#stopped) throw new Error('the profiler has been stopped before');
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#capture.pause();
    try {
      return await this.flush();
    } finally {
      this.#record((recording) => {
        recording.writeJson(ChunkKind.Counters, this.#capture.counters());
        recording.close();
      });
      // The resolver may still look at something.
      this.#recording = undefined;
      this.#capture.close();
      await this.#pipeline.close();
    }
  }

  /** One at a time: each holds what was sampled since the one before. */
  async #collect(): Promise<void> {
    if (this.#isCollecting) return;
    this.#isCollecting = true;
    try {
      await this.#pipeline.collect();
    } catch (cause) {
      this.#fail(cause as Error);
    } finally {
      this.#isCollecting = false;
    }
  }

  #measure(): void {
    this.#work.attempt('measure_cost', () =>
      this.#cost?.tick(performance.now(), this.#pipeline.samples),
    );
  }

  #tick(): void {
    this.#work.attempt('drain', () => {
      for (let i = 0; i < MAX_DRAINS; i++) {
        // Samples first: whatever was mapped before one of them is then in the side band.
        const begun = this.#clock();
        const length = this.#capture.drain(this.#bytes);
        const side = this.#capture.drainSideband(this.#sideband);
        const delivery = this.#delivery(begun, length);
        if (length === 0 && side === 0 && delivery.eventsLost === 0) return;
        const sideband = this.#sideband.subarray(0, side);
        this.#record((recording) => {
          if (side > 0) recording.write(ChunkKind.Sideband, sideband);
          if (length > 0) recording.write(ChunkKind.Records, this.#bytes.subarray(0, length));
        });
        this.#pipeline.consume(this.#buffer, length, sideband, delivery);
      }
    });
  }

  /** Read after the drain: of what was lost before a record of it, this one tells or one before. */
  #delivery(begun: number, length: number): Delivery {
    // Not full to the brim, it has emptied all rings.
    if (length <= this.#bytes.length - LARGEST_RECORD) this.#drainedUntil = begun;
    const lost = this.#capture.counters().event_ring_full;
    const eventsLost = lost - this.#eventsLost;
    this.#eventsLost = lost;
    return { drainedUntil: this.#drainedUntil, eventsLost };
  }

  /** A full disk costs the recording, not the profile. */
  #record(write: (recording: RecordingWriter) => void): void {
    if (!this.#recording) return;
    try {
      write(this.#recording);
    } catch (cause) {
      if (!(cause instanceof RecordingError)) throw cause;
      this.#recordingFailure = cause;
      this.#recording.close();
      this.#recording = undefined;
    }
  }

  #save(snapshot: Snapshot): void {
    this.#record((recording) => recording.writeJson(ChunkKind.Snapshot, snapshot));
  }

  /** The new thread does not know what the old one has written: each process is looked up anew. */
  #resolverRestarts(cause: Error, pauseMs: number): void {
    this.#forgetProcesses();
    const when = pauseMs > 0 ? `in ${pauseMs / 1000} s` : 'now';
    this.#options.onWarning?.(
      'resolver restarted',
      { error: causes(cause) },
      `the thread that reads programs and names addresses has failed; it starts again ${when}, until then stacks lack their user part`,
    );
  }

  #forgetProcesses(): void {
    this.#work.attempt('forget_processes', () => this.#capture.forgetProcesses());
  }

  #fail(error: Error): void {
    if (this.#failure) return;
    this.#failure = error;
    this.#options.onFailure?.(error);
  }
}

/** What is tried again, in words. */
const RETRIED = {
  follow_cpus: 'looking for CPUs that come and go',
  measure_cost: 'measuring what sampling costs',
  drain: 'reading samples from the kernel',
  forget_processes: 'clearing the table of processes',
} as const;

/** An error and what it stems from, outermost first. */
function causes(error: unknown): string {
  const texts: string[] = [];
  for (let at = error; at instanceof Error && texts.length < 5; at = at.cause)
    texts.push(at.message);
  return texts.join(': ');
}
