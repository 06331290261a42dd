/** `flametap record`: one profile, then exit. */
import { closeSync, openSync, statSync } from 'node:fs';
import type { Profile } from '../profile/model.ts';
import { RepeatedWarnings } from '../telemetry/repeated-warnings.ts';
import type { Command, Surroundings } from './command.ts';
import { CommandError, EXIT_DONE, EXIT_FAILED, reasonOf, UsageError } from './errors.ts';
import { FORMAT_NAMES, FORMATS } from './format.ts';
import { GO_PGO_FILE, goPgoFile } from './go-pgo.ts';
import { endText, type LaunchedCommand, startCommand, terminalSignalsAll } from './launch.ts';
import { EXIT_CODES, type Manual } from './manual.ts';
import { defaulted, flag, type ParsedLine, parseLine, repeated, single, text } from './options.ts';
import { type Output, openOutput, streamOutput } from './output-file.ts';
import type { Profiler, ProfilerOptions } from './profiler-seam.ts';
import { problemsText, showProgress, tallyText, timingText, waitingText } from './progress.ts';
import { formatDuration, formatSize, oneOf, parseDuration, wholeNumber } from './quantity.ts';
import { checkTargets, missingTarget } from './record-targets.ts';
import { MAX_DEPTH, samplingOptions } from './sampling-options.ts';

const DEFAULT_DURATION = '10s';
/** How long a command may take to end after each signal, gentlest first. */
const GRACE_MS = 5000;
/** Linux's largest pid_max. */
const MOST_PID = 4_194_304;
/** TASK_COMM_LEN without its final zero. */
const LONGEST_COMM = 15;

const options = {
  duration: single(
    'TIME',
    parseDuration,
    `how long: 500ms, 10s, 2m (default ${DEFAULT_DURATION}, or until CMD ends)`,
  ),
  pid: repeated('N', wholeNumber(1, MOST_PID), 'only this process and those that it starts'),
  comm: single('NAME', parseComm, 'only processes of this name, as in /proc/PID/comm'),
  cgroup: text(
    'PATH',
    'only processes in this cgroup and below, such as /sys/fs/cgroup/system.slice',
  ),
  'no-children': flag('with --pid or CMD: leave out the processes that they start'),
  ...samplingOptions,
  addresses: flag(
    'keep addresses of the kernel and of anonymous memory, which tell where memory lies: for a profile that you show to nobody',
  ),
  format: defaulted('FORMAT', oneOf(FORMAT_NAMES), 'pprof', FORMAT_NAMES.join(', ')),
  ids: flag('with --format folded: fields trace_id:… and span_id:… (the other formats have them)'),
  'go-pgo': flag(
    `pprof for \`go build -pgo=FILE\`: only Go code, named as its compiler does (default file ${GO_PGO_FILE})`,
  ),
  output: text(
    'FILE',
    'where to; - is standard output (default flametap.pb.gz, .folded, .json, .html, .otlp)',
  ),
  mode: defaulted('MODE', parseMode, '600', 'who may read the file, as for chmod: 600, 640, 644'),
  'save-records': text('FILE', 'also keep the raw records, for --replay'),
  replay: text('FILE', 'make the profile from saved records instead of sampling'),
};
type RecordLine = ParsedLine<typeof options>;

