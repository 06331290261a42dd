/** Telling a malformed entry, which is skipped, from a file that fails as a whole. */
import { ParseError } from './source.ts';

const FILE_REASONS: ReadonlySet<string> = new Set(['file_changed', 'read_failed', 'closed']);

/** The ParseError if it speaks of malformed contents; anything else is thrown on. */
export function malformed(error: unknown): ParseError {
  if (error instanceof ParseError && !FILE_REASONS.has(error.reason)) return error;
  throw error;
}
