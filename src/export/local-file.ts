/** A file that the exporter sends with, and that cannot be used now: it may be mended. */
import type { Failure } from './fault.ts';

export class LocalFileError extends Error {
  override readonly name = 'LocalFileError';
  readonly failure: Failure;

  /** @param key where the configuration names it, relative to the exporter */
  constructor(key: string, path: string, what: string) {
    super(`${path} ${what}`);
    this.failure = {
      reason: this.message,
      fault: 'local_file',
      mend: `put a file there that the agent can read, or change {${key}}`,
    };
  }
}
