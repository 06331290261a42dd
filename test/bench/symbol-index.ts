/** How long it takes to index the symbol table of a large program. */
import { openSync } from 'node:fs';
import { FileSource } from '../../src/elf/file-source.ts';
import { ElfImage } from '../../src/elf/image.ts';
import { noDemangler } from '../../src/symbolize/demangle.ts';
import { ElfSymbols } from '../../src/symbolize/elf-symbols.ts';

/** Milliseconds of CPU, because others may want the machine too. */
export interface SymbolIndex {
  readonly symbols: number;
  /** Of the first time, code not yet compiled, as in an agent that has just started. */
  readonly firstMs: number;
  /** Median of the later ones. */
  readonly medianMs: number;
}

const ROUNDS = 9;

/** @param file With a `.symtab`; Node itself has 114,000 code symbols. */
export function symbolIndex(file: string = process.execPath): SymbolIndex {
  const source = new FileSource(openSync(file, 'r'));
  try {
    const image = ElfImage.parse(source);
    let symbols = 0;
    const times = Array.from({ length: ROUNDS }, () => {
      const start = process.threadCpuUsage();
      symbols = ElfSymbols.read(image, noDemangler).size;
      const { user, system } = process.threadCpuUsage(start);
      return (user + system) / 1000;
    });
    const [firstMs, ...later] = times;
    later.sort((a, b) => a - b);
    return { symbols, firstMs: firstMs!, medianMs: later[later.length >>> 1]! };
  } finally {
    source.close();
  }
}
