/** Counts of why something was refused, by reason. */
import { ParseError } from '../elf/source.ts';

export class Problems {
  readonly #counts = new Map<string, number>();

  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  count(reason: string): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1);
  }

  /** The result, or undefined when the bytes were refused. */
  guard<Result>(work: () => Result): Result | undefined {
    try {
      return work();
    } catch (cause) {
      if (!(cause instanceof ParseError)) throw cause;
      this.count(cause.reason);
      return undefined;
    }
  }
}
