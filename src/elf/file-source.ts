/** A regular file as a ByteSource, read on demand. */
import { closeSync, fstatSync, readSync } from 'node:fs';
import { type ByteSource, ParseError } from './source.ts';

const BLOCK_SIZE = 64 * 1024;
/** 512 KiB for an open file. Parsers walk three or four places at once: index, entries, text. */
const MAX_BLOCKS = 8;
/** Above this a single read is a parser's mistake: file contents are read in parts. */
const MAX_READ = 512 << 20;

export class FileSource implements ByteSource {
  /** As fstat saw it at construction. */
  readonly size: number;
  #fd: number;
  /** Blocks by number, least recently used first. */
  readonly #blocks = new Map<number, Uint8Array>();
  #lastNumber = -1;
  #lastBlock: Uint8Array = new Uint8Array();

  /**
   * Takes over `fd`, which close() closes. On an error it stays open.
   * @throws ParseError `not_regular` for devices, pipes, directories;
   *   `read_failed` when fstat fails.
   */
  constructor(fd: number) {
    const stat = attempt(() => fstatSync(fd));
    if (!stat.isFile()) throw new ParseError('not_regular', 'not a regular file');
    this.#fd = fd;
    this.size = stat.size;
  }

  /**
   * @throws ParseError `out_of_bounds`, `file_changed` (the file is shorter
   *   than it was), `read_failed`, `closed`.
   */
  read(offset: number, length: number): Uint8Array {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size && length <= MAX_READ)) {
      throw new ParseError(
        'out_of_bounds',
        `${length} bytes at ${offset} are outside the ${this.size} bytes of the file`,
      );
    }
    const number = Math.floor(offset / BLOCK_SIZE);
    const start = offset - number * BLOCK_SIZE;
    if (start + length <= BLOCK_SIZE) {
      return this.#block(number).subarray(start, start + length);
    }
    const bytes = new Uint8Array(length);
    this.#fill(bytes, offset);
    return bytes;
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    this.#blocks.clear();
    this.#lastNumber = -1;
    this.#lastBlock = new Uint8Array();
    closeSync(fd);
  }

  #block(number: number): Uint8Array {
    if (number === this.#lastNumber) return this.#lastBlock;
    let block = this.#blocks.get(number);
    if (block === undefined) {
      const start = number * BLOCK_SIZE;
      block = new Uint8Array(Math.min(BLOCK_SIZE, this.size - start));
      this.#fill(block, start);
      if (this.#blocks.size >= MAX_BLOCKS) {
        for (const oldest of this.#blocks.keys()) {
          this.#blocks.delete(oldest);
          break;
        }
      }
    } else {
      this.#blocks.delete(number);
    }
    this.#blocks.set(number, block);
    this.#lastNumber = number;
    this.#lastBlock = block;
    return block;
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
