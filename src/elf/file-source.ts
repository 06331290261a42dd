/** A regular file as a ByteSource, read on demand. */
import { createHash } from 'node:crypto';
import { BLOCK_SIZE, BlockCache } from './block-cache.ts';
import { DeadFileSystem, directAccess, type FileAccess, type FileState } from './file-access.ts';
import { type FileIdentity, hasSameTimes, isSameFile } from './file-identity.ts';
import { type ByteSource, ParseError } from './source.ts';

/** Above this a single read is a parser's mistake: file contents are read in parts. */
const MAX_READ = 512 << 20;
/** Of the head and of the tail: the ELF header and mostly the build id, and the section headers. */
const EDGE = 4096;

export class FileSource implements ByteSource {
  /** At construction. */
  readonly size: number;
  #fd: number;
  readonly #cache: BlockCache;
  readonly #access: FileAccess;
  readonly #owner: number;
  #state: FileState;
  #identity: FileIdentity | undefined;
  #failure: ParseError | undefined;

  /**
   * Takes over `fd`, which close() closes. On an error it stays open. Whoever
   * keeps many files open shares one `cache` among them: of its own each would
   * hold up to 256 KiB.
   * @throws ParseError `not_regular` for devices, pipes, directories;
   *   `read_failed`, `file_system_dead` when it cannot be looked at.
   */
  constructor(fd: number, cache = new BlockCache(), access = directAccess) {
    this.#access = access;
    this.#state = attempt(() => access.state(fd));
    if (!this.#state.isRegular) throw new ParseError('not_regular', 'not a regular file');
    this.#fd = fd;
    this.size = this.#state.size;
    this.#cache = cache;
    this.#owner = cache.owner();
  }

  /** As it was looked at last. */
  get state(): FileState {
    return this.#state;
  }

  /**
   * Why nothing can be read from it any more: `file_changed`, `read_failed`, `file_stale`,
   * `file_system_dead`. It stays so: what was read before and what comes after would not
   * be of one file.
   */
  get failure(): ParseError | undefined {
    return this.#failure;
  }

  /**
   * Remembers by what the file is known again when only its times have changed, as those
   * of one that is removed or touched do.
   * @throws ParseError as read().
   */
  identify(hasBuildId: boolean): FileIdentity {
    if (this.#identity) return this.#identity;
    const edges = this.#edges();
    this.#verify();
    this.#identity = { state: this.#state, edges, hasBuildId };
    return this.#identity;
  }

  /** Whether it is still what it was when it was opened; asks the file system. */
  isUnchanged(): boolean {
    try {
      this.#verify();
      return true;
    } catch (cause) {
      if (cause instanceof ParseError) return false;
      throw cause;
    }
  }

  /**
   * @throws ParseError `out_of_bounds`; `file_changed` (another size, or another time
   *   of modification), `read_failed`, `file_stale`, `file_system_dead`, `closed`.
   */
  read(offset: number, length: number): Uint8Array {
    this.#check(offset, length);
    const number = Math.floor(offset / BLOCK_SIZE);
    const start = offset - number * BLOCK_SIZE;
    if (start + length <= BLOCK_SIZE) {
      return this.#cache.get(this.#owner, number, this.#load).subarray(start, start + length);
    }
    const bytes = new Uint8Array(length);
    this.#fill(bytes, offset);
    return bytes;
  }

  /**
   * A descriptor of its own of the same file, which the caller gives to release().
   * @throws ParseError `closed`, `read_failed`, `file_system_dead`.
   */
  reopen(): number {
    if (this.#fd < 0) throw new ParseError('closed', 'the file was closed');
    return attempt(() => this.#access.reopen(this.#fd));
  }

  /** Closes what reopen() gave. */
  release(fd: number): void {
    this.#access.close(fd);
  }

  /** Past the blocks that are kept. @throws ParseError as read(). */
  readInto(offset: number, target: Uint8Array): void {
    this.#check(offset, target.length);
    this.#fill(target, offset);
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    this.#cache.drop(this.#owner);
    this.#access.close(fd);
  }

  readonly #load = (number: number): Uint8Array => {
    const start = number * BLOCK_SIZE;
    const block = new Uint8Array(Math.min(BLOCK_SIZE, this.size - start));
    this.#fill(block, start);
    return block;
  };

  #check(offset: number, length: number): void {
    if (this.#failure) throw this.#failure;
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size && length <= MAX_READ)) {
      throw new ParseError(
        'out_of_bounds',
        `${length} bytes at ${offset} are outside the ${this.size} bytes of the file`,
      );
    }
  }

  #fill(bytes: Uint8Array, offset: number): void {
    this.#bytes(bytes, offset);
    // Afterwards: then what was read is of the file as it was opened.
    this.#verify();
  }

  #bytes(bytes: Uint8Array, offset: number): void {
    const count = this.#attempt(() => this.#access.read(this.#fd, bytes, offset));
    if (count < bytes.length) this.#fail('file_changed', 'the file has become shorter');
  }

  #verify(): void {
    if (this.#failure) throw this.#failure;
    const now = this.#attempt(() => this.#access.state(this.#fd));
    if (hasSameTimes(now, this.#state)) return;
    const known = this.#identity;
    if (known && now.size === known.state.size) {
      const identity = { ...known, state: now, edges: this.#edges() };
      if (isSameFile(known, identity)) {
        this.#state = now;
        this.#identity = identity;
        return;
      }
    }
    this.#fail('file_changed', 'the file was written to');
  }

  #edges(): string {
    const edge = new Uint8Array(Math.min(EDGE, this.size));
    const hash = createHash('sha1');
    for (const offset of [0, this.size - edge.length]) {
      this.#bytes(edge, offset);
      hash.update(edge);
    }
    return hash.digest('base64');
  }

  #attempt<Result>(call: () => Result): Result {
    if (this.#fd < 0) throw new ParseError('closed', 'the file was closed');
    try {
      return attempt(call);
    } catch (cause) {
      this.#failure = cause as ParseError;
      throw cause;
    }
  }

  #fail(reason: string, message: string): never {
    this.#failure = new ParseError(reason, message);
    throw this.#failure;
  }
}

function attempt<Result>(call: () => Result): Result {
  try {
    return call();
  } catch (cause) {
    throw fileFailure(cause);
  }
}

/** What a failure of FileAccess says of the file. */
export function fileFailure(cause: unknown): ParseError {
  if (cause instanceof DeadFileSystem) {
    return new ParseError(cause.reason, cause.message, { cause });
  }
  const isStale = (cause as NodeJS.ErrnoException).code === 'ESTALE';
  return new ParseError(isStale ? 'file_stale' : 'read_failed', String(cause), { cause });
}
