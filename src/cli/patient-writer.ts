/**
 * Writes lines to a descriptor whose reader may have stopped reading: whoever writes goes
 * on at once, what finds no room is kept for a while, and beyond a limit whole lines are
 * dropped and counted.
 */
import { constants, fstatSync, openSync, writeSync } from 'node:fs';

/** Some 5,000 lines. */
const MAX_WAITING_BYTES = 1 << 20;
/** Until the reader may have made room. */
const RETRY_MS = 100;

const STANDARD_ERROR = 2;
const PATH = `/proc/self/fd/${STANDARD_ERROR}`;
const FLAGS = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** As `writeSync` of node:fs. @throws Error with `code` EAGAIN when there is no room */
export type Write = (bytes: Uint8Array) => number;

export interface PatientWriterOptions {
  readonly maxBytes?: number;
  /** Makes the line that says how many were dropped. */
  dropped(lines: number): string;
}

export class PatientWriter {
  readonly #write: Write;
  readonly #options: PatientWriterOptions;
  readonly #maxBytes: number;
  readonly #waiting: Uint8Array[] = [];
  #bytes = 0;
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;
  #isGone = false;

  constructor(write: Write, options: PatientWriterOptions) {
    this.#write = write;
    this.#options = options;
    this.#maxBytes = options.maxBytes ?? MAX_WAITING_BYTES;
  }

  /** Never waits and never throws. @param line with its end */
  write(line: string): void {
    const bytes = Buffer.from(line);
    this.#flush();
    // Once there is a gap it is made whole before anything comes behind it.
    if (this.#dropped > 0 || this.#bytes + bytes.length > this.#maxBytes) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(bytes);
    this.#bytes += bytes.length;
    this.#flush();
  }

  /** Resolves when all is written, or the reader has not read for so long. */
  async end(limitMs: number): Promise<void> {
    const end = performance.now() + limitMs;
    for (;;) {
      this.#flush();
      if (this.#waiting.length === 0 || performance.now() >= end) break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    clearTimeout(this.#timer);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    try {
      this.#writeWaiting();
    } catch (cause) {
      // Nobody will read any more: an agent goes on without its log.
      this.#isGone ||= (cause as NodeJS.ErrnoException).code !== 'EAGAIN';
      if (this.#isGone) this.#forget();
      else this.#timer = setTimeout(() => this.#flush(), RETRY_MS).unref();
    }
  }

  #writeWaiting(): void {
    for (;;) {
      const [first] = this.#waiting;
      if (first) {
        const written = this.#write(first);
        this.#bytes -= written;
        if (written < first.length) this.#waiting[0] = first.subarray(written);
        else this.#waiting.shift();
      } else if (this.#dropped > 0) {
        const line = Buffer.from(this.#options.dropped(this.#dropped));
        this.#dropped = 0;
        this.#waiting.push(line);
        this.#bytes += line.length;
      } else {
        return;
      }
    }
  }

  #forget(): void {
    this.#waiting.length = 0;
    this.#bytes = 0;
    this.#dropped = 0;
  }
}

/**
 * Writes to standard error without waiting for room. A terminal or a pipe is opened anew:
 * whether it waits belongs to the open file, which a shell and other programs share with us.
 */
export function standardError(): Write {
  let fd = STANDARD_ERROR;
  try {
    const { mode } = fstatSync(STANDARD_ERROR);
    const type = mode & constants.S_IFMT;
    // A file always has room, and a socket Node itself has made one that does not wait.
    if (type === constants.S_IFIFO || type === constants.S_IFCHR) fd = openSync(PATH, FLAGS);
  } catch {
    // Another user's: then it is waited for.
  }
  return (bytes) => writeSync(fd, bytes);
}
