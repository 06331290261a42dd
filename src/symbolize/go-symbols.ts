/** Names, files and lines of Go code, from the table that every Go binary carries. */
import { ParseError } from '../elf/source.ts';
import type { VirtualAddress } from '../units/units.ts';
import { cleanName } from './clean-name.ts';
import type { SourceLine, SymbolSource } from './source-line.ts';

/** What this needs of GoFunctions (src/elf/go-functions.ts). */
export interface GoLookup {
  /** @throws ParseError when the tables are broken at that place. */
  lookup(address: VirtualAddress):
    | {
        readonly name: string;
        readonly file: string;
        readonly line: number;
        readonly startLine: number;
      }
    | undefined;
}

export class GoSymbols implements SymbolSource {
  readonly kind = 'go';
  readonly #problems = new Map<string, number>();
  readonly #functions: GoLookup;

  constructor(functions: GoLookup) {
    this.#functions = functions;
  }

  get problems(): ReadonlyMap<string, number> {
    return this.#problems;
  }

  lookup(address: VirtualAddress): readonly SourceLine[] | undefined {
    const found = this.#find(address);
    if (found === undefined || found.name === '') return undefined;
    const name = cleanName(found.name);
    return [
      {
        name,
        systemName: name,
        file: cleanName(found.file),
        line: found.line,
        column: 0,
        startLine: found.startLine,
      },
    ];
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
}
