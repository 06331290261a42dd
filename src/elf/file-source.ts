/** A regular file as a ByteSource, read on demand. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { BLOCK_SIZE, BlockCache } from './block-cache.ts';
import { type ByteSource, ParseError } from './source.ts';

/** Above this a single read is a parser's mistake: file contents are read in parts. */
const MAX_READ = 512 << 20;

export class FileSource implements ByteSource {
  /** As fstat saw it at construction. */
  readonly size: number;
  #fd: number;
  readonly #cache: BlockCache;
  readonly #owner: number;

  /**
   * Takes over `fd`, which close() closes. On an error it stays open. Whoever
   * keeps many files open shares one `cache` among them: of its own each would
   * hold up to 256 KiB.
   * @throws ParseError `not_regular` for devices, pipes, directories;
   *   `read_failed` when fstat fails.
   */
  constructor(fd: number, cache = new BlockCache()) {
    const stat = attempt(() => fstatSync(fd));
    if (!stat.isFile()) throw new ParseError('not_regular', 'not a regular file');
    this.#fd = fd;
    this.size = stat.size;
    this.#cache = cache;
    this.#owner = cache.owner();
  }

  /**
   * @throws ParseError `out_of_bounds`, `file_changed` (the file is shorter
   *   than it was), `read_failed`, `closed`.
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
   * A descriptor of its own of the same file, which the caller closes.
   * @throws ParseError `closed`, `read_failed`.
   */
  reopen(): number {
    if (this.#fd < 0) throw new ParseError('closed', 'the file was closed');
    return attempt(() => openSync(`/proc/self/fd/${this.#fd}`, constants.O_RDONLY));
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
    closeSync(fd);
  }

  readonly #load = (number: number): Uint8Array => {
    const start = number * BLOCK_SIZE;
    const block = new Uint8Array(Math.min(BLOCK_SIZE, this.size - start));
    this.#fill(block, start);
    return block;
  };

  #check(offset: number, length: number): void {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size && length <= MAX_READ)) {
      throw new ParseError(
        'out_of_bounds',
        `${length} bytes at ${offset} are outside the ${this.size} bytes of the file`,
      );
    }
  }

  #fill(bytes: Uint8Array, offset: number): void {
    if (this.#fd < 0) throw new ParseError('closed', 'the file was closed');
    let done = 0;
    while (done < bytes.length) {
      const count = attempt(() =>
        readSync(this.#fd, bytes, done, bytes.length - done, offset + done),
      );
      if (count === 0) throw new ParseError('file_changed', 'the file has become shorter');
      done += count;
    }
  }
}

function attempt<Result>(call: () => Result): Result {
  try {
    return call();
  } catch (cause) {
    throw new ParseError('read_failed', String(cause), { cause });
  }
}
