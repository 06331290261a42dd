/** Temporary files without a name, for what is too big to be kept in memory. */
import { randomUUID } from 'node:crypto';
import { constants, openSync, statfsSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { ParseError } from '../elf/source.ts';

/** open(2): an unnamed file, gone when its last descriptor is. x86 and arm64 agree on the number. */
export const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;
/** Part of a file system that is left to others. */
const FREE_SHARE = 0.1;

/**
 * Descriptor of an empty file in the first of the folders that has room for `size` bytes.
 * @throws ParseError `debug_no_space`
 */
export function spoolFile(folders: readonly string[], size: number): number {
  const failures: string[] = [];
  for (const folder of folders) {
    try {
      const { bavail, blocks, bsize } = statfsSync(folder);
      if (bavail * bsize - size > blocks * bsize * FREE_SHARE) return openUnnamed(folder);
      failures.push(`${folder} has no room for ${size} bytes`);
    } catch (cause) {
      failures.push(String(cause));
    }
  }
  throw new ParseError('debug_no_space', failures.join('; '));
}

function openUnnamed(folder: string): number {
  try {
    return openSync(folder, O_TMPFILE | constants.O_RDWR, 0o600);
  } catch {
    // Not every file system can do that.
  }
  const path = join(folder, `.flametap-${randomUUID()}`);
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | constants.O_NOFOLLOW;
  const fd = openSync(path, flags, 0o600);
  unlinkSync(path);
  return fd;
}

/** Writes a stream to a descriptor; more bytes than were claimed are an error. */
export class SpoolWriter extends Writable {
  written = 0;
  readonly #fd: number;
  readonly #limit: number;

  constructor(fd: number, limit: number) {
    super();
    this.#fd = fd;
    this.#limit = limit;
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    if (this.written + chunk.length > this.#limit) {
      done(new ParseError('section_compression', `more than the ${this.#limit} bytes claimed`));
      return;
    }
    try {
      for (let at = 0; at < chunk.length; ) {
        at += writeSync(this.#fd, chunk, at, chunk.length - at, this.written + at);
      }
    } catch (cause) {
      done(new ParseError('debug_no_space', String(cause), { cause }));
      return;
    }
    this.written += chunk.length;
    done();
  }
}
