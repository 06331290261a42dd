/** What a running agent says of itself: metrics, readiness, and warnings that do not flood. */
import type { LiveCounts } from '../cli/profiler-seam.ts';
import type { Profile } from '../profile/model.ts';
import { AgentMetrics, type HistoryReading, type PageReading } from '../telemetry/agent-metrics.ts';
import type { ExporterReading } from '../telemetry/exporter-metrics.ts';
import { Health } from '../telemetry/health.ts';
import { RepeatedWarnings } from '../telemetry/repeated-warnings.ts';

const WARNING_INTERVAL_MS = 60_000;

export interface ObservedState {
  /** Undefined while nothing is sampled. */
  readonly counts: LiveCounts | undefined;
  readonly hz: number;
  readonly exporters: readonly ExporterReading[];
  readonly history: HistoryReading;
  readonly page: PageReading;
}

export interface WarningLog {
  warn(fields: object, message: string): void;
}

export class SelfObservation {
  readonly health: Health;
  readonly #metrics: AgentMetrics;
  readonly #log: WarningLog;
  readonly #warnings = new RepeatedWarnings({ intervalMs: WARNING_INTERVAL_MS });

  constructor(version: string, intervalMs: number, log: WarningLog) {
    this.#metrics = new AgentMetrics({ version, runtime: process.version });
    this.health = new Health(intervalMs);
    this.#log = log;
  }

  /** A flush has brought it. */
  flushed(profile: Profile): void {
    this.#metrics.add(profile);
    this.health.flushed();
  }

  /**
   * At once when the cause is new; then once a minute, with how often it happened meanwhile.
   * @param cause tells warnings apart: stable, without numbers
   */
  warn(cause: string, fields: object, message: string): void {
    const untold = this.#warnings.happened(cause);
    if (untold === undefined) return;
    this.#log.warn(untold > 0 ? { ...fields, repeated: untold } : fields, message);
  }

  /** At the end: what happened and was not told. */
  tellRest(): void {
    for (const [cause, repeated] of this.#warnings.untold())
      this.#log.warn(
        { cause, repeated },
        'the warning of this cause occurred again since it was last logged',
      );
  }

  /** Prometheus text. */
  metrics({ counts, hz, exporters, history, page }: ObservedState): string {
    const { user, system } = process.cpuUsage();
    return this.#metrics.render({
      processes: counts?.processes,
      tableBytes: counts?.tableBytes,
      userCpuSeconds: (user + system) / 1e6,
      kernelCpuSeconds: counts?.kernelCpuSeconds,
      rssBytes: process.memoryUsage.rss(),
      mapBytes: counts?.mapBytes,
      hz: counts ? hz : 0,
      resolverRestarts: counts?.resolver?.restarts,
      retried: counts?.retried ?? {},
      exporters,
      history,
      page,
    });
  }
}
