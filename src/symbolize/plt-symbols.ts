/** Names for the stubs through which a file calls other files: `memcpy@plt`. */
import { type ElfImage, type Section, SectionType } from '../elf/image.ts';
import { ParseError } from '../elf/source.ts';
import type { VirtualAddress } from '../units/units.ts';
import { cleanName } from './clean-name.ts';
import { type Demangler, displayName, withoutVersion } from './demangle.ts';
import { numberedTarget, type SlotTarget, slotTargets } from './plt-relocations.ts';
import { decodeStub, STUB_BYTES, type Stub } from './plt-stub.ts';
import type { SourceLine, SymbolSource } from './source-line.ts';
import { StringTable } from './string-table.ts';

/** Bytes of stubs per section: Chromium has 20 KB. */
const MAX_TABLE = 4 << 20;
/** `.plt`, `.plt.got`, `.plt.sec`, `.plt.bnd`, `.iplt`. */
const TABLE = /^\.i?plt(?:\.[a-z]+)?$/;
const SYMBOL_SIZE = 24;
/** What binutils prints for a resolver function without a name. */
const ABSOLUTE = '*ABS*';

interface Table {
  readonly start: number;
  readonly end: number;
  readonly stride: number;
  readonly code: Uint8Array;
}

/**
 * A stub is told by its code, and its function by the relocation of the slot
 * that it jumps through; nothing is read before an address of a stub is asked.
 */
export class PltSymbols implements SymbolSource {
  readonly kind = 'plt';
  readonly #image: ElfImage;
  readonly #demangle: Demangler;
  readonly #sections: readonly Section[];
  readonly #problems = new Map<string, number>();
  #tables: readonly Table[] | undefined;
  #targets: ReadonlyMap<number, SlotTarget> = new Map();

  private constructor(image: ElfImage, sections: readonly Section[], demangle: Demangler) {
    this.#image = image;
    this.#sections = sections;
    this.#demangle = demangle;
  }

  /** undefined when the file has no stubs. `image` must stay open. */
  static of(image: ElfImage, demangle: Demangler): PltSymbols | undefined {
    if (image.machine !== 'x86-64') return undefined;
    const sections = image.sections.filter(
      ({ name, type, address, size }) =>
        TABLE.test(name) && type === SectionType.Progbits && address > 0 && size > 0,
    );
    return sections.length === 0 ? undefined : new PltSymbols(image, sections, demangle);
  }

  get problems(): ReadonlyMap<string, number> {
    return this.#problems;
  }

  lookup(address: VirtualAddress): readonly SourceLine[] | undefined {
    if (!this.#sections.some((part) => covers(part.address, part.address + part.size, address))) {
      return undefined;
    }
    try {
      this.#tables ??= this.#read();
      const target = this.#target(this.#tables, address);
      return target && this.#line(target);
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      this.#problems.set(error.reason, (this.#problems.get(error.reason) ?? 0) + 1);
      return undefined;
    }
  }

  #read(): readonly Table[] {
    const tables = this.#sections.map((section): Table => {
      const size = Math.min(section.size, MAX_TABLE);
      const code = this.#image.view(section).read(0, size).slice();
      const start = section.address;
      return { start, end: start + size, stride: strideOf(section), code };
    });
    const slots: number[] = [];
    for (const table of tables) {
      for (let at = 0; at < table.code.length; at += table.stride) {
        const stub = stubAt(table, table.start + at);
        if (stub?.kind === 'slot') slots.push(stub.address);
      }
    }
    this.#targets = slotTargets(this.#image, Float64Array.from(slots).sort());
    return tables;
  }

  #target(tables: readonly Table[], address: VirtualAddress): SlotTarget | undefined {
    const table = tables.find(({ start, end }) => covers(start, end, address));
    const stub = table && stubAt(table, address);
    if (stub === undefined) return undefined;
    return stub.kind === 'slot'
      ? this.#targets.get(stub.address)
      : numberedTarget(this.#image, stub.number);
  }

  #line({ symbol, addend }: SlotTarget): readonly SourceLine[] | undefined {
    const plain = symbol === 0 ? ABSOLUTE : this.#symbolName(symbol);
    if (plain === '') return undefined;
    const suffix = `${addend === 0 ? '' : `+0x${addend.toString(16)}`}@plt`;
    const systemName = withoutVersion(plain);
    return [
      {
        name: `${displayName(systemName, this.#demangle)}${suffix}`,
        systemName: cleanName(`${systemName}${suffix}`),
        file: '',
        line: 0,
        column: 0,
        startLine: 0,
      },
    ];
  }

  #symbolName(index: number): string {
    const section = this.#image.sections.find(({ type }) => type === SectionType.Dynsym);
    const strings = section && this.#image.sections[section.link];
    if (section === undefined || strings?.type !== SectionType.Strtab) return '';
    const row = this.#image.view(section).read(index * SYMBOL_SIZE, SYMBOL_SIZE);
    const name = new DataView(row.buffer, row.byteOffset, 4).getUint32(0, true);
    return new StringTable(this.#image.view(strings)).text(name) ?? '';
  }
}

const covers = (start: number, end: number, address: number): boolean =>
  address >= start && address < end;

/** `.plt.got` has stubs of 8 bytes without IBT; sections without the size have 16. */
function strideOf({ name, entrySize }: Section): number {
  if (entrySize === 8 || entrySize === 16) return entrySize;
  return name === '.plt.got' ? 8 : 16;
}

function stubAt({ start, stride, code }: Table, address: number): Stub | undefined {
  const at = Math.floor((address - start) / stride) * stride;
  return decodeStub(code.subarray(at, at + Math.min(stride, STUB_BYTES)), start + at);
}
