/** One opened binary with all that is derived from it, shared by every process that maps it. */
import { type CfiRules, cfiRules } from '../elf/eh-frame.ts';
import { FileSource } from '../elf/file-source.ts';
import { GoFunctions } from '../elf/go-functions.ts';
import { GoRules } from '../elf/go-rules.ts';
import { goThreadLayout } from '../elf/go-thread.ts';
import { ElfImage } from '../elf/image.ts';
import { ParseError } from '../elf/source.ts';
import { StartUpRules } from '../elf/start-up-rules.ts';
import type { Opened } from '../process/open-files.ts';
import type { Mapping } from '../profile/model.ts';
import type { Demangler } from '../symbolize/demangle.ts';
import { ElfSymbols } from '../symbolize/elf-symbols.ts';
import { FileSymbols, type SymbolizedAddress } from '../symbolize/file-symbols.ts';
import { GoSymbols } from '../symbolize/go-symbols.ts';
import type { SymbolSource } from '../symbolize/source-line.ts';
import { fileOffset, type TextOffset, type VirtualAddress } from '../units/units.ts';
import { FileTables, type TextSource } from '../unwind/file-tables.ts';
import { type GoLayout, notGo } from '../unwind/kernel-processes.ts';
import { MergedRules } from '../unwind/merged-rules.ts';
import { Rule } from '../unwind/rule.ts';
import type { RuleSource } from '../unwind/source.ts';
import type { ExactStep } from '../unwind/stack-walk.ts';
import type { TableStore } from '../unwind/table-store.ts';

/** Code without any unwind information: frame pointers have to do. */
const noRules: RuleSource = {
  rows: (from, _to, sink) => sink(from, Rule.None),
  problems: new Map(),
};

const SECTION_SYMTAB = '.symtab';

export class Binary {
  readonly opened: Opened;
  readonly tables: FileTables;
  /** Offsets by which the kernel follows Go's stack switches. */
  readonly go: GoLayout;
  readonly #cfi: CfiRules | undefined;
  readonly #functions: GoFunctions | undefined;
  readonly #demangle: Demangler;
  readonly #openDebug: (buildId: string) => number | undefined;
  readonly #problems = new Map<string, number>();
  #debugSource: FileSource | undefined;
  #symbols: FileSymbols | undefined;

  /**
   * @param openDebug descriptor of the separate debug file of a build id.
   */
  constructor(
    opened: Opened,
    store: TableStore,
    demangle: Demangler,
    openDebug: (buildId: string) => number | undefined,
  ) {
    const { image, source } = opened;
    this.opened = opened;
    this.#demangle = demangle;
    this.#openDebug = openDebug;
    this.#cfi = this.#guarded(() => cfiRules(image));
    this.#functions = this.#guarded(() => GoFunctions.open(image));
    this.go = this.#goLayout();
    const sources: RuleSource[] = [];
    const startUp = StartUpRules.of(image);
    if (startUp) sources.push(startUp);
    if (this.#functions) sources.push(new GoRules(this.#functions));
    const rules = sources.reduceRight<RuleSource>(
      (rest, source) => new MergedRules(source, rest),
      this.#cfi ?? noRules,
    );
    const read = (offset: number, length: number) => source.read(offset, length);
    this.tables = new FileTables(textSource(image, source.size, rules, read), store);
  }

  /** Why names or rules of this file are missing, counted. */
  get problems(): ReadonlyMap<string, number> {
    return this.#problems;
  }

  /** Text offset = process address - bias, for a mapping of the file's `offset` at `start`. */
  bias(start: number, offset: number): number | undefined {
    const address = this.opened.image.offsetToAddress(fileOffset(offset));
    return address === undefined ? undefined : start - (address - this.opened.image.textBase);
  }

  symbol(address: VirtualAddress): SymbolizedAddress {
    this.#symbols ??= new FileSymbols(this.#symbolSources());
    return this.#symbols.lookup(address);
  }

  /** One exact step by call frame information. */
  readonly exactStep = (
    offset: TextOffset,
    registers: Float64Array,
    read: (address: number) => number | undefined,
  ): ExactStep => {
    if (!this.#cfi) return 'failed';
    const before = BigUint64Array.from(registers, (value) => BigInt(Math.trunc(value)));
    const step = this.#cfi.step(offset, before, (address) => {
      const word = read(Number(address));
      return word === undefined ? undefined : BigInt(word);
    });
    if (step.kind === 'end') return 'end';
    if (step.kind === 'error') {
      return step.reason === 'stack_unreadable' ? 'unreadable' : 'failed';
    }
    step.registers.forEach((value, i) => {
      registers[i] = Number(value);
    });
    return step.isExact ? 'interrupted' : 'called';
  };

  /** The mapping as profiles show it. */
  mapping(start: number, end: number, offset: number): Mapping {
    const { image, path } = this.opened;
    return {
      start,
      end,
      fileOffset: offset,
      file: path,
      buildId: image.buildId,
      goBuildId: image.goBuildId,
    };
  }

  close(): void {
    this.tables.close();
    this.#debugSource?.close();
    const { source } = this.opened;
    if (source instanceof FileSource) source.close();
  }

  #symbolSources(): SymbolSource[] {
    const { image } = this.opened;
    const sources: SymbolSource[] = [];
    if (this.#functions) sources.push(new GoSymbols(this.#functions));
    const own = this.#guarded(() => ElfSymbols.read(image, this.#demangle));
    if (own) sources.push(own);
    if (!image.section(SECTION_SYMTAB) && !this.#functions) {
      const separate = this.#guarded(() => this.#debugSymbols(image.buildId));
      if (separate) sources.push(separate);
    }
    return sources;
  }

  #debugSymbols(buildId: string): SymbolSource | undefined {
    const fd = this.#openDebug(buildId);
    if (fd === undefined) return undefined;
    this.#debugSource = new FileSource(fd);
    const image = ElfImage.parse(this.#debugSource);
    // A file of another build would name everything wrongly.
    if (image.buildId !== buildId) throw new ParseError('debug_file_build_id', 'another build');
    return ElfSymbols.read(image, this.#demangle);
  }

  #goLayout(): GoLayout {
    const functions = this.#functions;
    if (!functions) return notGo;
    const found = this.#guarded(() => goThreadLayout(this.opened.image, functions));
    if (typeof found === 'object') {
      const { gOffset, m, curg, schedBp } = found;
      return { gOffset: -gOffset, m, curg, schedBp };
    }
    if (found) this.#problem(found);
    return notGo;
  }

  #guarded<Result>(work: () => Result): Result | undefined {
    try {
      return work();
    } catch (cause) {
      if (!(cause instanceof ParseError)) throw cause;
      this.#problem(cause.reason);
      return undefined;
    }
  }

  #problem(reason: string): void {
    this.#problems.set(reason, (this.#problems.get(reason) ?? 0) + 1);
  }
}

function textSource(
  image: ElfImage,
  fileSize: number,
  rules: RuleSource,
  read: (offset: number, length: number) => Uint8Array,
): TextSource {
  return {
    rules,
    textSize: image.textSize,
    readText(from, length) {
      // Text may lie in several segments with gaps between: zeros hold no calls.
      const text = new Uint8Array(length);
      for (const segment of image.segments) {
        if (segment.type !== 1 || (segment.flags & 1) === 0) continue;
        const start = segment.address - image.textBase;
        const first = Math.max(from, start);
        const last = Math.min(from + length, start + segment.fileSize);
        const offset = segment.offset + (first - start);
        if (first >= last || offset + (last - first) > fileSize) continue;
        text.set(read(offset, last - first), first - from);
      }
      return text;
    },
  };
}
