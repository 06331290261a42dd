/** A part of another source, without copying it. */
import { type ByteSource, fill, ParseError } from './source.ts';

export class SliceSource implements ByteSource {
  readonly size: number;
  readonly #parent: ByteSource;
  readonly #start: number;

  /** @throws ParseError (`out_of_bounds`) when the part is not inside `parent`. */
  constructor(parent: ByteSource, start: number, size: number) {
    if (!(start >= 0 && size >= 0 && start + size <= parent.size)) {
      throw new ParseError(
        'out_of_bounds',
        `${size} bytes at ${start} are outside the ${parent.size} bytes there are`,
      );
    }
    this.#parent = parent;
    this.#start = start;
    this.size = size;
  }

  read(offset: number, length: number): Uint8Array {
    this.#check(offset, length);
    return this.#parent.read(this.#start + offset, length);
  }

  readInto(offset: number, target: Uint8Array): void {
    this.#check(offset, target.length);
    fill(this.#parent, this.#start + offset, target);
  }

  #check(offset: number, length: number): void {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size)) {
      throw new ParseError(
        'out_of_bounds',
        `${length} bytes at ${offset} are outside the ${this.size} bytes of this part`,
      );
    }
  }
}
