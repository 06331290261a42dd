/** Keeps blocks of a section that is read here and there, in memory that is used again. */
import { type ByteSource, fill } from '../source.ts';

const BLOCK_SIZE = 64 << 10;

export class BlockSource implements ByteSource {
  readonly size: number;
  readonly #source: ByteSource;
  readonly #maximum: number;
  /** By number of the block; least recently used first. */
  readonly #blocks = new Map<number, Uint8Array>();
  #lastNumber = -1;
  #last: Uint8Array = new Uint8Array();

  /** Keeps at most `maximum` blocks of 64 KiB. */
  constructor(source: ByteSource, maximum: number) {
    this.#source = source;
    this.#maximum = maximum;
    this.size = source.size;
  }

  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.readInto(offset, bytes);
    return bytes;
  }

  readInto(offset: number, target: Uint8Array): void {
    let done = 0;
    while (done < target.length) {
      const number = Math.floor((offset + done) / BLOCK_SIZE);
      const start = offset + done - number * BLOCK_SIZE;
      const count = Math.min(BLOCK_SIZE - start, target.length - done);
      const block = this.#block(number);
      if (start + count > block.length) {
        // Not all of it is there: the source says so.
        fill(this.#source, offset, target);
        return;
      }
      target.set(block.subarray(start, start + count), done);
      done += count;
    }
  }

  #block(number: number): Uint8Array {
    if (number === this.#lastNumber) return this.#last;
    let block = this.#blocks.get(number);
    if (block === undefined) {
      block = this.#load(number);
    } else {
      this.#blocks.delete(number);
    }
    this.#blocks.set(number, block);
    this.#lastNumber = number;
    this.#last = block;
    return block;
  }

  #load(number: number): Uint8Array {
    const start = number * BLOCK_SIZE;
    const size = Math.max(Math.min(BLOCK_SIZE, this.size - start), 0);
    let block: Uint8Array | undefined;
    if (this.#blocks.size >= this.#maximum) {
      for (const [oldest, bytes] of this.#blocks) {
        this.#blocks.delete(oldest);
        if (bytes.length === size) block = bytes;
        break;
      }
    }
    block ??= new Uint8Array(size);
    this.#lastNumber = -1;
    fill(this.#source, start, block);
    return block;
  }
}
