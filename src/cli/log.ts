/** The agent's log on standard error: for people on a terminal, JSON lines elsewhere. */
import pino from 'pino';
import { prettyFactory } from 'pino-pretty';
import { PatientWriter, standardError, type Write } from './patient-writer.ts';

export interface Log extends Pick<pino.Logger, 'info' | 'warn' | 'error' | 'level'> {
  /** Resolves when all is written, or nobody reads. */
  end(limitMs?: number): Promise<void>;
}

/** At the end, for a reader that is slow. */
const END_MS = 1_000;
const WARN = 40;

export function createLog(
  isTerminal: boolean,
  level = 'info',
  write: Write = standardError(),
): Log {
  const readable = prettyFactory({ translateTime: 'SYS:HH:MM:ss', colorize: true });
  const written = (line: string): string => (isTerminal ? readable(line) : line);
  const writer = new PatientWriter(write, {
    dropped: (lines) =>
      written(
        `${JSON.stringify({ level: WARN, time: Date.now(), lines, msg: 'nobody read this log for a while: lines were dropped' })}\n`,
      ),
  });
  const log = pino({ base: null, level }, { write: (line) => writer.write(written(line)) });
  return Object.assign(log, { end: (limitMs = END_MS) => writer.end(limitMs) });
}

/** Node's own warnings become lines of the log; otherwise they are text on standard error. */
export function logWarnings(log: Pick<Log, 'warn'>): void {
  process.removeAllListeners('warning');
  process.on('warning', ({ name, message, code }: Error & { code?: string }) => {
    log.warn({ name, ...(code === undefined ? {} : { code }) }, `Node.js warns: ${message}`);
  });
}
