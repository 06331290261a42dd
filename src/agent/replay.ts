/** Replays a recording through the pipeline of live records. */
import { LOST_COUNTERS } from '../capture/record.ts';
import { type About, ChunkKind, RecordingError, readRecording } from '../capture/recording.ts';
import type { LiveCounts, Profiler, ProfilerOptions } from '../cli/profiler-seam.ts';
import { wantedKeys } from '../context/wanted-keys.ts';
import type { Profile } from '../profile/model.ts';
import { type BootTime, bootTime, nanoseconds, unixTime } from '../units/units.ts';
import { UNLIMITED } from './backlog.ts';
import type { Snapshot } from './messages.ts';
import { Pipeline, patienceOf, periodOf } from './pipeline.ts';

/** Chunks between two waits for the resolver, so that its queue stays short. */
const CHUNKS_PER_WAIT = 64;
/** Of records: the first word of the time of a record. */
const TIME_AT = 8;

const decoder = new TextDecoder();

export async function startReplay(options: ProfilerOptions, path: string): Promise<Profiler> {
  return new Replay(options, path);
}

class Replay implements Profiler {
  readonly #path: string;
  readonly #pipeline: Pipeline;
  readonly #about: About;
  readonly #ready: Promise<void>;
  #firstTime = 0n;
  #lastTime = 0n;
  #lost: Record<string, number> = {};
  #failure: Error | undefined;

  constructor(options: ProfilerOptions, path: string) {
    this.#path = path;
    const { about, snapshots } = survey(path);
    this.#about = about;
    this.#pipeline = new Pipeline({
      threads: options.threads,
      ...(options.labels ? { labels: new Set(options.labels) } : {}),
      ...(options.labelLimits ? { labelLimits: options.labelLimits } : {}),
      addresses: options.addresses ?? false,
      wanted: wantedKeys(about.labels),
      onSnapshot() {},
      ...(options.onWaiting ? { onWaiting: options.onWaiting } : {}),
      onFailure: (error) => {
        this.#failure ??= error;
      },
      // The queue is kept short by waiting for it.
      resolver: { limits: UNLIMITED },
    });
    this.#ready = this.#pipeline.start({
      maps: undefined,
      maxDepth: options.maxDepth,
      patience: patienceOf(false),
      isSteady: false,
      announcesContexts: false,
      saveSnapshots: false,
      snapshots,
      symbols: options.symbols,
    });
  }

  counts(): LiveCounts {
    const lost = Object.values(this.#lost).reduce((sum, count) => sum + count, 0);
    return {
      samples: this.#pipeline.samples,
      lost,
      unresolved: this.#pipeline.unnamed,
      processes: undefined,
    };
  }

  hurry(): void {
    this.#pipeline.hurry();
  }

  flush(): Promise<Profile> {
    return this.stop();
  }

  async stop(): Promise<Profile> {
    try {
      await this.#ready;
      await this.#read();
      if (this.#failure) throw this.#failure;
      return await this.#pipeline.profile({
        startTime: unixTime(BigInt(this.#about.startTime)),
        duration: nanoseconds(Number(this.#lastTime - this.#firstTime)),
        period: periodOf(this.#about.hz),
        host: this.#about.host,
        lost: this.#lost,
        eventsLost: {},
        timingMs: {},
      });
    } finally {
      await this.#pipeline.close();
    }
  }

  async #read(): Promise<void> {
    let sideband: Uint8Array = new Uint8Array();
    let chunks = 0;
    for (const { kind, bytes } of readRecording(this.#path)) {
      if (kind === ChunkKind.Sideband) {
        this.#flushSideband(sideband);
        sideband = bytes.slice();
      } else if (kind === ChunkKind.Records) {
        this.#note(bytes);
        this.#pipeline.consume(bytes.buffer, bytes.length, sideband);
        sideband = new Uint8Array();
      } else if (kind === ChunkKind.Counters) {
        const counters = readJson(this.#path, bytes);
        const counts = LOST_COUNTERS.map((name) => [name, Number(counters[name] ?? 0)] as const);
        this.#lost = Object.fromEntries(counts.filter(([, count]) => Number.isSafeInteger(count)));
      }
      if (++chunks % CHUNKS_PER_WAIT === 0) await this.#pipeline.settle();
    }
    this.#flushSideband(sideband);
  }

  #flushSideband(sideband: Uint8Array): void {
    if (sideband.length > 0) this.#pipeline.consume(new ArrayBuffer(0), 0, sideband);
  }

  #note(bytes: Uint8Array): void {
    if (bytes.length < TIME_AT + 8) return;
    const time = new DataView(bytes.buffer).getBigUint64(TIME_AT, true);
    if (this.#firstTime === 0n) this.#firstTime = time;
    if (time > this.#lastTime) this.#lastTime = time;
  }
}

/** What must be known before the first record is replayed. @throws Error that names the file */
function survey(path: string): { about: About; snapshots: Snapshot[] } {
  let about: About | undefined;
  const snapshots: Snapshot[] = [];
  for (const { kind, bytes } of readRecording(path)) {
    if (kind === ChunkKind.About) about = parseAbout(readJson(path, bytes));
    else if (kind === ChunkKind.Snapshot) snapshots.push(parseSnapshot(readJson(path, bytes)));
  }
  if (!about) throw new RecordingError(`${path} does not say how it was recorded`);
  return { about, snapshots };
}

function readJson(path: string, bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(decoder.decode(bytes))) as Readonly<Record<string, unknown>>;
  } catch (cause) {
    throw new RecordingError(`${path} is damaged`, { cause });
  }
}

/** Undefined when it does not say what is needed. */
function parseAbout(about: Readonly<Record<string, unknown>>): About | undefined {
  const { hz, startTime, host, labels } = about;
  const time = String(startTime);
  if (typeof hz !== 'number' || !(hz >= 1) || !/^\d{1,19}$/.test(time)) return undefined;
  if (!Array.isArray(labels)) return undefined;
  return { hz, startTime: time, host: String(host), labels: labels.map(String) };
}

function startOf(started: unknown): BootTime {
  const digits = String(started);
  return bootTime(/^\d{1,20}$/.test(digits) ? BigInt(digits) : 0n);
}

function parseSnapshot(words: Readonly<Record<string, unknown>>): Snapshot {
  const { kind, pid, text, started, execId, readAt } = words;
  const known = { pid: Number(pid), text: String(text), started: startOf(started) };
  if (kind !== 'context' && kind !== 'environment') return { kind: 'maps', ...known };
  return { kind, ...known, execId: Number(execId), readAt: Number(readAt) };
}
