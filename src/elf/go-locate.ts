/** Finding the pclntab in a binary, by section name or by what it looks like. */
import { GoMemory } from './go-memory.ts';
import { Pclntab, PclntabLayout } from './go-pclntab.ts';
import { findGoText, type GoText } from './go-text.ts';
import type { ElfImage } from './image.ts';
import { ParseError } from './source.ts';

const SECTIONS = ['.gopclntab', '.data.rel.ro.gopclntab'];
/** Places that look like a header, of which nearly all are the real one. */
const MAX_CANDIDATES = 64;

export interface GoModule {
  readonly memory: GoMemory;
  readonly table: Pclntab;
  /** Address of the table's header. */
  readonly tableAddress: number;
  readonly text: GoText;
}

/**
 * undefined when nothing in the binary looks like a Go table.
 * @throws ParseError when something does and cannot be trusted: the reasons of
 *   Pclntab and findGoText, or `go_machine`.
 */
export function locateGoModule(image: ElfImage): GoModule | undefined {
  const memory = new GoMemory(image);
  let failure: ParseError | undefined;
  const attempt = (address: number): GoModule | undefined => {
    const source = memory.from(address);
    if (source === undefined) return undefined;
    try {
      const table = new Pclntab(source);
      return { memory, table, tableAddress: address, text: findGoText(memory, table, address) };
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      failure ??= error;
      return undefined;
    }
  };
  const named = SECTIONS.map((name) => image.section(name)).find((section) => section?.size);
  if (named !== undefined) {
    const found = attempt(named.address);
    if (found !== undefined) return checked(found);
  }
  for (const address of headersByContent(memory)) {
    if (address === named?.address) continue;
    const found = attempt(address);
    if (found !== undefined) return checked(found);
  }
  // What merely has the magic number inside (a debugger's constant) is no Go binary.
  if (failure !== undefined && (named !== undefined || failure.reason === 'go_text_start')) {
    throw failure;
  }
  return undefined;
}

function checked(found: GoModule): GoModule {
  if (found.memory.image.machine !== 'x86-64') {
    throw new ParseError('go_machine', `Go tables of ${found.memory.image.machine}`);
  }
  return found;
}

function headersByContent(memory: GoMemory): number[] {
  const found: number[] = [];
  for (const segment of memory.loads) {
    for (const magic of Object.values(PclntabLayout)) {
      // Padding, instruction size 1 and pointer size 8 follow the magic number.
      const needle = Uint8Array.of(magic & 255, 0xff, 0xff, 0xff, 0, 0, 1, 8);
      memory.search(segment, needle, 8, (address) => {
        found.push(address);
        return found.length < MAX_CANDIDATES;
      });
    }
  }
  return found;
}
