/** Finds the command, runs it, and turns what it throws into a message and an exit code. */
import { MachineError } from '../agent/machine-error.ts';
import { RecordingError } from '../capture/recording.ts';
import { ConfigError, problemText } from '../config/problem.ts';
import { suggestion } from '../config/suggestion.ts';
import type { Command, Surroundings } from './command.ts';
import {
  CommandError,
  EXIT_DONE,
  EXIT_FAILED,
  EXIT_MACHINE,
  EXIT_USAGE,
  UsageError,
} from './errors.ts';
import { versionOf } from './installation.ts';
import { columns, manualText } from './manual.ts';

function overview(commands: readonly Command[]): string {
  return [
    'Usage: flametap COMMAND [options]',
    '',
    'Profiles CPU time on Linux with eBPF: all processes, real function names.',
    '',
    'Commands:',
    ...columns(commands.map(({ name, summary }) => [name, summary])),
    '',
    'Options:',
    ...columns([
      ['--help', 'this text; after a command, its manual'],
      ['--version', 'the version'],
    ]),
    '',
    'Examples:',
    '  # a live flame graph of the machine at http://127.0.0.1:7099',
    '  flametap agent',
    '  # one run of a program, for `go tool pprof`',
    '  flametap record -- some-program',
    '',
  ].join('\n');
}

/** Wants help: `--help` before any `--`, so that a command's own --help stays its own. */
function wantsHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? args.length : end).some((arg) => arg === '--help' || arg === '-h');
}

/**
 * @param args without Node and script
 * @param root folder with package.json
 * @returns exit code
 */
export async function dispatch(
  commands: readonly Command[],
  args: readonly string[],
  root: string,
  surroundings: Surroundings,
): Promise<number> {
  const { stdout, stderr } = surroundings;
  const [name, ...rest] = args;
  const command = commands.find((one) => one.name === name);
  try {
    if (name === undefined) {
      await stderr.write(overview(commands));
      return EXIT_USAGE;
    }
    if (command) {
      if (!wantsHelp(rest)) return await command.run(rest, surroundings);
      await stdout.write(manualText(command.manual));
      return EXIT_DONE;
    }
    if (name === '--version' || name === '-V') await stdout.write(`flametap ${versionOf(root)}\n`);
    else if (name === '--help' || name === '-h' || name === 'help')
      await stdout.write(helpFor(commands, rest[0]));
    else
      throw new UsageError(
        `unknown ${name.startsWith('-') ? 'option' : 'command'} '${name}'${suggestion(name, [
          ...commands.map((one) => one.name),
          '--help',
          '--version',
        ])}`,
      );
    return EXIT_DONE;
  } catch (error) {
    return report(error, command?.name, surroundings);
  }
}

function helpFor(commands: readonly Command[], name: string | undefined): string {
  const command = commands.find((one) => one.name === name);
  return command ? manualText(command.manual) : overview(commands);
}

async function report(
  error: unknown,
  command: string | undefined,
  { stderr }: Surroundings,
): Promise<number> {
  const say = (line: string) => stderr.write(`flametap: ${line}\n`).catch(() => undefined);
  if (error instanceof UsageError) {
    await say(error.message);
    await say(`see flametap ${command === undefined ? '' : `${command} `}--help`);
    return EXIT_USAGE;
  }
  if (error instanceof ConfigError) {
    for (const problem of error.problems) await say(problemText(problem));
    return EXIT_USAGE;
  }
  if (error instanceof MachineError) {
    await say(error.message);
    await say('run `flametap doctor` to see what this machine allows and how to mend it');
    return EXIT_MACHINE;
  }
  if (error instanceof CommandError || error instanceof RecordingError) await say(error.message);
  else {
    // Not foreseen: the stack is what a bug report needs.
    await say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  return EXIT_FAILED;
}
