/** Names, files, lines and inlined calls of Go code, from the table that every Go binary carries. */
import { ParseError } from '../elf/source.ts';
import type { VirtualAddress } from '../units/units.ts';
import { cleanName } from './clean-name.ts';
import type { SourceLine, SymbolSource } from './source-line.ts';

/** Cleaned texts remembered: look-ups give the same few. */
const MAX_CLEANED = 16384;

/** What this needs of GoFunctions (src/elf/go-functions.ts). */
export interface GoLookup {
  /** @throws ParseError when the tables are broken at that place. */
  lookup(address: VirtualAddress):
    | readonly {
        readonly name: string;
        readonly symbolName: string;
        readonly file: string;
        readonly line: number;
        readonly startLine: number;
      }[]
    | undefined;
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
  readonly #cleaned = new Map<string, string>();

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
    const found = this.#find(address);
    if (found === undefined || found.at(-1)?.name === '') return undefined;
    return found.map(({ name, symbolName, file, line, startLine }) => ({
      name: this.#clean(name),
      systemName: this.#clean(symbolName),
      file: this.#clean(file),
      line,
      column: 0,
      startLine,
    }));
  }

  #find(address: VirtualAddress): ReturnType<GoLookup['lookup']> {
    try {
      return this.#functions.lookup(address);
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      this.#problems.set(error.reason, (this.#problems.get(error.reason) ?? 0) + 1);
      return undefined;
    }
  }

  #clean(text: string): string {
    const known = this.#cleaned.get(text);
    if (known !== undefined) return known;
    if (this.#cleaned.size >= MAX_CLEANED) this.#cleaned.clear();
    const cleaned = cleanName(text);
    this.#cleaned.set(text, cleaned);
    return cleaned;
  }
}
