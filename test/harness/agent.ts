/** `flametap agent` as an operator starts it: a file, a signal at the end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CLI } from './record.ts';

const START_MS = 120_000;

/** A line of its log. */
export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface RunningAgent {
  /** Of the page, with / at its end. */
  readonly url: string;
  readonly pid: number;
  /** So far. */
  readonly log: readonly LogLine[];
  /** How it ended, with the end of all that it wrote; undefined while it runs. */
  ended(): string | undefined;
  /** SIGTERM. @returns exit code, once all is put away */
  stop(): Promise<number | null>;
}

/**
 * @param folder gets the configuration file
 * @param configuration keys as in the file; the page listens on a free port
 */
export async function startAgent(folder: string, configuration: object): Promise<RunningAgent> {
  const file = join(folder, 'flametap.yaml');
  // JSON is YAML too.
  writeFileSync(file, JSON.stringify({ viewer: { listen: '127.0.0.1:0' }, ...configuration }));
  const child = spawn(CLI, ['agent', '--config', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  const closed = once(child, 'close') as Promise<[number | null]>;
  // Whatever ends us: nobody else would end it.
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  void closed.then(() => process.off('exit', kill));
  const log: LogLine[] = [];
  const opened = Promise.withResolvers<string>();
  let rest = '';
  let text = '';
  child.stderr.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (!line.startsWith('{')) continue;
      const entry = JSON.parse(line) as LogLine;
      log.push(entry);
      const url = /open (http:[^\s;]+)/.exec(entry.msg)?.[1];
      if (url) opened.resolve(url);
    }
  });
  const failed = (): void => opened.reject(new Error(`the agent did not start:\n${text}`));
  void closed.then(failed);
  const timer = setTimeout(() => {
    child.kill('SIGKILL');
    failed();
  }, START_MS);
  const url = await opened.promise;
  clearTimeout(timer);
  return {
    url,
    pid: child.pid!,
    log,
    ended() {
      const { exitCode, signalCode } = child;
      if (exitCode === null && signalCode === null) return undefined;
      return `${signalCode ?? exitCode}: ${text.slice(-2000)}`;
    },
    async stop() {
      child.kill('SIGTERM');
      const [code] = await closed;
      return code;
    },
  };
}

/** Sum of a field over the lines that tell of a profile. */
export const sumOfProfiles = (log: readonly LogLine[], field: 'taken' | 'exported'): number =>
  log.filter(({ msg }) => msg === 'profile').reduce((sum, line) => sum + Number(line[field]), 0);
