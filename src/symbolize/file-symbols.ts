/** All names there are for one file: its sources, best first, behind one cache. */
import type { ElfImage } from '../elf/image.ts';
import type { FrameType } from '../profile/model.ts';
import type { VirtualAddress } from '../units/units.ts';
import { type Demangler, frameTypeOf } from './demangle.ts';
import { ElfSymbols } from './elf-symbols.ts';
import { type GoLookup, GoSymbols } from './go-symbols.ts';
import { SOURCE_QUALITY, type SourceLine, type SymbolSource } from './source-line.ts';

export interface SymbolizedAddress {
  readonly type: FrameType;
  /** Innermost inlined call first; empty = no name found. */
  readonly lines: readonly SourceLine[];
}

/** Addresses remembered per file. A flush of a busy process asks for about 2,000. */
const MAX_CACHED = 8192;

export class FileSymbols {
  readonly #sources: readonly SymbolSource[];
  readonly #maxCached: number;
  /** Least recently used first. */
  readonly #cache = new Map<VirtualAddress, SymbolizedAddress>();

  /** @param sources In any order; they are asked by SOURCE_QUALITY. */
  constructor(sources: readonly SymbolSource[], maxCached = MAX_CACHED) {
    this.#sources = sources.toSorted(
      (a, b) => SOURCE_QUALITY.indexOf(a.kind) - SOURCE_QUALITY.indexOf(b.kind),
    );
    this.#maxCached = maxCached;
  }

  /**
   * What a file itself has: Go's function table when given, then its symbol tables.
   * @param go GoFunctions of the same file, undefined when it is not a Go binary.
   */
  static of(image: ElfImage, demangle: Demangler, go?: GoLookup): FileSymbols {
    const symbols = ElfSymbols.read(image, demangle);
    return new FileSymbols(go === undefined ? [symbols] : [new GoSymbols(go), symbols]);
  }

  /** @param address Of the file; for a return address one less (see SymbolSource). */
  lookup(address: VirtualAddress): SymbolizedAddress {
    const known = this.#cache.get(address);
    if (known !== undefined) {
      this.#cache.delete(address);
      this.#cache.set(address, known);
      return known;
    }
    const found = this.#find(address);
    this.#cache.set(address, found);
    if (this.#cache.size > this.#maxCached) {
      for (const oldest of this.#cache.keys()) {
        this.#cache.delete(oldest);
        break;
      }
    }
    return found;
  }

  /** Entries refused by all sources so far, by reason. */
  problems(): ReadonlyMap<string, number> {
    const all = new Map<string, number>();
    for (const source of this.#sources) {
      for (const [reason, count] of source.problems) {
        all.set(reason, (all.get(reason) ?? 0) + count);
      }
    }
    return all;
  }

  #find(address: VirtualAddress): SymbolizedAddress {
    for (const source of this.#sources) {
      const lines = source.lookup(address);
      if (lines === undefined || lines.length === 0) continue;
      // Inlined calls may come from another language; the frame is the outer function's.
      const type = source.kind === 'go' ? 'go' : frameTypeOf(lines.at(-1)!.systemName);
      return { type, lines };
    }
    return { type: 'native', lines: [] };
  }
}
