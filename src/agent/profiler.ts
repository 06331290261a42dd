/** A profiling run: from the options of a command to profiles. */
import { hostname } from 'node:os';
import { loadAddon } from '../capture/addon.ts';
import { cgroupScope } from '../capture/cgroup.ts';
import { IntervalClock } from '../capture/interval-clock.ts';
import { LiveCapture } from '../capture/live.ts';
import { LOST_COUNTERS } from '../capture/record.ts';
import { ChunkKind, RecordingError, RecordingWriter } from '../capture/recording.ts';
import type { LiveCounts, Profiler, ProfilerOptions } from '../cli/profiler-seam.ts';
import { DEFAULT_LABELS, idKeys, type WantedKey, wantedKeys } from '../context/wanted-keys.ts';
import type { Profile } from '../profile/model.ts';
import { thisMachine } from './doctor-machine.ts';
import { KernelCost } from './kernel-cost.ts';
import { LiveIntervals } from './live-intervals.ts';
import type { Snapshot } from './messages.ts';
import { Pipeline, patienceOf } from './pipeline.ts';
import { refusal, refuseOtherPids } from './refusal.ts';
import { startReplay } from './replay.ts';

/** One buffer for all drains, at least as large as a ring, so that one call empties it. */
const DRAIN_BYTES = 1 << 20;
const SIDEBAND_BYTES = 256 << 10;
/** 512 KiB hold 20 deferred samples of a drain interval at 99 Hz and as much again. */
const RING_BYTES = 512 << 10;
const TABLE_BYTES = 6 << 20;
/** Stragglers below the rings' watermark wait no longer than this. */
const DRAIN_INTERVAL_MS = 200;
/** In longer intervals names are looked up now and then: memory stays bounded. */
const COLLECT_INTERVAL_MS = 15_000;
const LOAD_ATTEMPTS = 5;
const CPU_CHECK_INTERVAL_MS = 1_000;
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
  /** Measured for an agent only: others are too short to be worth it. */
  readonly #cost: KernelCost | undefined;
  #failure: Error | undefined;
  #stopped = false;

  static async start(options: ProfilerOptions): Promise<LiveProfiler> {
    refuseOtherPids(thisMachine('/', async () => ''));
    // The resolver's thread loads while this one loads the BPF programs.
    let fail = (_error: Error): void => {};
    let save = (_snapshot: Snapshot): void => {};
    const wanted = wantedKeys(options.labels ?? DEFAULT_LABELS);
    const pipeline = new Pipeline({
      threads: options.threads,
      ...(options.labels ? { labels: new Set(options.labels) } : {}),
      ...(options.labelLimits ? { labelLimits: options.labelLimits } : {}),
      addresses: options.addresses ?? false,
      wanted,
      onSnapshot: (snapshot) => save(snapshot),
      ...(options.onWaiting ? { onWaiting: options.onWaiting } : {}),
      onFailure: (error) => fail(error),
    });
    let capture: LiveCapture | undefined;
    try {
      capture = open(options, wanted);
      const profiler = new LiveProfiler(capture, pipeline, options);
      fail = (error) => profiler.#fail(error);
      save = (snapshot) =>
        profiler.#record((recording) => recording.writeJson(ChunkKind.Snapshot, snapshot));
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
      setInterval(() => this.#guard(() => this.#capture.followCpus()), CPU_CHECK_INTERVAL_MS),
      setInterval(
        () => void this.#pipeline.collect().catch((error: Error) => this.#fail(error)),
        COLLECT_INTERVAL_MS,
      ),
    );
  }

  counts(): LiveCounts {
    // The resolver's own count, as of a moment ago.
    void this.#pipeline.settle().catch(() => {});
    const counters = this.#capture.counters();
    return {
      samples: this.#pipeline.samples,
      lost: LOST_COUNTERS.reduce((sum, name) => sum + counters[name], 0),
      unresolved: this.#pipeline.unnamed,
      processes: this.#pipeline.stats?.processes,
      mapBytes: this.#capture.mapMemory(),
      tableBytes: this.#pipeline.stats?.tableBytes,
      kernelCpuSeconds: this.#cost?.seconds(this.#pipeline.samples),
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
    return this.#recordingFailure ? [this.#recordingFailure.message] : [];
  }

  hurry(): void {
    this.#pipeline.hurry();
  }

  async flush(): Promise<Profile> {
    this.#tick();
    this.#check();
    const interval = this.#intervals.next();
    if (!this.#stopped) return this.#pipeline.profile({ ...interval, host: undefined });
    // All is quiet now: what the kernel sent and what arrives must be the same.
    await this.#pipeline.settle();
    const unaccounted = this.#intervals.unaccounted(this.#pipeline.samples);
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

  #measure(): void {
    this.#guard(() => this.#cost?.tick(performance.now(), this.#pipeline.samples));
  }

  #tick(): void {
    this.#guard(() => {
      for (let i = 0; i < MAX_DRAINS; i++) {
        // Samples first: whatever was mapped before one of them is then in the side band.
        const length = this.#capture.drain(this.#bytes);
        const side = this.#capture.drainSideband(this.#sideband);
        if (length === 0 && side === 0) return;
        const sideband = this.#sideband.subarray(0, side);
        this.#record((recording) => {
          if (side > 0) recording.write(ChunkKind.Sideband, sideband);
          if (length > 0) recording.write(ChunkKind.Records, this.#bytes.subarray(0, length));
        });
        this.#pipeline.consume(this.#buffer, length, sideband);
      }
    });
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

  /** Errors in timers and callbacks surface at the next flush instead of ending the process. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (cause) {
      this.#fail(cause as Error);
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
  }

  #check(): void {
    if (this.#failure) throw this.#failure;
  }
}

function open(options: ProfilerOptions, wanted: readonly WantedKey[]): LiveCapture {
  const { scope } = options;
  const addon = loadAddon();
  const cgroup = scope.cgroupPath === undefined ? undefined : cgroupScope(scope.cgroupPath);
  try {
    return patiently(
      () =>
        new LiveCapture(addon, {
          hz: options.hz,
          maxDepth: options.maxDepth,
          kernelStacks: options.kernelStacks,
          pids: scope.pids,
          followChildren: scope.followChildren,
          comm: scope.comm,
          cgroup,
          excluded: {
            pids: scope.exclude?.pids ?? [],
            comms: scope.exclude?.comms ?? [],
            cgroups: (scope.exclude?.cgroupPaths ?? []).map(cgroupScope),
          },
          ringBytes: options.ringBytes ?? RING_BYTES,
          tableBytes: TABLE_BYTES,
          copyEverySample: options.copyEverySample ?? false,
          wantedKeys: wanted.map(({ key }) => key),
          idKeys: idKeys(wanted),
        }),
    );
  } catch (cause) {
    throw explained(cause);
  }
}

/** The verifier gives up with EAGAIN when a signal arrives while it works. */
function patiently<Result>(load: () => Result): Result {
  for (let attempt = 1; ; attempt++) {
    try {
      return load();
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EAGAIN' || attempt === LOAD_ATTEMPTS) {
        throw cause;
      }
    }
  }
}

/** What a failure of the kernel side means on this machine. */
function explained(cause: unknown): unknown {
  return refusal(
    cause,
    thisMachine('/', async () => ''),
  );
}
