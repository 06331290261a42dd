/** `flametap agent`: profiles the machine until told to stop. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Profile } from '../profile/model.ts';
import type { Command, Surroundings } from './command.ts';
import { CommandError, EXIT_DONE, reasonOf, UsageError } from './errors.ts';
import { FORMATS } from './format.ts';
import type { Log } from './log.ts';
import { EXIT_CODES, type Manual } from './manual.ts';
import { defaulted, type OptionValues, parseLine, text } from './options.ts';
import { openOutput } from './output-file.ts';
import type { Profiler } from './profiler-seam.ts';
import { parseDuration, parseSize } from './quantity.ts';
import { MAX_DEPTH, samplingOptions } from './sampling-options.ts';

/** A secret would be seen by all in the list of processes if it were an option. */
const TOKEN_VARIABLE = 'FLAMETAP_TOKEN';

interface Address {
  readonly host: string;
  readonly port: number;
}

/** Of the first profile. */
const FIRST_INTERVAL_MS = 500;

const options = {
  ...samplingOptions,
  listen: defaulted('HOST:PORT', parseAddress, '127.0.0.1:7099', 'where the page is served'),
  interval: defaulted('TIME', parseDuration, '10s', 'a new profile this often'),
  retention: defaulted('TIME', parseDuration, '15m', 'how far back the page can look'),
  memory: defaulted('SIZE', parseSize, '64MiB', 'at most this much for kept profiles'),
  'write-pprof': text(
    'DIR',
    'also write each profile there as a pprof file; old ones are not removed',
  ),
};
type AgentOptions = OptionValues<typeof options>;

const manual: Manual = {
  usage: ['flametap agent [options]'],
  description: [
    'Profiles the whole machine until it gets SIGINT or SIGTERM. Keeps the profiles of the last minutes in memory and serves a page with a live flame graph, per process; needs no backend.',
    'Logs go to standard error: readable on a terminal, JSON lines elsewhere.',
  ],
  options,
  sections: [
    {
      title: 'Environment',
      lines: [
        `${TOKEN_VARIABLE}  at least 16 characters that every request must carry;`,
        '                needed to listen on an address that others can reach',
        'DEBUGINFOD_URLS debuginfod servers, separated by spaces, that are asked for debug',
        '                information which this machine lacks; unset: nobody is asked',
      ],
    },
    EXIT_CODES,
  ],
  examples: [
    { does: 'look at the machine at http://127.0.0.1:7099', line: 'sudo flametap agent' },
    {
      does: 'another port, an hour of history',
      line: 'flametap agent --listen 127.0.0.1:8080 --retention 1h --memory 256MiB',
    },
    {
      does: 'a pprof file every minute',
      line: 'flametap agent --interval 1m --write-pprof /var/tmp/profiles',
    },
  ],
};

function parseAddress(value: string): Address {
  const match = /^(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9.-]{1,253}):(\d{1,5})$/.exec(value);
  const port = Number(match?.[2] ?? Number.NaN);
  if (!match?.[1] || !(port <= 65_535))
    throw new UsageError(`'${value}' is not HOST:PORT, such as 127.0.0.1:7099 or [::1]:7099`);
  return { host: match[1].replace(/^\[|\]$/g, ''), port };
}

/** flametap-2026-11-21T11-55-10.123Z.pb.gz: sorts by time, no colon for other systems. */
function pprofName(profile: Profile): string {
  const time = new Date(Number(profile.startTime / 1_000_000n)).toISOString();
  return `flametap-${time.replaceAll(':', '-')}.pb.gz`;
}

async function writePprof(folder: string, profile: Profile): Promise<void> {
  const output = await openOutput(join(folder, pprofName(profile)));
  try {
    await output.write(FORMATS.pprof.encode(profile, false));
  } catch (error) {
    await output.abandon();
    throw error;
  }
}

async function prepareFolder(folder: string | undefined): Promise<void> {
  if (folder === undefined) return;
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    throw new CommandError(`--write-pprof: cannot make ${folder}: ${reasonOf(error)}`);
  }
  const trial = await openOutput(join(folder, 'flametap-trial'));
  await trial.abandon();
}

