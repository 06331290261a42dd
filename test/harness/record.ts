/** Runs `flametap record --format json` the way a user would and reads what it wrote. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonSample } from './chains.ts';
import { type ProgramReport, REPOSITORY, readReports } from './programs.ts';

/** The CLI under test. FLAMETAP_CLI names another one, as peers do that mimic its contract. */
export const CLI = process.env.FLAMETAP_CLI ?? join(REPOSITORY, 'flametap');

export interface JsonTally {
  readonly taken: number;
  readonly exported: number;
  readonly lost: Readonly<Record<string, number>>;
  readonly truncated: Readonly<Record<string, number>>;
  readonly deferred: Readonly<Record<string, number>>;
  readonly labels_lost: Readonly<Record<string, number>>;
  readonly frames_named: number;
  readonly frames_unnamed: number;
  readonly timing_ms: Readonly<Record<string, number>>;
  readonly problems: Readonly<Record<string, number>>;
}

export interface Recording {
  readonly samples: readonly JsonSample[];
  readonly tally: JsonTally;
  /** What the test programs under it reported. */
  readonly reports: readonly ProgramReport[];
  readonly hz: number;
  /** Time that the hypervisor gave to others meanwhile, all CPUs. */
  readonly stolenSeconds: number;
}

export interface RecordOptions {
  readonly hz?: number;
  /** Options of `record` such as `--pid N` or `--duration 5s`. */
  readonly options?: readonly string[];
  /** A command to start and profile until it ends. */
  readonly command?: readonly string[];
  /** Runs while the recording runs, some time after it began. */
  readonly during?: () => Promise<void>;
  /** Begins once sampling has; Ctrl-C ends the recording when it resolves, in place of `--duration`. */
  readonly until?: () => Promise<void>;
  /** Runs once the profile is written: the command may have to wait for it before it ends. */
  readonly written?: () => Promise<void>;
  /** For the command. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** Exit code and output of a finished command. */
export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** For ever, or until the runner's own limit, less what tells the reason. */
const TIMEOUT_MS = 500_000;

/**
 * Runs a command to its end. Never rejects for an exit code.
 * @param timeout milliseconds until it is killed
 * @param onError gets the child and what it says on standard error so far
 */
export function execute(
  command: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  timeout = TIMEOUT_MS,
  onError: (child: ChildProcess, said: string) => void = () => {},
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0]!, command.slice(1), {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout,
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
      onError(child, stderr);
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (signal === 'SIGTERM')
        stderr += `\n${command[0]} did not end within ${timeout} ms: ${signal}`;
      resolve({ code, stdout, stderr });
    });
  });
}

/** Stolen seconds since boot: no task is charged for them, though ticks may fall into them. */
function stolenSeconds(): number {
  const fields = readFileSync('/proc/stat', 'utf8').split('\n')[0]!.trim().split(/ +/);
  return Number(fields[8] ?? 0) / 100;
}

/** Sends Ctrl-C once sampling has begun and `until` has resolved, or failed. */
function endedWhen(until: () => Promise<void>) {
  let waiting: Promise<void> | undefined;
  return {
    onError(child: ChildProcess, said: string): void {
      if (waiting || !said.includes('sampling at')) return;
      waiting = until().finally(() => child.kill('SIGINT'));
      waiting.catch(() => {}); // told by reached()
    },
    /** @throws what `until` threw */
    reached: async (): Promise<void> => waiting,
  };
}

/**
 * One profile as JSON.
 * @throws Error with the CLI's own words when it fails or writes nothing.
 */
export async function record(options: RecordOptions): Promise<Recording> {
  const folder = mkdtempSync(join(tmpdir(), 'record-'));
  const hz = options.hz ?? 99;
  const output = join(folder, 'profile.json');
  const reports = join(folder, 'reports');
  try {
    const args = ['record', '--format', 'json', '--output', output, '--hz', String(hz)];
    args.push(...(options.options ?? []));
    if (options.until) args.push('--duration', `${TIMEOUT_MS}ms`);
    if (options.command) args.push('--', ...options.command);
    const stolen = stolenSeconds();
    const ending = options.until && endedWhen(options.until);
    const environment = { TEST_REPORT: reports, ...options.environment };
    const running = execute([CLI, ...args], environment, TIMEOUT_MS, ending?.onError);
    const during = options.during?.();
    if (options.written) {
      const { written } = options;
      const ended = running.then(() => true);
      while (!existsSync(output) && !(await Promise.race([ended, pause(100)])));
      await written();
    }
    const finished = await running;
    await during;
    await ending?.reached();
    if (finished.code !== 0 || !existsSync(output)) {
      const words = finished.stderr.slice(-2000);
      throw new Error(`flametap ${args.join(' ')} ended with ${finished.code}\n${words}`);
    }
    const profile = JSON.parse(readFileSync(output, 'utf8')) as Pick<
      Recording,
      'samples' | 'tally'
    >;
    return {
      samples: profile.samples,
      tally: profile.tally,
      reports: readReports(reports),
      hz,
      stolenSeconds: stolenSeconds() - stolen,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Waits. Milliseconds. */
export const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Samples of one process. */
export const ofPid = (recording: Recording, pid: number): JsonSample[] =>
  recording.samples.filter((sample) => sample.pid === pid);

export const countOf = (samples: readonly JsonSample[]): number =>
  samples.reduce((sum, sample) => sum + sample.count, 0);
