/** Names, files, lines and inlined calls of Go code, from the table that every Go binary carries. */
import { ParseError } from '../elf/source.ts';
import type { VirtualAddress } from '../units/units.ts';
import { cleanName } from './clean-name.ts';
import type { SourceLine, SymbolSource } from './source-line.ts';

/** What this needs of GoFunctions (src/elf/go-functions.ts). */
export interface GoLookup {
  /**
   * @param text applied to every name and path before it is kept.
   * @throws ParseError when the tables are broken at that place.
   */
  lookup(address: VirtualAddress, text: (raw: string) => string): readonly SourceLine[] | undefined;
  /** What it refused without failing as a whole, by reason. */
  readonly problems?: ReadonlyMap<string, number>;
}

/**
 * `name` is what Go's stack traces print (`main.Map[...]`), `systemName` the
 * linker's name with type arguments, which runtime/pprof writes as both names and
 * which profile-guided optimisation matches.
 */
export class GoSymbols implements SymbolSource {
  readonly kind = 'go';
  readonly #problems = new Map<string, number>();
  readonly #functions: GoLookup;

  constructor(functions: GoLookup) {
    this.#functions = functions;
  }

  get problems(): ReadonlyMap<string, number> {
    const all = new Map(this.#problems);
    for (const [reason, count] of this.#functions.problems ?? []) {
      all.set(reason, (all.get(reason) ?? 0) + count);
    }
    return all;
  }

  lookup(address: VirtualAddress): readonly SourceLine[] | undefined {
    try {
      const found = this.#functions.lookup(address, cleanName);
      return found?.at(-1)?.name === '' ? undefined : found;
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      this.#problems.set(error.reason, (this.#problems.get(error.reason) ?? 0) + 1);
      return undefined;
    }
  }
}
