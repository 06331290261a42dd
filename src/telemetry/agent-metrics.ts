/** The agent's metrics: totals out of each profile's tally, and what is read when somebody asks. */
import { END_REASONS, LOST_COUNTERS } from '../capture/record.ts';
import { isNamed } from '../profile/frame.ts';
import type { FrameType, Profile } from '../profile/model.ts';
import { addCounts, sumOf } from '../profile/tally.ts';
import { type ExporterReading, exporterFamilies } from './exporter-metrics.ts';
import { byLabel, type Family, renderFamilies, type Sample } from './exposition.ts';

/** What is known at this moment; undefined = not known, and then not told. */
export interface Readings {
  readonly processes: number | undefined;
  /** Of unwind tables in the kernel. */
  readonly tableBytes: number | undefined;
  /** Of the agent's process, user and system. */
  readonly userCpuSeconds: number;
  /** Of our BPF programs. */
  readonly kernelCpuSeconds: number | undefined;
  readonly rssBytes: number;
  /** Of BPF maps and rings. */
  readonly mapBytes: number | undefined;
  /** Per CPU; 0 = not sampling. */
  readonly hz: number;
  /** How often the thread that reads programs and names addresses was started again. */
  readonly resolverRestarts: number | undefined;
  /** Work that failed for want of something and was done again, by its name. */
  readonly retried: Readonly<Record<string, number>>;
  readonly exporters: readonly ExporterReading[];
  readonly history: HistoryReading;
  readonly page: PageReading;
}

/** Of the thread that keeps the recent profiles for the page. */
export interface HistoryReading {
  /** It has failed and begun anew. */
  readonly restarts: number;
  /** That the page does not have, by reason. */
  readonly profiles: Readonly<Record<string, number>>;
}

/** Of the thread that serves the page. */
export interface PageReading {
  /** It has failed and begun anew. */
  readonly restarts: number;
  /** Connections that it ended without an answer, by reason. */
  readonly drops: Readonly<Record<string, number>>;
}

export interface BuildInfo {
  readonly version: string;
  /** Of Node. */
  readonly runtime: string;
}

/** Samples that left no record, records that were not whole, and what the resolver's thread did not give back. */
const LOST_REASONS = [
  ...LOST_COUNTERS,
  'malformed_record',
  'resolver_behind',
  'resolver_restarted',
];
/** Of time without samples; setting the clock is none. */
const UNSAMPLED_REASONS = ['cpu_returned', 'cpu_unwatched', 'late_timer', 'suspended', 'throttled'];
/** Ends at which a stack is whole. */
const WHOLE_ENDS: ReadonlySet<string> = new Set(['root', 'no_user']);

/** Zeros, so that the first loss is an increase that an alert sees. */
const zeros = (names: readonly string[]): Record<string, number> =>
  Object.fromEntries(names.map((name) => [name, 0]));