const manual: Manual = {
  usage: ['flametap record [options]', 'flametap record [options] -- CMD ARGS…'],
  description: [
    'Samples CPU stacks of the whole machine, or of what the options choose, and writes one profile. With CMD, starts the command, samples it from its first instruction and stops when it ends; its output passes through (to standard error when the profile goes to standard output).',
    'Ctrl-C ends sampling, passes the signal on to CMD and writes what there is; a second Ctrl-C gives up without writing. When --duration ends before CMD does, CMD gets SIGTERM. Progress goes to standard error, the profile to a file that appears whole or not at all.',
  ],
  options,
  sections: [
    {
      title: 'Formats',
      lines: [
        'pprof       gzipped, for `go tool pprof`, Pyroscope and others',
        'folded      process;outermost;…;leaf COUNT, one stack per line',
        'json        one object: samples with their frames, and the tally',
        'flamegraph  one HTML file that needs no network',
        'otlp        an ExportProfilesServiceRequest of OpenTelemetry, as protobuf',
      ],
    },
    {
      title: 'Profile-guided optimisation of Go programs',
      lines: [
        'With --go-pgo, `go build` optimises by the profile as by one of runtime/pprof; nothing needs to',
        `be added to the program, and it may be stripped. A file ${GO_PGO_FILE} beside the main package is`,
        'taken by itself. Record minutes of real work: hot calls need thousands of samples.',
        'All Go programs that match are merged, and said; equal ones may be: the instances of a service.',
        'Merge profiles of several machines with `go tool pprof -proto FILES… > default.pgo`.',
      ],
    },
    {
      title: 'Environment',
      lines: [
        'DEBUGINFOD_URLS  debuginfod servers, separated by spaces, that are asked for debug',
        '                 information which this machine lacks; unset: nobody is asked',
      ],
    },
    EXIT_CODES,
  ],
  examples: [
    { does: 'the whole machine for 10 seconds, to flametap.pb.gz', line: 'flametap record' },
    {
      does: 'one run of a program, as a flame graph',
      line: 'flametap record --format flamegraph -- make -j4',
    },
    {
      does: 'a running server with its threads told apart',
      line: 'flametap record --pid 1234 --threads --duration 30s',
    },
    {
      does: 'the hottest stacks of PostgreSQL',
      line: "flametap record --comm postgres --format folded --output - | awk '{print $NF, $0}' | sort -rn | head",
    },
    {
      does: 'a profile of a Go service in production, and a build that profits from it',
      line: 'flametap record --go-pgo --pid 1234 --duration 5m && go build -pgo=default.pgo',
    },
    {
      does: 'for OpenTelemetry: recorded with --format otlp, sent to a Collector, or Pyroscope at port 4040',
      line: 'curl -H Content-Type:application/x-protobuf --data-binary @flametap.otlp HOST:4318/v1development/profiles',
    },
    {
      does: 'keep the records, make a profile of them later',
      line: 'flametap record --save-records run.records && flametap record --replay run.records',
    },
  ],
};

function parseMode(mode: string): number {
  if (!/^0?6[0246]{2}$/.test(mode))
    throw new UsageError(`'${mode}' is no mode of a file: write 600, 640 or 644`);
  return Number.parseInt(mode, 8);
}

function parseComm(name: string): string {
  if (Buffer.byteLength(name) > LONGEST_COMM)
    throw new UsageError(
      `'${name}' is longer than the ${LONGEST_COMM} bytes that the kernel keeps of a name: write '${Buffer.from(name).subarray(0, LONGEST_COMM).toString()}'`,
    );
  return name;
}

/** @throws UsageError for options that contradict each other */
function checkLine({ values, given, words, command }: RecordLine): void {
  if (words.length > 0)
    throw new UsageError(
      `'${words[0]}' is not an option; write -- before a command: flametap record -- ${words.join(' ')}`,
    );
  if (command?.length === 0) throw new UsageError('no command after --');
  const scopes = [
    ...['pid', 'comm', 'cgroup'].filter((name) => given.has(name)).map((name) => `--${name}`),
    ...(command ? ['-- CMD'] : []),
  ];
  if (scopes.length > 1)
    throw new UsageError(`${scopes.join(' and ')} exclude each other: give one of them`);
  if (values['no-children'] && !command && values.pid.length === 0)
    throw new UsageError('--no-children goes with --pid or -- CMD only');
  if (values['go-pgo'] && values.format !== 'pprof')
    throw new UsageError(`--go-pgo writes pprof: --format ${values.format} does not go with it`);
  if (values.ids && values.format !== 'folded')
    throw new UsageError(`--ids goes with --format folded; ${values.format} has the ids anyway`);
  if (values['go-pgo'] && values.threads)
    throw new UsageError('--go-pgo and --threads exclude each other: the compiler reads no labels');
  if (values.replay !== undefined) {
    const live = ['duration', 'hz', 'save-records', 'no-kernel'].find((name) => given.has(name));
    const clash = live === undefined ? scopes[0] : `--${live}`;
    if (clash !== undefined)
      throw new UsageError(`--replay reads saved records: ${clash} does not go with it`);
  }
}

