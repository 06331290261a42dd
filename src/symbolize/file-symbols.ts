/** All names there are for one file: its sources, best first, behind one cache. */
import type { ElfImage } from '../elf/image.ts';
import type { FrameType } from '../profile/model.ts';
import type { VirtualAddress } from '../units/units.ts';
import { type Demangler, frameTypeOf } from './demangle.ts';
import { ElfSymbols } from './elf-symbols.ts';
import { type GoLookup, GoSymbols } from './go-symbols.ts';
import {
  SOURCE_QUALITY,
  type SourceKind,
  type SourceLine,
  type SymbolSource,
} from './source-line.ts';

export interface SymbolizedAddress {
  readonly type: FrameType;
  /** Innermost inlined call first; empty = no name found. */
  readonly lines: readonly SourceLine[];
}

/** What another thread found out about an address: it ranks as its source does. */
export interface Learned {
  readonly kind: SourceKind;
  readonly lines: readonly SourceLine[];
}

/** Addresses remembered per file. A flush of a busy process asks for about 2,000. */
const MAX_CACHED = 8192;
/** Of their names: a hostile file has 4 KiB in each. */
const MAX_CHARACTERS = 1 << 20;

export class FileSymbols {
  readonly #sources: readonly SymbolSource[];
  readonly #maxCached: number;
  /** Least recently used first. */
  readonly #cache = new Map<VirtualAddress, SymbolizedAddress>();
  #characters = 0;

  /** @param sources In any order; they are asked by SOURCE_QUALITY. */
  constructor(sources: readonly SymbolSource[], maxCached = MAX_CACHED) {
    this.#sources = sources.toSorted((a, b) => rank(a.kind) - rank(b.kind));
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

  /**
   * @param address Of the file; for a return address one less (see SymbolSource).
   * @param learned Takes the place of what was answered before.
   */
  lookup(address: VirtualAddress, learned?: Learned): SymbolizedAddress {
    const known = this.#cache.get(address);
    if (known !== undefined && learned === undefined) {
      this.#cache.delete(address);
      this.#cache.set(address, known);
      return known;
    }
    const found = this.#find(address, learned);
    if (known !== undefined) this.#characters -= charactersOf(known);
    this.#cache.set(address, found);
    this.#characters += charactersOf(found);
    for (const [oldest, answer] of this.#cache) {
      if (this.#cache.size <= this.#maxCached && this.#characters <= MAX_CHARACTERS) break;
      this.#cache.delete(oldest);
      this.#characters -= charactersOf(answer);
    }
    return found;
  }

  /** Bytes of what is kept of the file to find names by, about. */
  get indexBytes(): number {
    return this.#sources.reduce((sum, { indexBytes = 0 }) => sum + indexBytes, 0);
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

  #find(address: VirtualAddress, learned: Learned | undefined): SymbolizedAddress {
    let best: Learned | undefined;
    for (const { kind, lines } of this.#answers(address, learned)) {
      if (lines === undefined || lines.length === 0) continue;
      // Debug information of assembly has lines but no functions: symbols name those.
      best = best === undefined ? { kind, lines } : { kind: best.kind, lines: named(best, lines) };
      if (best.lines.at(-1)!.name !== '') break;
    }
    if (best === undefined) return { type: 'native', lines: [] };
    // Inlined calls may come from another language; the frame is the outer function's.
    const type = best.kind === 'go' ? 'go' : frameTypeOf(best.lines.at(-1)!.systemName);
    return { type, lines: best.lines };
  }

  /** Of all sources, best first, each asked only when the answers before were not enough. */
  *#answers(
    address: VirtualAddress,
    learned: Learned | undefined,
  ): Generator<{ kind: SourceKind; lines: readonly SourceLine[] | undefined }> {
    let isOpen = learned !== undefined;
    for (const source of this.#sources) {
      if (isOpen && rank(learned!.kind) <= rank(source.kind)) {
        isOpen = false;
        yield learned!;
      }
      yield { kind: source.kind, lines: source.lookup(address) };
    }
    if (isOpen) yield learned!;
  }
}

const charactersOf = ({ lines }: SymbolizedAddress): number =>
  lines.reduce(
    (sum, { name, systemName, file }) => sum + name.length + systemName.length + file.length,
    0,
  );

const rank = (kind: SourceKind): number => SOURCE_QUALITY.indexOf(kind);

/** The lines with the outermost function called as a symbol calls it. */
function named({ lines }: Learned, symbol: readonly SourceLine[]): readonly SourceLine[] {
  const { name, systemName, unnamed } = symbol.at(-1)!;
  const outermost = { ...lines.at(-1)!, name, systemName };
  return [...lines.slice(0, -1), unnamed ? { ...outermost, unnamed } : outermost];
}
