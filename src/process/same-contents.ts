/** Whether files are equal, within what finding that out may cost. */
import { isFileFailure } from '../elf/failure.ts';
import { type ByteSource, fill, ParseError } from '../elf/source.ts';

export interface CompareLimits {
  /** Read of each file at once: a large program (Node.js has 120 MB) in the second container that runs it. */
  readonly burstBytes: number;
  /** And in the long run: 4 MiB take 2 ms. */
  readonly bytesPerSecond: number;
}

const LIMITS: CompareLimits = { burstBytes: 128 << 20, bytesPerSecond: 4 << 20 };
const CHUNK = 64 << 10;

/**
 * Two files of equal content share tables and names. Nothing is lost but memory when
 * they are not found to be equal, so that whoever makes huge files in a loop gains nothing.
 */
export class SameContents {
  readonly #limits: CompareLimits;
  readonly #clock: () => number;
  #left: number;
  #since: number;

  /** @param clock milliseconds that never go back */
  constructor(clock: () => number, limits = LIMITS) {
    this.#limits = limits;
    this.#clock = clock;
    this.#left = limits.burstBytes;
    this.#since = clock();
  }

  /**
   * Undefined when it would cost too much to know.
   * @throws ParseError when `a` cannot be read
   */
  areEqual(a: ByteSource, b: ByteSource): boolean | undefined {
    if (a.size !== b.size) return false;
    const now = this.#clock();
    const { burstBytes, bytesPerSecond } = this.#limits;
    const gained = ((now - this.#since) / 1000) * bytesPerSecond;
    this.#left = Math.min(burstBytes, this.#left + gained);
    this.#since = now;
    if (a.size > this.#left) return undefined;
    const chunks = [new Uint8Array(CHUNK), new Uint8Array(CHUNK)] as const;
    for (let at = 0; at < a.size; at += CHUNK) {
      const length = Math.min(CHUNK, a.size - at);
      const [one, other] = chunks.map((chunk) => chunk.subarray(0, length)) as [
        Uint8Array,
        Uint8Array,
      ];
      this.#left -= length;
      fill(a, at, one);
      if (!isReadable(() => fill(b, at, other)) || Buffer.compare(one, other) !== 0) return false;
    }
    return true;
  }
}

function isReadable(read: () => void): boolean {
  try {
    read();
    return true;
  } catch (cause) {
    if (cause instanceof ParseError && isFileFailure(cause)) return false;
    throw cause;
  }
}
