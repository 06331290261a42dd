/** Names, files and lines of Go code, from the table that every Go binary carries. */
import type { VirtualAddress } from '../units/units.ts';
import { cleanName } from './clean-name.ts';
import type { SourceLine, SymbolSource } from './source-line.ts';

/** What this needs of GoFunctions (src/elf/go-functions.ts). */
export interface GoLookup {
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
  readonly problems: ReadonlyMap<string, number> = new Map();
  readonly #functions: GoLookup;

  constructor(functions: GoLookup) {
    this.#functions = functions;
  }

  lookup(address: VirtualAddress): readonly SourceLine[] | undefined {
    const found = this.#functions.lookup(address);
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
}
