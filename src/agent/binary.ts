/** One opened binary with all that is derived from it, shared by every process that maps it. */
import { type CfiRules, cfiRules } from '../elf/eh-frame.ts';
import type { ElfImage } from '../elf/image.ts';
import { ParseError } from '../elf/source.ts';
import type { Opened } from '../process/executable.ts';
import type { Mapping } from '../profile/model.ts';
import type { Demangler } from '../symbolize/demangle.ts';
import { FileSymbols, type SymbolizedAddress } from '../symbolize/file-symbols.ts';
import { fileOffset, type TextOffset, type VirtualAddress } from '../units/units.ts';
import { FileTables, type TextSource } from '../unwind/file-tables.ts';
import { type GoLayout, notGo } from '../unwind/kernel-processes.ts';
import { Rule } from '../unwind/rule.ts';
import type { RuleSource } from '../unwind/source.ts';
import type { TableStore } from '../unwind/table-store.ts';

/** Code without any unwind information: frame pointers have to do. */
const noRules: RuleSource = {
  rows: (from, _to, sink) => sink(from, Rule.None),
  problems: new Map(),
};

export class Binary {
  readonly opened: Opened;
  readonly tables: FileTables;
  /** Offsets by which the kernel follows Go's stack switches. */
  readonly go: GoLayout;
  readonly #cfi: CfiRules | undefined;
  readonly #demangle: Demangler;
  #symbols: FileSymbols | undefined;
  #problem: string | undefined;

  constructor(opened: Opened, store: TableStore, demangle: Demangler) {
    this.opened = opened;
    this.#demangle = demangle;
    this.#cfi = guarded(() => cfiRules(opened.image), this.#fail);
    this.go = notGo;
    this.tables = new FileTables(
      textSource(opened.image, opened.source.size, this.#cfi ?? noRules, (o, n) =>
        opened.source.read(o, n),
      ),
      store,
    );
  }

  /** Why names or rules of this file are missing; undefined when all is well. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Text offset = process address - bias, for a mapping of the file's `offset` at `start`. */
  bias(start: number, offset: number): number | undefined {
    const address = this.opened.image.offsetToAddress(fileOffset(offset));
    return address === undefined ? undefined : start - (address - this.opened.image.textBase);
  }

  symbol(address: VirtualAddress): SymbolizedAddress {
    this.#symbols ??= guarded(() => FileSymbols.of(this.opened.image, this.#demangle), this.#fail);
    return this.#symbols?.lookup(address) ?? { type: 'native', lines: [] };
  }

  /** One exact step; false when the file does not say how. */
  exactStep(
    offset: TextOffset,
    registers: Float64Array,
    read: (address: number) => number | undefined,
  ): boolean {
    if (!this.#cfi) return false;
    const before = BigUint64Array.from(registers, (value) => BigInt(Math.trunc(value)));
    const step = this.#cfi.step(offset, before, (address) => {
      const word = read(Number(address));
      return word === undefined ? undefined : BigInt(word);
    });
    if (step.kind !== 'frame') return false;
    step.registers.forEach((value, i) => {
      registers[i] = Number(value);
    });
    return true;
  }

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
    const { source } = this.opened;
    if ('close' in source) (source.close as () => void)();
  }

  readonly #fail = (reason: string): void => {
    this.#problem ??= reason;
  };
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

function guarded<Result>(work: () => Result, fail: (reason: string) => void): Result | undefined {
  try {
    return work();
  } catch (cause) {
    if (!(cause instanceof ParseError)) throw cause;
    fail(cause.reason);
    return undefined;
  }
}
