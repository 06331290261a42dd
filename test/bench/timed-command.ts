/** Commands whose own CPU time counts. */
import { performance } from 'node:perf_hooks';
import { execute } from '../harness/record.ts';

export interface Timed {
  readonly code: number;
  /** User and system seconds of the command and all that it waited for. */
  readonly userSeconds: number;
  readonly systemSeconds: number;
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
  readonly stdout: string;
  readonly stderr: string;
}

const seconds = (text: string): number => {
  const [minutes, rest] = text.split('m');
  return Number(minutes) * 60 + Number.parseFloat(rest!);
};

/** Runs a shell command line to its end and measures it with the shell's `times`, in steps of 10 ms. */
export async function timed(script: string, timeout = 300_000): Promise<Timed> {
  const started = performance.now();
  // the last line of stderr is the children's: `0m0.010s 0m0.020s`
  const wrapped = `{ ${script}\n}; code=$?; times >&2; exit $code`;
  const run = await execute(['sh', '-c', wrapped], {}, timeout);
  const lines = run.stderr.trimEnd().split('\n');
  const match = /^(\S+)s (\S+)s$/.exec(lines.at(-1) ?? '');
  if (match === null) throw new Error(`no times from: ${script}\n${run.stderr}`);
  const [userSeconds, systemSeconds] = [seconds(match[1]!), seconds(match[2]!)];
  return {
    code: run.code ?? -1,
    userSeconds,
    systemSeconds,
    cpuSeconds: userSeconds + systemSeconds,
    wallSeconds: (performance.now() - started) / 1000,
    stdout: run.stdout,
    stderr: lines.slice(0, -2).join('\n'),
  };
}
