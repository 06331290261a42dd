/** The running agent: samples, keeps and serves profiles, and follows its configuration. */
import { dirname, join, resolve } from 'node:path';
import type { Delivery, DeliveryEvents } from '../agent/delivery.ts';
import { SelfObservation } from '../agent/self-observation.ts';
import type { ExporterConfig } from '../config/exporter-schema.ts';
import type { Loaded } from '../config/load.ts';
import { problemText } from '../config/problem.ts';
import { Reloader } from '../config/reload.ts';
import type { Config } from '../config/schema.ts';
import { makeFolder, PRIVATE } from '../export/profile-folder.ts';
import { withoutAddresses } from '../profile/address-layout.ts';
import type { Profile } from '../profile/model.ts';
import type { HistoryThread } from '../viewer/history-thread.ts';
import type { Page } from './agent-page.ts';
import type { Surroundings } from './command.ts';
import { CommandError, errorCode, reasonOf } from './errors.ts';
import { findRoot, versionOf } from './installation.ts';
import type { Log } from './log.ts';
import { openOutput } from './output-file.ts';
import type { Profiler } from './profiler-seam.ts';
import { unusualTimes, worrying } from './progress.ts';
import {
  checkTargets,
  profilerOptions,
  restartsSampling,
  wantsAddresses,
} from './sampling-config.ts';
import { TOKEN_VARIABLE } from './token-variable.ts';

/** Of the first profile. */
const FIRST_INTERVAL_MS = 500;
/** At the end, for what waits in the queues; told in the manual. */
const LAST_SENDING_MS = 5_000;

/** Everyday ones of any busy machine: a later profile has the names. */
const PASSING_PROBLEMS: ReadonlySet<string> = new Set([
  'debug_info_not_waited_for',
  'debug_info_resting',
  'debuginfod_pending',
  'perf_map_addresses_behind',
  'perf_map_read_again',
  'jitdump_addresses_behind',
  'jitdump_read_again',
]);

export interface AgentSources {
  /** Watched when there is one. */
  readonly file: string | undefined;
  /** Reads all sources anew. @throws ConfigError */
  load(): Loaded;
  /** Gets each profile as a pprof file, beside the configured exporters. */
  readonly writePprof: string | undefined;
}

const WAITS_FOR_RESTART: ReadonlySet<string> = new Set([
  'viewer.listen',
  'viewer.access',
  'viewer.token_file',
]);

const limitsOf = ({ viewer }: Config) => ({
  retentionMs: viewer.retention,
  maxBytes: viewer.maxBytes,
});

const changesDelivery = (path: string): boolean =>
  path.startsWith('exporters.') || path === 'resource.attributes';

export class Agent {
  readonly #surroundings: Surroundings;
  readonly #sources: AgentSources;
  readonly #stopped: Promise<NodeJS.Signals>;
  readonly #log: Log;
  /** What the page shows. */
  #history: HistoryThread | undefined;
  readonly #reloader: Reloader | undefined;
  #config: Config;
  readonly #delivery: Delivery;
  readonly #observation: SelfObservation;
  #profiler: Profiler | undefined;
  #isRunning = true;
  /** Why it cannot go on. */
  readonly #failures: Error[] = [];
  /** Changes that wait for their turn between two profiles. */
  #changed: string[] = [];
  #wake = (): void => {};

