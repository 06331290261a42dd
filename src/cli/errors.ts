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

/** @returns the system's short code of a failed call, such as ENOSPC, or '' */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : '';
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EDQUOT: 'the disk quota is used up',
  EISDIR: 'it is a directory',
  ENOENT: 'no such file or directory',
  ENOSPC: 'no space left on the device',
  ENOTDIR: 'a part of the path is not a directory',
  EPERM: 'not permitted',
  EROFS: 'the file system is read-only',
};

/** @returns why a system call failed, in words where there are some */
export function reasonOf(error: unknown): string {
  return REASONS[errorCode(error)] ?? (error instanceof Error ? error.message : String(error));
}