/** Takes each profile where it belongs; a full disk costs a file, not the agent. */
async function keep(
  profile: Profile,
  store: { add(profile: Profile): void },
  folder: string | undefined,
  log: Log,
): Promise<void> {
  const { taken, exported, lost, eventsLost, problems } = profile.tally;
  log.info({ taken, exported, processes: profile.processes.length }, 'profile');
  if (Object.keys(lost).length + Object.keys(eventsLost).length > 0) {
    log.warn({ lost, eventsLost }, 'samples or process events were lost in this interval');
  }
  if (Object.keys(problems).length > 0) {
    log.warn({ problems }, 'files could not be read in full: names or callers may be missing');
  }
  store.add(profile);
  if (folder === undefined) return;
  try {
    await writePprof(folder, profile);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    log.error(error.message);
  }
}

/** Resolves after the time, or at once when the signal comes. */
function pause(milliseconds: number, stopped: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    void stopped.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

async function serve(
  values: AgentOptions,
  surroundings: Surroundings,
  stopped: Promise<NodeJS.Signals>,
): Promise<void> {
  // Loaded here: `record` and `doctor` need neither.
  const [{ createLog }, { startViewer }, { ProfileStore }] = await Promise.all([
    import('./log.ts'),
    import('../viewer/server.ts'),
    import('../viewer/store.ts'),
  ]);
  const log = createLog(surroundings.stderr.isTTY);
  const folder = values['write-pprof'];
  const store = new ProfileStore({ retentionMs: values.retention, maxBytes: values.memory });
  let profiler: Profiler | undefined;
  // Before sampling: a port in use should be known first.
  const token = process.env[TOKEN_VARIABLE];
  const viewer = await startViewer({
    listen: values.listen,
    store,
    status: () => ({
      hz: values.hz,
      rssBytes: process.memoryUsage.rss(),
      ...profiler?.counts(),
    }),
    onError: (error) => log.error(error, 'a request failed'),
    ...(token === undefined ? {} : { token }),
  }).catch((error: unknown) => {
    throw new CommandError(`cannot serve the page: ${reasonOf(error)}`);
  });
  try {
    profiler = await surroundings.startProfiler({
      hz: values.hz,
      scope: { pids: [], followChildren: true },
      threads: values.threads,
      kernelStacks: !values['no-kernel'],
      maxDepth: MAX_DEPTH,
      steady: true,
    });
    log.info(`sampling at ${values.hz} Hz; open ${viewer.url}`);
    let running = true;
    void stopped.then(() => {
      running = false;
    });
    // Something to look at soon after the start; then ever less often.
    let step = Math.min(values.interval, FIRST_INTERVAL_MS);
    let next = performance.now() + step;
    for (;;) {
      await pause(Math.max(0, next - performance.now()), stopped);
      if (!running) break;
      await keep(await profiler.flush(), store, folder, log);
      // After a pause longer than the interval (a stopped machine), do not catch up.
      step = Math.min(values.interval, step * 2);
      next = Math.max(next + step, performance.now());
    }
    log.info(`${await stopped}: stopping`);
    await keep(await profiler.stop(), store, folder, log);
  } finally {
    await viewer.close();
  }
}

async function run(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const { values, words, command } = parseLine(options, args);
  if (words.length > 0 || command)
    throw new UsageError(
      `agent takes no '${words[0] ?? '--'}'; to profile one command use flametap record -- CMD`,
    );
  await prepareFolder(values['write-pprof']);
  const stopped = Promise.withResolvers<NodeJS.Signals>();
  const impatient = Promise.withResolvers<never>();
  let count = 0;
  const unwatch = surroundings.onStopSignal((signal) => {
    count += 1;
    if (count === 1) stopped.resolve(signal);
    else impatient.reject(new CommandError('stopped at once; the last profile is lost'));
  });
  try {
    await Promise.race([serve(values, surroundings, stopped.promise), impatient.promise]);
  } finally {
    unwatch();
  }
  return EXIT_DONE;
}

export const agentCommand: Command = {
  name: 'agent',
  summary: 'profile the whole machine and serve a live flame graph',
  manual,
  run,
};
