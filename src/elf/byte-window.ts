/** A sliding copy of a part of a source, for parsers that walk it mostly forwards. */
import { type ByteSource, ParseError } from './source.ts';

const ALIGNMENT = 512;

export class ByteWindow {
  readonly source: ByteSource;
  /** Own memory: stays valid while other readers use the same file. */
  bytes: Uint8Array = new Uint8Array();
  #base = 0;
  #filled = 0;
  readonly #chunk: number;
  readonly #maximum: number;

  /** Holds `chunk` bytes, and up to `maximum` for a longer entry. */
  constructor(source: ByteSource, chunk: number, maximum: number) {
    this.source = source;
    this.#chunk = chunk;
    this.#maximum = maximum;
  }

  /**
   * Makes `length` bytes at `position` present and returns their index in
   * `bytes`, which may be another array after each call.
   * @throws ParseError `out_of_bounds`, `entry_too_big`.
   */
  load(position: number, length: number): number {
    const index = position - this.#base;
    if (index >= 0 && index + length <= this.#filled) return index;
    return this.#refill(position, length);
  }

  #refill(position: number, length: number): number {
    const size = this.source.size;
    if (!(position >= 0 && length >= 0 && position + length <= size)) {
      throw new ParseError(
        'out_of_bounds',
        `${length} bytes at ${position} are outside the ${size} bytes there are`,
      );
    }
    if (length > this.#maximum) {
      throw new ParseError('entry_too_big', `an entry of ${length} bytes at ${position}`);
    }
    let base = position;
    // Neighbours are often a little earlier: start at a round position when that costs nothing.
    if (this.#chunk >= 8 * ALIGNMENT) base -= position % ALIGNMENT;
    const needed = position + length - base;
    const capacity = Math.max(needed, this.#chunk);
    // Also shrinks again after a long entry: thousands of windows may be kept.
    if (capacity !== this.bytes.length) this.bytes = new Uint8Array(capacity);
    const count = Math.min(this.bytes.length, size - base);
    this.#filled = 0;
    this.bytes.set(this.source.read(base, count));
    this.#base = base;
    this.#filled = count;
    return position - base;
  }
}