export class AgentMetrics {
  readonly #build: BuildInfo;
  #exported = 0;
  #truncated = 0;
  readonly #lost = zeros(LOST_REASONS);
  readonly #unwindErrors = zeros(END_REASONS.filter((reason) => !WHOLE_ENDS.has(reason)));
  readonly #frames = new Map<FrameType, { named: number; unnamed: number }>();
  readonly #eventsLost = zeros([
    'event_ring_full',
    'mapping_ring_full',
    'resolver_behind',
    'forks_untold',
  ]);
  readonly #labelsLost = zeros(['labels_overflow']);
  readonly #timingMs = zeros([...UNSAMPLED_REASONS, 'clock_set']);
  #profiles = 0;

  constructor(build: BuildInfo) {
    this.#build = build;
  }

  /** Adds what a flush has brought. */
  add(profile: Profile): void {
    const { tally } = profile;
    this.#profiles++;
    this.#exported += tally.exported;
    this.#truncated += sumOf(tally.truncated);
    addCounts(this.#lost, tally.lost);
    addCounts(this.#unwindErrors, tally.truncated);
    addCounts(this.#eventsLost, tally.eventsLost);
    addCounts(this.#labelsLost, tally.labelsLost);
    addCounts(this.#timingMs, tally.timingMs);
    this.#addFrames(profile);
  }

  /** Prometheus text. */
  render(readings: Readings): string {
    return renderFamilies(this.#families(readings));
  }

  /** Weighted by samples, as the tally's framesNamed and framesUnnamed. */
  #addFrames({ samples, stacks, locations, functions, mappings }: Profile): void {
    const weights = new Float64Array(locations.length);
    for (let row = 0; row < samples.length; row++) {
      const count = samples.count[row]!;
      for (const location of stacks[samples.stack[row]!]!) weights[location]! += count;
    }
    for (const [index, location] of locations.entries()) {
      if (location.type === 'marker' || weights[index] === 0) continue;
      let counts = this.#frames.get(location.type);
      if (!counts) {
        counts = { named: 0, unnamed: 0 };
        this.#frames.set(location.type, counts);
      }
      const named = isNamed({ functions, locations, mappings }, location);
      counts[named ? 'named' : 'unnamed'] += weights[index]!;
    }
  }

  *#families(readings: Readings): Iterable<Family> {
    yield {
      name: 'flametap_build_info',
      help: 'Which Flametap runs, on which Node; always 1.',
      type: 'gauge',
      samples: [{ labels: { ...this.#build }, value: 1 }],
    };
    yield {
      name: 'flametap_profiles_total',
      help: 'Profiles made, one per interval.',
      type: 'counter',
      samples: [{ value: this.#profiles }],
    };
    yield* this.#sampleFamilies();
    yield* readingFamilies(readings);
    yield* exporterFamilies(readings.exporters);
    yield* historyFamilies(readings.history);
    yield* pageFamilies(readings.page);
  }

  *#sampleFamilies(): Iterable<Family> {
    yield {
      name: 'flametap_samples_total',
      help: 'Samples, by what became of them: in a profile with their whole stack, in a profile with a part of it, or lost.',
      type: 'counter',
      samples: byLabel('outcome', {
        whole: this.#exported - this.#truncated,
        truncated: this.#truncated,
        lost: sumOf(this.#lost),
      }),
    };
    yield {
      name: 'flametap_samples_lost_total',
      help: 'Samples that are in no profile, by reason.',
      type: 'counter',
      samples: byLabel('reason', this.#lost),
    };
    yield {
      name: 'flametap_labels_lost_total',
      help: 'Samples in profiles that lack labels they should have, such as the ids of their request, by reason.',
      type: 'counter',
      samples: byLabel('reason', this.#labelsLost),
    };
    yield {
      name: 'flametap_unwind_errors_total',
      help: 'Samples whose user stack does not reach its root, by reason.',
      type: 'counter',
      samples: byLabel('reason', this.#unwindErrors),
    };
    yield {
      name: 'flametap_events_lost_total',
      help: 'Process and mapping events that did not arrive, by reason.',
      type: 'counter',
      samples: byLabel('reason', this.#eventsLost),
    };
    const { clock_set, ...unsampled } = this.#timingMs;
    yield {
      name: 'flametap_unsampled_seconds_total',
      help: 'Time that no samples come from though there may have been something to sample, summed over CPUs, by reason; suspended: of the machine.',
      type: 'counter',
      samples: byLabel('reason', unsampled).map((sample) => ({
        ...sample,
        value: sample.value / 1_000,
      })),
    };
    yield {
      name: 'flametap_clock_set_seconds_total',
      help: 'By how much the wall clock was set while profiles were taken, forward or back.',
      type: 'counter',
      samples: [{ value: clock_set! / 1_000 }],
    };
    yield {
      name: 'flametap_frames_total',
      help: 'Frames of all samples, by who runs their code and whether a name was found.',
      type: 'counter',
      samples: [...this.#frames].flatMap(([type, { named, unnamed }]) => [
        { labels: { type, named: 'true' }, value: named },
        { labels: { type, named: 'false' }, value: unnamed },
      ]),
    };
  }
}

function* historyFamilies({ restarts, profiles }: HistoryReading): Iterable<Family> {
  yield {
    name: 'flametap_history_restarts_total',
    help: 'Failures of the thread that keeps recent profiles for the page, each with all that it kept.',
    type: 'counter',
    samples: [{ value: restarts }],
  };
  yield {
    name: 'flametap_history_profiles_lost_total',
    help: 'Profiles that the page does not have, by reason; exporters have them.',
    type: 'counter',
    samples: byLabel('reason', profiles),
  };
}

function* pageFamilies({ restarts, drops }: PageReading): Iterable<Family> {
  yield {
    name: 'flametap_page_restarts_total',
    help: 'Failures of the thread that serves the page; the counts of its connections begin anew with it.',
    type: 'counter',
    samples: [{ value: restarts }],
  };
  yield {
    name: 'flametap_page_connections_dropped_total',
    help: 'Connections to the page that ended without an answer, by reason; no_descriptor: how often none could be accepted for want of a free descriptor.',
    type: 'counter',
    samples: byLabel('reason', drops),
  };
}

function* readingFamilies(readings: Readings): Iterable<Family> {
  yield {
    name: 'flametap_processes',
    help: 'Running processes that are known.',
    type: 'gauge',
    samples: known({}, readings.processes),
  };
  yield {
    name: 'flametap_unwind_tables_bytes',
    help: 'Unwind tables in the kernel.',
    type: 'gauge',
    samples: known({}, readings.tableBytes),
  };
  yield {
    name: 'flametap_cpu_seconds_total',
    help: 'CPU time that Flametap itself took: its BPF programs (kernel, estimated from one second in each minute) and its process (user, its system calls included).',
    type: 'counter',
    samples: [
      ...known({ where: 'kernel' }, readings.kernelCpuSeconds),
      ...known({ where: 'user' }, readings.userCpuSeconds),
    ],
  };
  yield {
    name: 'flametap_memory_bytes',
    help: 'Memory that Flametap itself holds: resident (rss), and in the kernel for BPF maps and rings (maps).',
    type: 'gauge',
    samples: [
      ...known({ where: 'rss' }, readings.rssBytes),
      ...known({ where: 'maps' }, readings.mapBytes),
    ],
  };
  yield {
    name: 'flametap_sampling_hz',
    help: 'Samples per second and CPU; 0 while nothing is sampled.',
    type: 'gauge',
    samples: [{ value: readings.hz }],
  };
  yield {
    name: 'flametap_resolver_restarts_total',
    help: 'How often the thread that reads programs and names addresses failed and was started again.',
    type: 'counter',
    samples: known({}, readings.resolverRestarts),
  };
  yield {
    name: 'flametap_retries_total',
    help: 'Work that failed because the machine lacked something (descriptors, memory) and was done again.',
    type: 'counter',
    samples: byLabel('work', readings.retried),
  };
}

const known = (labels: Record<string, string>, value: number | undefined): Sample[] =>
  value === undefined ? [] : [{ labels, value }];
