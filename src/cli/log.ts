/** The agent's log on standard error: for people on a terminal, JSON lines elsewhere. */
import pino from 'pino';
import pretty from 'pino-pretty';

export type Log = Pick<pino.Logger, 'info' | 'warn' | 'error' | 'level'>;

export function createLog(isTerminal: boolean, level = 'info'): Log {
  if (!isTerminal) return pino({ base: null, level }, pino.destination({ dest: 2, sync: true }));
  return pino(
    { base: null, level },
    pretty({ destination: 2, sync: true, translateTime: 'SYS:HH:MM:ss', colorize: true }),
  );
}
