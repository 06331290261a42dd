/** How parsers get at bytes: they never open or read a file themselves. */

/**
 * Random access to the bytes of one file or memory image. Implementations may
 * read on demand; the returned array is only valid until the next call.
 */
export interface ByteSource {
  /** Total size in bytes. */
  readonly size: number;
  /**
   * Exactly `length` bytes at `offset`.
   * @throws ParseError (`out_of_bounds`) when the range is not inside the file
   *   or the file shrank meanwhile.
   */
  read(offset: number, length: number): Uint8Array;
  /**
   * Fills `target` with the bytes at `offset`, for who reads much and has memory
   * for it: read() may have to allocate. Use fill(), which does without too.
   */
  readInto?(offset: number, target: Uint8Array): void;
  /** Why nothing more can be read, once that is so: whoever read may have taken it for malformed contents. */
  readonly failure?: ParseError | undefined;
}

/**
 * Fills `target` with the bytes of `source` at `offset`.
 * @throws ParseError as read().
 */
export function fill(source: ByteSource, offset: number, target: Uint8Array): void {
  if (source.readInto === undefined) target.set(source.read(offset, target.length));
  else source.readInto(offset, target);
}

/** Why bytes of a stranger's file were refused. `reason` is a stable counter name. */
export class ParseError extends Error {
  readonly reason: string;
  constructor(reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ParseError';
    this.reason = reason;
  }
}

/** A ByteSource over bytes already in memory. */
export class MemorySource implements ByteSource {
  readonly size: number;
  readonly #bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.size = bytes.length;
  }
  read(offset: number, length: number): Uint8Array {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size)) {
      throw new ParseError(
        'out_of_bounds',
        `${length} bytes at ${offset} are outside the ${this.size} bytes there are`,
      );
    }
    return this.#bytes.subarray(offset, offset + length);
  }
}
