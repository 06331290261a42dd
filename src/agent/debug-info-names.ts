/** Names of one file from debug information: its own, a separate file's, a downloaded one's. */
import type {
  DebugCandidate,
  Downloads,
  SearchedBinary,
  SearchWatch,
} from '../debuginfo/debug-search.ts';
import { DebugSearch } from '../debuginfo/debug-search.ts';
import { DebugInfo, type DebugLine } from '../elf/dwarf/debug-info.ts';
import { ParseError } from '../elf/source.ts';
import { cleanName } from '../symbolize/clean-name.ts';
import { type Demangler, displayName } from '../symbolize/demangle.ts';
import { ElfSymbols } from '../symbolize/elf-symbols.ts';
import { SOURCE_QUALITY, type SourceKind, type SourceLine } from '../symbolize/source-line.ts';
import type { VirtualAddress } from '../units/units.ts';
import type { DebugInfoState } from './debug-info-messages.ts';

interface Found {
  readonly kind: Uint8Array<ArrayBuffer>;
  readonly lines: readonly (readonly SourceLine[] | undefined)[];
}

type Names = Pick<SourceLine, 'name' | 'systemName'>;

/** What was made of the parser's answers to one request. */
interface Known {
  readonly lines: Map<DebugLine, SourceLine>;
  /** By linkage name, then by name: joined they would have to be hashed each time. */
  readonly names: Map<string, Map<string, Names>>;
  readonly files: Map<string, string>;
}

export class DebugInfoNames {
  readonly #search: DebugSearch;
  readonly #demangle: Demangler;
  /** Symbol tables other than the file's own, which the resolver has. */
  readonly #candidates: DebugCandidate[] = [];
  readonly #symbols = new Map<DebugCandidate, ElfSymbols>();
  readonly #problems = new Map<string, number>();
  readonly #told = new Map<string, number>();
  readonly #watch: SearchWatch;
  #info: DebugInfo | undefined;
  /** Where that is from. */
  #source = '';

  private constructor(search: DebugSearch, demangle: Demangler, watch: SearchWatch) {
    this.#search = search;
    this.#demangle = demangle;
    this.#watch = watch;
  }

  /** @throws ParseError when the binary itself cannot be read. */
  static async open(
    binary: SearchedBinary,
    downloads: Downloads,
    demangle: Demangler,
    watch: SearchWatch,
  ): Promise<DebugInfoNames> {
    const search = new DebugSearch(binary, downloads, {}, watch);
    const names = new DebugInfoNames(search, demangle, watch);
    for await (const candidate of names.#search.candidates()) {
      if (candidate.kind !== 'symbols') names.#candidates.push(candidate);
      names.#info = names.#open(candidate);
      names.#source = candidate.source;
      if (names.#info) break;
    }
    return names;
  }

  get state(): DebugInfoState {
    if (this.#search.awaited.size > 0) return 'pending';
    return this.#info || this.#candidates.length > 0 ? 'ready' : 'none';
  }

  /** Build ids of the downloads that may have more. */
  get awaited(): ReadonlySet<string> {
    return this.#search.awaited;
  }

  /** @param addresses of the file, ascending */
  lookup(addresses: Float64Array): Found {
    const known: Known = { lines: new Map(), names: new Map(), files: new Map() };
    if (this.#info) this.#watch.begins(this.#source);
    const chains = this.#info?.lookup(addresses) ?? [];
    const kind = new Uint8Array(addresses.length).fill(SOURCE_QUALITY.indexOf('dwarf'));
    const lines = Array.from(addresses, (address, i): readonly SourceLine[] | undefined => {
      const chain = chains[i]?.map((line) => this.#sourceLine(line, known));
      if (chain && chain.at(-1)?.name !== '') return chain;
      const symbol = this.#symbol(address as VirtualAddress);
      if (!symbol) return chain;
      if (!chain) {
        kind[i] = SOURCE_QUALITY.indexOf(symbol.kind);
        return symbol.lines;
      }
      const { name, systemName } = symbol.lines[0]!;
      return [...chain.slice(0, -1), { ...chain.at(-1)!, name, systemName }];
    });
    return { kind, lines };
  }

  /** What was refused since the last call, by reason. */
  takeProblems(): [reason: string, count: number][] {
    const all = new Map<string, number>();
    const sources = [this.#problems, this.#search.problems, this.#info?.problems];
    for (const symbols of this.#symbols.values()) sources.push(symbols.problems);
    for (const problems of sources) {
      for (const [reason, count] of problems ?? []) all.set(reason, (all.get(reason) ?? 0) + count);
    }
    const news: [string, number][] = [];
    for (const [reason, count] of all) {
      const more = count - (this.#told.get(reason) ?? 0);
      if (more > 0) news.push([reason, more]);
      this.#told.set(reason, count);
    }
    return news;
  }

  close(): void {
    this.#search.close();
  }

  #open({ sections, companions }: DebugCandidate): DebugInfo | undefined {
    if (!sections) return undefined;
    return this.#guard(() => DebugInfo.open(sections, companions));
  }

  #symbol(address: VirtualAddress): { kind: SourceKind; lines: readonly SourceLine[] } | undefined {
    for (const candidate of this.#candidates) {
      let symbols = this.#symbols.get(candidate);
      if (!symbols) {
        this.#watch.begins(candidate.source);
        symbols = ElfSymbols.read(candidate.image, this.#demangle);
        this.#symbols.set(candidate, symbols);
      }
      const lines = symbols.lookup(address);
      if (lines && lines.length > 0) return { kind: candidate.kind, lines };
    }
    return undefined;
  }

  /** Cleaning and demangling once per function and request: many addresses have the same. */
  #sourceLine(found: DebugLine, known: Known): SourceLine {
    // Chains share the lines of their callers.
    let shared = known.lines.get(found);
    if (shared) return shared;
    const { name, linkageName, file, line, column, startLine } = found;
    const key = linkageName === '' ? name : linkageName;
    const sameKey = known.names.get(key) ?? new Map<string, Names>();
    let names = sameKey.get(name);
    if (!names) {
      names = { name: this.#shown(name, linkageName), systemName: cleanName(key) };
      known.names.set(key, sameKey.set(name, names));
    }
    let path = known.files.get(file);
    if (path === undefined) {
      path = cleanName(file);
      known.files.set(file, path);
    }
    shared = { ...names, file: path, line, column, startLine };
    known.lines.set(found, shared);
    return shared;
  }

  /** The linker's name demangled; where it is no mangled one (`__GI_fgets`) the source has a better. */
  #shown(name: string, linkageName: string): string {
    const shown = displayName(linkageName, this.#demangle);
    return name !== '' && shown === cleanName(linkageName) ? cleanName(name) : shown;
  }

  #guard<Result>(work: () => Result): Result | undefined {
    try {
      return work();
    } catch (cause) {
      if (!(cause instanceof ParseError)) throw cause;
      this.#problems.set(cause.reason, (this.#problems.get(cause.reason) ?? 0) + 1);
      return undefined;
    }
  }
}