  private constructor(
    surroundings: Surroundings,
    sources: AgentSources,
    stopped: Promise<NodeJS.Signals>,
    {
      loaded,
      log,
      makeDelivery,
    }: {
      loaded: Loaded;
      log: Log;
      makeDelivery: (events: DeliveryEvents) => Delivery;
    },
  ) {
    this.#surroundings = surroundings;
    this.#sources = sources;
    this.#stopped = stopped;
    this.#log = log;
    this.#config = loaded.config;
    const version = versionOf(findRoot(dirname(import.meta.filename)));
    this.#observation = new SelfObservation(version, loaded.config.profile.interval, log);
    this.#delivery = makeDelivery({
      onOpen: (exporter, { to, queue, waiting }) =>
        this.#log.info(
          { exporter, to, queue: queue ?? 'in memory', ...(waiting > 0 ? { waiting } : {}) },
          'profiles will be sent',
        ),
      onArrival: (exporter, { to }) =>
        this.#log.info({ exporter, to }, 'the first profile has arrived'),
      onFault: (exporter, { code, keys, message }) =>
        this.#observation.warn(
          `${exporter} fault ${code}`,
          { exporter, cause: code, keys },
          `${message}. Until then, profiles wait in the queue`,
        ),
      onWarning: (exporter, cause, message) =>
        this.#observation.warn(`${exporter} ${cause}`, { exporter, cause }, message),
      onRecovery: (exporter, { failures, waiting }) =>
        this.#log.info({ exporter, failures, waiting }, 'the receiver takes profiles again'),
    });
    this.#observation.health.watchExporters(() =>
      this.#delivery.readings.flatMap(({ exporter, fault }) =>
        fault ? [[exporter, fault.code, ...fault.keys].join(' ')] : [],
      ),
    );
    if (sources.file !== undefined) this.#reloader = this.#watch(sources.file, loaded);
    void stopped.then(() => {
      this.#isRunning = false;
      this.#wake();
    });
  }

  /** @throws ConfigError */
  static async create(
    surroundings: Surroundings,
    sources: AgentSources,
    stopped: Promise<NodeJS.Signals>,
  ): Promise<Agent> {
    const loaded = sources.load();
    // Loaded here: `record` and `doctor` need neither.
    const [{ createLog, logWarnings }, { Delivery }] = await Promise.all([
      import('./log.ts'),
      import('../agent/delivery.ts'),
    ]);
    const makeDelivery = (events: DeliveryEvents) => new Delivery(events);
    const log = createLog(surroundings.stderr.isTTY, loaded.config.log.level);
    logWarnings(log);
    for (const warning of loaded.warnings) log.warn(warning);
    return new Agent(surroundings, sources, stopped, { loaded, log, makeDelivery });
  }

  /** Reads the configuration anew; without a file there is nothing to read. */
  reload(): void {
    this.#reloader?.reload();
    // Who asks for it may have mended something beside the file.
    this.#delivery.tryNow();
  }

  /** It cannot go on: what was sampled is delivered, then run() rejects. */
  fail(error: Error): void {
    this.#failures.push(error);
    this.#isRunning = false;
    this.#wake();
  }

  /** Resolves when it was told to stop and all is put away. @throws CommandError when it could not go on */
  async run(): Promise<void> {
    checkTargets(this.#config);
    await this.#deliverTo(this.#config);
    // Before sampling: a port in use should be known first.
    let page: Page | undefined;
    try {
      page = await this.#serve();
      this.#profiler = await this.#startProfiler();
      this.#tellAddress(page);
      this.#observation.health.sampling();
      this.#observation.health.followResolver(
        () => this.#profiler?.counts().resolver?.isUp !== false,
      );
      this.#reloader?.start();
      await this.#flushUntilStopped();
      const [failure] = this.#failures;
      if (failure) this.#log.error({ error: textOf(failure) }, 'the agent cannot go on: stopping');
      else this.#log.info(`${await this.#stopped}: stopping`);
      this.#observation.health.stopping();
      this.#keep(await this.#profiler.stop());
      if (failure) throw new CommandError(`the agent could not go on: ${textOf(failure)}`);
    } finally {
      this.#reloader?.stop();
      await this.#endDelivery();
      await page?.close();
      await this.#history?.close();
      await this.#log.end();
    }
  }

  #startProfiler(): Promise<Profiler> {
    return this.#surroundings.startProfiler({
      ...profilerOptions(this.#config),
      onWarning: (cause, fields, message) => this.#observation.warn(cause, fields, message),
      onFailure: (error) => this.fail(error),
    });
  }

  async #serve(): Promise<Page> {
    const [{ servePage }, { HistoryThread }] = await Promise.all([
      import('./agent-page.ts'),
      import('../viewer/history-thread.ts'),
    ]);
    const history = new HistoryThread(limitsOf(this.#config), {
      onFailure: (error, pauseMs) =>
        this.#log.error(
          error,
          `the page's thread has failed and its history is lost; it restarts in ${pauseMs / 1_000} s`,
        ),
    });
    this.#history = history;
    return servePage(this.#config.viewer, {
      history,
      status: () => ({
        hz: this.#config.capture.hz,
        rssBytes: process.memoryUsage.rss(),
        faults: this.#delivery.readings.flatMap(({ exporter, queueSize, fault }) =>
          fault ? [{ exporter, waiting: queueSize, ...fault }] : [],
        ),
        ...this.#profiler?.counts(),
      }),
      metrics: (page) =>
        this.#observation.metrics({
          counts: this.#profiler?.counts(),
          hz: this.#config.capture.hz,
          exporters: this.#delivery.readings,
          history: history.losses,
          page,
        }),
      health: this.#observation.health,
      onError: (error) => this.#log.error(error, 'a request to the page failed'),
      onFailure: (error, pauseMs) =>
        this.#log.error(
          error,
          `the thread that serves the page has failed; it restarts in ${pauseMs / 1_000} s`,
        ),
    });
  }

  /** Who may look finds the way in; a log that others read does not tell the token. */
  #tellAddress({ address, tokenFile, problem }: Page): void {
    const shown = new URL(address);
    const isHidden = shown.searchParams.has('token') && !this.#surroundings.stderr.isTTY;
    if (isHidden) shown.searchParams.delete('token');
    const hint =
      isHidden && tokenFile !== undefined
        ? ' (flametap view --address prints it with its token)'
        : '';
    this.#log.info(`sampling at ${this.#config.capture.hz} Hz; open ${shown}${hint}`);
    if (problem !== undefined)
      this.#log.warn(`${problem}; set ${TOKEN_VARIABLE} or viewer.token_file`);
  }

  async #flushUntilStopped(): Promise<void> {
    // Something to look at soon after the start; then ever less often.
    let step = Math.min(this.#config.profile.interval, FIRST_INTERVAL_MS);
    let next = performance.now() + step;
    for (;;) {
      await this.#pause(Math.max(0, next - performance.now()));
      if (!this.#isRunning) return;
      if (this.#changed.length > 0) {
        const isAnew = await this.#apply(this.#changed.splice(0));
        const latest = performance.now() + this.#config.profile.interval;
        next = isAnew ? latest : Math.min(next, latest);
        continue;
      }
      const profile = await this.#profiler!.flush().catch((error: Error) => this.fail(error));
      if (!profile) return;
      this.#keep(profile);
      // After a pause longer than the interval (a stopped machine), do not catch up.
      step = Math.min(this.#config.profile.interval, step * 2);
      next = Math.max(next + step, performance.now());
    }
  }

  /** Resolves after the time, or at once when there is something else to do. */
  #pause(milliseconds: number): Promise<void> {
    if (!this.#isRunning || this.#changed.length > 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Takes each profile where it belongs. */
  #keep(profile: Profile): void {
    const { taken, exported, lost, eventsLost, problems, timingMs } = profile.tally;
    this.#log.info({ taken, exported, processes: profile.processes.length }, 'profile');
    for (const [reason, samples] of Object.entries(lost))
      this.#observation.warn(`lost ${reason}`, { reason, samples }, 'samples were lost');
    for (const [reason, events] of Object.entries(eventsLost)) {
      const what = 'records of process events were lost: names or callers may be missing';
      this.#observation.warn(`lost ${reason}`, { reason, events }, what);
    }
    for (const [reason, milliseconds] of unusualTimes(timingMs)) {
      const what = 'time without samples, or by which the clock was set';
      this.#observation.warn(`timing ${reason}`, { reason, milliseconds }, what);
    }
    for (const [problem, count] of worrying(problems)) {
      if (PASSING_PROBLEMS.has(problem)) continue;
      this.#observation.warn(
        `problem ${problem}`,
        { problem, count },
        'names or callers may be missing: `problem` says why',
      );
    }
    this.#history?.add(withoutAddresses(profile));
    this.#delivery.accept(profile);
    this.#observation.flushed(profile);
  }

  /** @throws CommandError when a folder cannot be written; then the exporters are as they were */
  async #deliverTo(config: Config): Promise<void> {
    const { writePprof } = this.#sources;
    if (writePprof !== undefined) await tryFolder(writePprof, '--write-pprof');
    for (const [i, exporter] of config.exporters.entries())
      if (exporter.kind === 'files')
        await tryFolder(exporter.directory, `exporters.${i}.files.directory`, exporter.mode);
    const exporters =
      writePprof === undefined
        ? config.exporters
        : [...config.exporters, pprofExporter(resolve(writePprof))];
    await this.#delivery.apply({ exporters, attributes: config.resource.attributes });
    this.#observation.health.exportersOpen();
  }

  async #endDelivery(): Promise<void> {
    await this.#delivery.close(LAST_SENDING_MS);
    this.#observation.tellRest();
    for (const { exporter, queueSize, dropped } of this.#delivery.readings) {
      if (queueSize > 0)
        this.#log.info(
          { exporter, requests: queueSize },
          'requests wait on disk for the next start',
        );
      if (dropped.shutdown)
        this.#log.warn(
          { exporter, requests: dropped.shutdown },
          'requests could not be sent before the agent ended, and are lost',
        );
    }
  }

  #watch(file: string, loaded: Loaded): Reloader {
    return new Reloader(file, loaded, () => this.#sources.load(), {
      onChange: (next, changed) => {
        for (const warning of next.warnings) this.#log.warn(warning);
        this.#changed.push(...changed);
        this.#wake();
      },
      onProblem: ({ problems }) => {
        const said = problems.map(problemText);
        this.#log.error(
          { problems: said },
          'the configuration is wrong; the old one stays in force',
        );
      },
      onSame: () => this.#log.info('the configuration has not changed'),
    });
  }

  /** Brings what runs in line with the newest configuration. @returns whether sampling began anew */
  async #apply(changed: readonly string[]): Promise<boolean> {
    const next = this.#reloader!.current.config;
    const before = this.#config;
    this.#log.info({ changed }, 'the configuration has changed');
    this.#log.level = next.log.level;
    this.#history?.limit(limitsOf(next));
    this.#observation.health.expect(next.profile.interval);
    if (changed.some(changesDelivery)) await this.#changeDelivery(next);
    this.#config = next;
    for (const key of changed.filter((path) => WAITS_FOR_RESTART.has(path)))
      this.#log.warn(`${key}: takes effect when the agent is restarted`);
    const isOther =
      changed.some(restartsSampling) || wantsAddresses(next) !== wantsAddresses(before);
    return isOther && (await this.#restartSampling(before));
  }

  async #changeDelivery(next: Config): Promise<void> {
    try {
      await this.#deliverTo(next);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      this.#log.error(`${error.message}; the exporters stay as they were`);
    }
  }

  /** Ends sampling and starts it anew; when that fails, as it was before. */
  async #restartSampling(before: Config): Promise<boolean> {
    try {
      checkTargets(this.#config);
    } catch (error) {
      this.#log.error(`${reasonOf(error)}; sampling goes on as before`);
      this.#config = { ...this.#config, capture: before.capture };
      return false;
    }
    const last = await this.#profiler!.stop();
    this.#profiler = undefined;
    this.#keep(last);
    try {
      this.#profiler = await this.#startProfiler();
    } catch (error) {
      this.#log.error(
        `cannot sample with the new configuration: ${reasonOf(error)}; sampling goes on as before`,
      );
      const { capture, symbols } = before;
      const { labels, maxLabelSets, maxLabelBytes } = before.profile;
      const profile = { ...this.#config.profile, labels, maxLabelSets, maxLabelBytes };
      this.#config = { ...this.#config, capture, symbols, profile };
      this.#profiler = await this.#startProfiler();
    }
    this.#log.info(`sampling at ${this.#config.capture.hz} Hz`);
    return true;
  }
}

/** Not foreseen: the stack is what a bug report needs. */
const textOf = (error: Error): string => error.stack ?? error.message;

const FULL: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT']);

/** Makes the folder and tries it. @param asked the option or key it comes from. @throws CommandError */
async function tryFolder(path: string, asked: string, mode?: number): Promise<void> {
  try {
    await makeFolder(resolve(path), mode);
  } catch (error) {
    throw new CommandError(`${asked}: cannot make ${path}: ${reasonOf(error)}`);
  }
  try {
    const trial = await openOutput(join(path, 'flametap-trial'));
    await trial.abandon();
  } catch (error) {
    // Room may come; until then profiles wait, and that is told.
    if (error instanceof CommandError && FULL.has(errorCode(error.cause))) return;
    throw new CommandError(`${asked}: ${reasonOf(error)}`);
  }
}

/** What --write-pprof stands for: nothing is removed. */
const pprofExporter = (directory: string): ExporterConfig => ({
  kind: 'files',
  name: '--write-pprof',
  directory,
  format: 'pprof',
  maxBytes: Number.POSITIVE_INFINITY,
  maxAge: 0,
  mode: PRIVATE,
  addresses: false,
});
