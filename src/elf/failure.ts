/** Telling a malformed entry, which is skipped, from a file that fails as a whole. */
import { ParseError } from './source.ts';

const FILE_REASONS: ReadonlySet<string> = new Set([
  'file_changed',
  'read_failed',
  'file_stale',
  'file_system_dead',
  'file_wait_refused',
  'closed',
]);

/** Whether it is the file that cannot be read, or is not what it was, rather than its contents. */
export const isFileFailure = (error: ParseError): boolean => FILE_REASONS.has(error.reason);

/** The ParseError if it speaks of malformed contents; anything else is thrown on, to whoever has the file. */
export function malformed(error: unknown): ParseError {
  if (error instanceof ParseError && !isFileFailure(error)) return error;
  throw error;
}
