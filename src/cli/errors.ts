/** Errors that a command ends with; each carries its exit code (README, "Exit codes"). */
export const EXIT_DONE = 0;
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
export const EXIT_MACHINE = 3;

/** The command line is wrong: the message names the option and what is allowed. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The command could not do its work: the message says what and why. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

export { errorCode, systemReason as reasonOf } from '../units/system-reason.ts';
