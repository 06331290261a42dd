/** One opened binary with all that is derived from it, shared by every process that maps it. */

import { insideRoot } from '../debuginfo/paths.ts';
import { type CfiRules, cfiRules } from '../elf/eh-frame.ts';
import { isFileFailure } from '../elf/failure.ts';
import type { FileState } from '../elf/file-access.ts';
import { FileSource } from '../elf/file-source.ts';
import { GoFunctions } from '../elf/go-functions.ts';
import type { GoPages } from '../elf/go-pages.ts';
import { GoRules } from '../elf/go-rules.ts';
import { type GoThreadLayout, goThreadLayout } from '../elf/go-thread.ts';
import { htlHash } from '../elf/htlhash.ts';
import type { ElfImage } from '../elf/image.ts';
import { type ByteSource, fill, ParseError } from '../elf/source.ts';
import { StartUpRules } from '../elf/start-up-rules.ts';
import type { OpenedRoot } from '../process/host.ts';
import type { Opened } from '../process/open-files.ts';
import type { Process } from '../process/process.ts';
import type { ProcessOwner } from '../process/process-owners.ts';
import type { RootDirectories } from '../process/root-directories.ts';
import type { Mapping } from '../profile/model.ts';
import type { Demangler } from '../symbolize/demangle.ts';
import { ElfSymbols } from '../symbolize/elf-symbols.ts';
import { FileSymbols, type SymbolizedAddress } from '../symbolize/file-symbols.ts';
import { FunctionBounds } from '../symbolize/function-bounds.ts';
import { GoSymbols } from '../symbolize/go-symbols.ts';
import { PltSymbols } from '../symbolize/plt-symbols.ts';
import type { SymbolSource } from '../symbolize/source-line.ts';
import { fileOffset, type TextOffset, type VirtualAddress } from '../units/units.ts';
import { FileTables, type TextSource } from '../unwind/file-tables.ts';
import { MergedRules } from '../unwind/merged-rules.ts';
import { type EncodedRule, Rule } from '../unwind/rule.ts';
import type { RuleSource } from '../unwind/source.ts';
import type { ExactStep } from '../unwind/stack-walk.ts';
import type { TableStore } from '../unwind/table-store.ts';
import { DebugInfoFile, type DebugInfoOrigin } from './debug-info-file.ts';
import type { SymbolHolder, SymbolRoom } from './symbol-room.ts';

const SEGMENT_EXECUTABLE = 1;
const PAGE = 4096;

/** Code without any unwind information: frame pointers have to do. */
const noRules: RuleSource = {
  rows: (from, _to, sink) => sink(from, Rule.None),
  problems: new Map(),
};

const nameless: SymbolizedAddress = { type: 'native', lines: [] };

/** Roots that a binary's debug files are looked for in: containers of one image have the same. */
const MAX_ROOTS = 4;
/** After that long it is looked again for what was not there: somebody may have installed it. */
const LOOK_AGAIN_MS = 120_000;

/** What all binaries use: memory that one at a time needs, and where tables go. */
export interface SharedByBinaries {
  readonly store: TableStore;
  readonly demangle: Demangler;
  readonly goPages: GoPages;
  /** For the code of one region, at least MAX_TEXT_READ bytes. */
  readonly text: Uint8Array;
  readonly roots: RootDirectories;
  readonly symbols: SymbolRoom;
  /** Told once of a binary that cannot be read any more. */
  readonly failed: (binary: Binary) => void;
  /** Whether the debug-info thread is worth asking for a file's addresses. */
  readonly mayHaveDebugInfo: (image: ElfImage, path: string, roots: readonly number[]) => boolean;
}

export class Binary implements SymbolHolder {
  readonly opened: Opened;
  /** Whether it was built by Go. */
  readonly isGo: boolean;
  /** By which the kernel finds a thread's goroutine. */
  readonly goThread: GoThreadLayout | undefined;
  readonly #tables: FileTables;
  readonly #htlHash: string;
  readonly #cfi: CfiRules | undefined;
  readonly #functions: GoFunctions | undefined;
  readonly #problems = new Map<string, number>();
  readonly #shared: SharedByBinaries;
  readonly #clock: () => number;
  readonly #roots: OpenedRoot[] = [];
  #debugInfo: DebugInfoFile | undefined;
  /** Before that it is not looked for debug information. */
  #lookAt = 0;
  #hasLooked = false;
  /** Why it cannot be used, when it is not the file's fault alone. */
  #broken: string | undefined;
  #isTold = false;
  #symbols: FileSymbols | undefined;