/** @throws CommandError when a file cannot be opened */
function checkRecords({ values }: RecordLine): void {
  const { replay, 'save-records': records } = values;
  if (replay !== undefined) tryOpen('--replay', replay, 'r');
  if (records !== undefined) tryOpen('--save-records', records, 'w');
}

function tryOpen(option: string, path: string, mode: 'r' | 'w'): void {
  const found = statSync(path, { throwIfNoEntry: false });
  // Opening a FIFO would wait for its other end.
  if (found && !found.isFile()) throw new CommandError(`${option}: ${path} is not a file`);
  try {
    closeSync(openSync(path, mode, 0o600));
  } catch (error) {
    throw new CommandError(`${option}: cannot open ${path}: ${reasonOf(error)}`);
  }
}

function profilerOptions({ values }: RecordLine, pids: readonly number[]): ProfilerOptions {
  const { comm, cgroup, replay, 'save-records': saveRecords } = values;
  return {
    hz: values.hz,
    scope: {
      pids,
      followChildren: !values['no-children'],
      ...(comm === undefined ? {} : { comm }),
      ...(cgroup === undefined ? {} : { cgroupPath: cgroup }),
    },
    threads: values.threads,
    addresses: values.addresses,
    kernelStacks: !values['no-kernel'],
    maxDepth: MAX_DEPTH,
    ...(saveRecords === undefined ? {} : { saveRecords }),
    ...(replay === undefined ? {} : { replay }),
  };
}

/** The same warning is told once in this time. */
const WARNING_INTERVAL_MS = 10_000;

type Ending = 'command' | 'duration' | 'signal' | 'failure';

/** Waits until the recording is over, for whichever reason comes first. */
async function untilOver(
  duration: number | undefined,
  command: LaunchedCommand | undefined,
  stopped: Promise<NodeJS.Signals>,
  failed: Promise<Error>,
): Promise<Ending> {
  let timer: NodeJS.Timeout | undefined;
  const reasons: Promise<Ending>[] = [stopped.then(() => 'signal'), failed.then(() => 'failure')];
  if (command) reasons.push(command.ended.then(() => 'command'));
  if (duration !== undefined)
    reasons.push(
      new Promise((resolve) => {
        timer = setTimeout(() => resolve('duration'), duration);
      }),
    );
  const ending = await Promise.race(reasons);
  clearTimeout(timer);
  return ending;
}

/** Makes the command end: asks, asks firmly, then forces. */
async function endCommand(command: LaunchedCommand, first: NodeJS.Signals): Promise<void> {
  const escalation = [first, 'SIGTERM', 'SIGKILL'] as const;
  for (const signal of escalation) {
    // A second SIGINT makes many programs abort without cleaning up.
    if (signal !== 'SIGINT' || !terminalSignalsAll()) command.signal(signal);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), GRACE_MS);
    });
    const ended = await Promise.race([command.ended.then(() => true), late]);
    clearTimeout(timer);
    if (ended) return;
  }
}

/** SIGINT and the like: the first is a promise, the second gives up at once. */
function watchSignals({ onStopSignal }: Surroundings) {
  const first = Promise.withResolvers<NodeJS.Signals>();
  const second = Promise.withResolvers<never>();
  let count = 0;
  const unwatch = onStopSignal((signal) => {
    count += 1;
    if (count === 1) first.resolve(signal);
    else second.reject(new CommandError('given up; nothing was written'));
  });
  second.promise.catch(() => undefined);
  return { first: first.promise, second: second.promise, unwatch };
}

async function openDestination(
  { values }: RecordLine,
  surroundings: Surroundings,
): Promise<Output> {
  const format = FORMATS[values.format];
  const path = values.output ?? (values['go-pgo'] ? GO_PGO_FILE : format.file);
  if (path !== '-') return openOutput(path, values.mode);
  if (format.binary && surroundings.stdout.isTTY)
    throw new UsageError(
      `--output -: ${values.format} is binary and standard output is a terminal; write to a file or a pipe, or choose --format folded`,
    );
  return streamOutput(surroundings.stdout);
}

