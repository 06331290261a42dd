/** Starts the command of `record -- CMD` and holds it back until sampling runs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Writable } from 'node:stream';
import { CommandError, reasonOf } from './errors.ts';

export interface CommandEnd {
  /** Exit code, or null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface LaunchedCommand {
  /** Stays the same when the command begins. */
  readonly pid: number;
  /** Lets the command begin. */
  release(): void;
  signal(signal: NodeJS.Signals): void;
  readonly ended: Promise<CommandEnd>;
}

export type StartCommand = (argv: readonly string[], stdoutToStderr: boolean) => LaunchedCommand;

/**
 * The shell waits for a line on descriptor 3, then becomes the command under the
 * same pid. Should we die before, its read ends without a line and nothing runs.
 */
const HOLD = 'read -r go <&3 || exit 125; exec 3<&-; exec "$@"';

/** @throws CommandError when there is no such program */
function checkProgram(program: string): void {
  const places = program.includes('/')
    ? [program]
    : (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder || '.', program));
  let reason = 'not found in PATH';
  for (const place of places) {
    try {
      accessSync(place, constants.X_OK);
      if (statSync(place).isFile()) return;
      reason = 'it is not a file';
    } catch (error) {
      if (program.includes('/')) reason = reasonOf(error);
    }
  }
  throw new CommandError(`cannot run '${program}': ${reason}`);
}

/**
 * @param argv program and arguments; not empty
 * @param stdoutToStderr when our own standard output carries the profile
 * @throws CommandError when it cannot be run
 */
export const startCommand: StartCommand = (argv, stdoutToStderr) => {
  checkProgram(argv[0] ?? '');
  let child: ChildProcess;
  try {
    child = spawn('/bin/sh', ['-c', HOLD, 'flametap', ...argv], {
      stdio: ['inherit', stdoutToStderr ? 2 : 'inherit', 'inherit', 'pipe'],
    });
  } catch (error) {
    throw new CommandError(`cannot run '${argv[0]}': ${reasonOf(error)}`);
  }
  const { pid } = child;
  const ended = new Promise<CommandEnd>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    child.once('error', () => resolve({ code: 127, signal: null }));
  });
  if (pid === undefined) throw new CommandError(`cannot run '${argv[0]}': /bin/sh did not start`);
  const gate = child.stdio[3] as Writable;
  // The reader may be gone already; its end is told by `ended`.
  gate.on('error', () => undefined);
  return {
    pid,
    release: () => void gate.end('go\n'),
    signal: (signal) => void child.kill(signal),
    ended,
  };
};

/** @returns `exited with 3` or `was ended by SIGKILL` */
export function endText(end: CommandEnd): string {
  return end.signal === null ? `exited with ${end.code}` : `was ended by ${end.signal}`;
}

/**
 * Whether we are a terminal's foreground group: Ctrl-C then reaches the command
 * without our help, because it shares the group.
 */
export function terminalSignalsAll(): boolean {
  try {
    const stat = readFileSync('/proc/self/stat', 'latin1');
    // After the name in parentheses: state, parent, group, session, terminal, foreground group.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[2] === fields[5];
  } catch {
    return false;
  }
}