  readonly #owner: ProcessOwner;

  /**
   * @param owner of the process that it is opened for
   * @param clock milliseconds that never go back
   */
  constructor(
    opened: Opened,
    shared: SharedByBinaries,
    owner: ProcessOwner,
    clock = () => performance.now(),
  ) {
    const { image, source } = opened;
    this.opened = opened;
    this.#owner = owner;
    this.#shared = shared;
    this.#clock = clock;
    // Now, because the file may be closed when a profile wants it.
    this.#htlHash = this.#guarded(() => htlHash(source)) ?? '';
    this.#cfi = this.#guarded(() => cfiRules(image));
    this.#functions = this.#guarded(() => GoFunctions.open(image, shared.goPages));
    this.isGo = this.#functions !== undefined;
    this.goThread = this.#goThreadLayout();
    const sources: RuleSource[] = [];
    const startUp = this.#guarded(() => StartUpRules.of(image));
    if (startUp) sources.push(startUp);
    if (this.#functions) sources.push(new GoRules(this.#functions));
    const rules = sources.reduceRight<RuleSource>(
      (rest, source) => new MergedRules(source, rest),
      this.#cfi ?? noRules,
    );
    this.#tables = new FileTables(textSource(image, source, rules, shared.text), shared.store);
  }

  /** Why it cannot be used any more: the file was written to, or cannot be read, or its parser failed. */
  get failure(): string | undefined {
    return this.opened.source.failure?.reason ?? this.#broken;
  }

  /** Of its tables in the kernel; undefined when that has no room for them. */
  get index(): number | undefined {
    return this.#tables.index;
  }

  /** The rule at an offset, see FileTables. When it fails nothing counts any more that was said before. */
  rule(offset: TextOffset, exact: boolean): EncodedRule {
    return this.#guarded(() => this.#tables.rule(offset, exact)) ?? Rule.None;
  }

  /** Why names or rules of this file are missing, counted. */
  get problems(): ReadonlyMap<string, number> {
    const all = new Map(this.#problems);
    const others = [this.#symbols?.problems(), this.#cfi?.problems, this.#debugInfo?.problems];
    for (const problems of others) {
      for (const [reason, count] of problems ?? []) all.set(reason, (all.get(reason) ?? 0) + count);
    }
    return all;
  }

  /** Undefined when the file has none that could be found so far. */
  get debugInfo(): DebugInfoFile | undefined {
    const now = this.#clock();
    if (this.#debugInfo || now < this.#lookAt) return this.#debugInfo;
    this.#lookAt = now + LOOK_AGAIN_MS;
    this.#debugInfo = this.#guarded(() => this.#findDebugInfo());
    this.#hasLooked = true;
    return this.#debugInfo;
  }

  /** A process maps it, whose root may have debug files: they stay in reach when it has ended. */
  mappedBy(process: Process): void {
    if (this.#roots.length >= MAX_ROOTS) return;
    const root = this.#shared.roots.take(process, this.#roots);
    if (!root) return;
    this.#roots.push(root);
    this.#lookAt = 0;
  }

  /** Text offset = process address - bias, for a mapping of the file's `offset` at `start`. */
  bias(start: number, offset: number): number | undefined {
    const address = this.opened.image.offsetToAddress(fileOffset(offset));
    return address === undefined ? undefined : start - (address - this.opened.image.textBase);
  }

  symbol(address: VirtualAddress): SymbolizedAddress {
    return (
      this.#guarded(() => this.#names().lookup(address, this.debugInfo?.take(address))) ?? nameless
    );
  }

  /** Whether the file itself says all there is to say of an address. */
  isKnownBest(address: VirtualAddress): boolean {
    if (this.#functions === undefined) return false;
    return this.#guarded(() => this.#names().lookup(address).type === 'go') ?? false;
  }

  /** One exact step by call frame information. */
  readonly exactStep = (
    offset: TextOffset,
    registers: Float64Array,
    read: (address: number) => number | undefined,
  ): ExactStep => {
    return this.#guarded(() => this.#exactStep(offset, registers, read)) ?? 'failed';
  };

  #exactStep(
    offset: TextOffset,
    registers: Float64Array,
    read: (address: number) => number | undefined,
  ): ExactStep {
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
  }

  /** As profiles show it: the same for all processes. */
  mapping(): Mapping {
    const { image, path } = this.opened;
    const { textBase } = image;
    const first = image.segments.find(({ flags, address }) => {
      return (flags & SEGMENT_EXECUTABLE) !== 0 && address >= textBase && address < textBase + PAGE;
    });
    return {
      start: textBase,
      end: textBase + image.textSize,
      fileOffset: first ? Math.max(0, first.offset - (first.address - textBase)) : 0,
      file: path,
      buildId: image.buildId,
      goBuildId: image.goBuildId,
      htlHash: this.#htlHash,
    };
  }

  /** They are read anew when they are wanted again. */
  dropSymbols(): void {
    for (const [reason, count] of this.#symbols?.problems() ?? []) this.#problem(reason, count);
    this.#symbols = undefined;
  }

  close(): void {
    this.#shared.symbols.released(this);
    this.#tables.close();
    for (const root of this.#roots.splice(0)) this.#shared.roots.release(root);
    const { source } = this.opened;
    if (source instanceof FileSource) source.close();
  }

  #names(): FileSymbols {
    const symbols = this.#symbols ?? new FileSymbols(this.#symbolSources());
    this.#symbols = symbols;
    this.#shared.symbols.used(this, this.#owner, symbols.indexBytes);
    return symbols;
  }

  #symbolSources(): SymbolSource[] {
    const { image, path } = this.opened;
    const sources: SymbolSource[] = [];
    if (this.#functions) sources.push(new GoSymbols(this.#functions));
    const own = this.#guarded(() => ElfSymbols.read(image, this.#shared.demangle));
    if (own) sources.push(own);
    const stubs = this.#guarded(() => PltSymbols.of(image, this.#shared.demangle));
    if (stubs) sources.push(stubs);
    if (this.#cfi) sources.push(new FunctionBounds(this.#cfi, image.textBase, path));
    return sources;
  }

  #findDebugInfo(): DebugInfoFile | undefined {
    const { id, path, image, source } = this.opened;
    if (!(source instanceof FileSource)) return undefined;
    const pathInside = () =>
      this.#roots.reduce((inside, root) => insideRoot(inside, root.path), path);
    const roots = this.#roots.map(({ fd }) => fd);
    if (!this.#shared.mayHaveDebugInfo(image, pathInside(), roots)) return undefined;
    const origin: DebugInfoOrigin = {
      id,
      get path() {
        return pathInside();
      },
      owner: ownerOf(source.state),
      roots: () => this.#shared.roots.reopened(this.#roots),
      open: () => source.reopen(),
      giveBack: (descriptors) => this.#shared.roots.giveBack(descriptors),
    };
    return new DebugInfoFile(origin, this.#hasLooked, this.#clock);
  }

  #goThreadLayout(): GoThreadLayout | undefined {
    const functions = this.#functions;
    const found = functions && this.#guarded(() => goThreadLayout(this.opened.image, functions));
    if (typeof found === 'object') {
      if (found.labels === 'go_labels_unknown') this.#problem(found.labels);
      return found;
    }
    if (found) this.#problem(found);
    return undefined;
  }

  /** Whatever goes wrong with a file is that file's loss: undefined then, and counted. */
  #guarded<Result>(work: () => Result): Result | undefined {
    try {
      return this.failure === undefined ? this.opened.noted(work) : undefined;
    } catch (cause) {
      const isRefused = cause instanceof ParseError;
      // No memory for what it claims, or a mistake of ours.
      if (!isRefused) this.#broken = 'parser_failed';
      if (isRefused && !isFileFailure(cause)) this.#problem(cause.reason);
      return undefined;
    } finally {
      if (this.failure !== undefined && !this.#isTold) {
        this.#isTold = true;
        this.#shared.failed(this);
      }
    }
  }

  #problem(reason: string, count = 1): void {
    this.#problems.set(reason, (this.#problems.get(reason) ?? 0) + count);
  }
}

/** A file system of a user's own says of its files what it likes, but not on which device they are. */
const ownerOf = ({ owner, device }: FileState): string => `user ${owner} on ${device}`;

function textSource(
  image: ElfImage,
  source: ByteSource,
  rules: RuleSource,
  memory: Uint8Array,
): TextSource {
  return {
    rules,
    textSize: image.textSize,
    readText(from, length) {
      // Text may lie in several segments with gaps between: zeros hold no calls.
      const text = memory.subarray(0, length).fill(0);
      for (const segment of image.segments) {
        if (segment.type !== 1 || (segment.flags & 1) === 0) continue;
        const start = segment.address - image.textBase;
        const first = Math.max(from, start);
        const last = Math.min(from + length, start + segment.fileSize);
        const offset = segment.offset + (first - start);
        if (first >= last || offset + (last - first) > source.size) continue;
        fill(source, offset, text.subarray(first - from, last - from));
      }
      return text;
    },
  };
}