async function sample(
  line: RecordLine,
  surroundings: Surroundings,
  command: LaunchedCommand | undefined,
  problems: string[],
): Promise<Profile> {
  const { stderr } = surroundings;
  const signals = watchSignals(surroundings);
  let hideProgress = () => {};
  const failed = Promise.withResolvers<Error>();
  const warnings = new RepeatedWarnings({ intervalMs: WARNING_INTERVAL_MS });
  const work = async (): Promise<Profile> => {
    const options: ProfilerOptions = {
      ...profilerOptions(line, command ? [command.pid] : line.values.pid),
      onWaiting: (waiting) => void stderr.write(`flametap: ${waitingText(waiting)}\n`),
      onWarning: (cause, _fields, message) => {
        if (warnings.happened(cause) !== undefined)
          void stderr.write(`flametap: ${message}\n`).catch(() => undefined);
      },
      onFailure: failed.resolve,
    };
    const profiler: Profiler = await surroundings.startProfiler(options);
    void signals.first.then(() => profiler.hurry?.());
    // Names of Go code come from its own tables: nobody waits for debug information of others.
    if (line.values['go-pgo']) profiler.hurry?.();
    if (options.replay !== undefined) return profiler.stop();
    const duration =
      line.values.duration ?? (command ? undefined : parseDuration(DEFAULT_DURATION));
    const until = duration === undefined ? 'until the command ends' : formatDuration(duration);
    await stderr.write(`flametap: sampling at ${options.hz} Hz, ${until}\n`);
    hideProgress = showProgress(stderr, () => profiler.counts(), duration);
    command?.release();
    const ending = await untilOver(duration, command, signals.first, failed.promise);
    if (command && ending === 'signal') await endCommand(command, await signals.first);
    if (command && (ending === 'duration' || ending === 'failure'))
      await endCommand(command, 'SIGTERM');
    hideProgress();
    if (command)
      await stderr.write(`flametap: ${line.command?.[0]} ${endText(await command.ended)}\n`);
    const profile = await profiler.stop();
    problems.push(...(profiler.problems ?? []));
    return profile;
  };
  try {
    return await Promise.race([work(), signals.second]);
  } catch (error) {
    // Never leave the command waiting at its gate or running unwatched.
    command?.signal('SIGKILL');
    throw error;
  } finally {
    hideProgress();
    signals.unwatch();
  }
}

/** The file's pieces, and what to tell about them. */
function encode({ values }: RecordLine, profile: Profile) {
  if (!values['go-pgo']) {
    return { pieces: FORMATS[values.format].encode(profile, values), remarks: [] };
  }
  const { bytes, remarks } = goPgoFile(profile);
  return { pieces: [bytes], remarks };
}

async function run(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const line = parseLine(options, args);
  checkLine(line);
  checkTargets(line.values);
  checkRecords(line);
  const { stderr } = surroundings;
  const missing = missingTarget(line.values);
  if (missing !== undefined) await stderr.write(`flametap: ${missing}; waiting for one\n`);
  const output = await openDestination(line, surroundings);
  try {
    const toStream = line.values.output === '-';
    const command = line.command ? startCommand(line.command, toStream) : undefined;
    const problems: string[] = [];
    const profile = await sample(line, surroundings, command, problems);
    const nobody = profile.tally.taken === 0 ? missingTarget(line.values) : undefined;
    if (nobody !== undefined) throw new CommandError(`${nobody}; nothing was sampled or written`);
    const { pieces, remarks } = encode(line, profile);
    const size = await output.write(pieces);
    const { taken, exported } = profile.tally;
    const nothing = taken === 0 ? ': what was chosen did not use the CPU' : '';
    await stderr.write(`flametap: ${tallyText(profile.tally)}${nothing}\n`);
    await stderr.write(
      `flametap: written to ${output.name} (${line.values.format}, ${formatSize(size)})\n`,
    );
    const times = timingText(profile.tally);
    if (times !== undefined) await stderr.write(`flametap: ${times}\n`);
    const refused = problemsText(profile.tally);
    if (refused !== undefined) await stderr.write(`flametap: ${refused}\n`);
    for (const remark of remarks) await stderr.write(`flametap: ${remark}\n`);
    for (const problem of problems) await stderr.write(`flametap: ${problem}\n`);
    return problems.length === 0 && (exported > 0 || taken === 0) ? EXIT_DONE : EXIT_FAILED;
  } catch (error) {
    await output.abandon();
    throw error;
  }
}

export const recordCommand: Command = {
  name: 'record',
  summary: 'one profile of the machine, of processes, or of a command',
  manual,
  run,
};
