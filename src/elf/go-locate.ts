/** Finding the pclntab in a binary, by section name or by what it looks like. */
import { GoMemory } from './go-memory.ts';
import type { GoPages } from './go-pages.ts';
import { Pclntab, PclntabLayout } from './go-pclntab.ts';
import { findGoText } from './go-text.ts';
import { SEGMENT_EXECUTABLE } from './headers.ts';
import type { ElfImage, Segment } from './image.ts';
import { ParseError } from './source.ts';

const SECTIONS = ['.gopclntab', '.data.rel.ro.gopclntab'];
const MARKS = ['.go.buildinfo', '.note.go.buildid', '.gosymtab', '.go.module', ...SECTIONS];
/** Places that look like a header, of which nearly all are the real one. */
const MAX_CANDIDATES = 64;

export interface GoModule {
  readonly memory: GoMemory;
  /** Where all that is read of its tables is kept. */
  readonly pages: GoPages;
  readonly table: Pclntab;
  /** Address of the table's header. */
  readonly tableAddress: number;
  /** Address that the table's entries are relative to; agrees with the code. */
  readonly textStart: number;
}

/**
 * undefined when nothing in the binary looks like a Go table.
 * @throws ParseError when something does and cannot be trusted: the reasons of
 *   Pclntab and findGoText, or `go_machine`.
 */
export function locateGoModule(image: ElfImage, pages: GoPages): GoModule | undefined {
  const memory = new GoMemory(image);
  let failure: ParseError | undefined;
  const attempt = (address: number): GoModule | undefined => {
    const source = memory.from(address);
    if (source === undefined) return undefined;
    try {
      const table = new Pclntab(source, pages);
      return {
        memory,
        pages,
        table,
        tableAddress: address,
        textStart: findGoText(memory, table, address),
      };
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
  for (const address of mayBeGo(image) ? headersByContent(memory) : []) {
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

/**
 * Searching the data of a large C++ program for a Go table takes half a second.
 * Every Go linker since 1.13 leaves one of these marks, also in libraries and
 * with an external linker; a file without section headers may be anything.
 */
function mayBeGo(image: ElfImage): boolean {
  if (image.sections.length <= 1 || image.goBuildId !== '') return true;
  return MARKS.some((name) => image.section(name) !== undefined);
}

function checked(found: GoModule): GoModule {
  if (found.memory.image.machine !== 'x86-64') {
    throw new ParseError('go_machine', `Go tables of ${found.memory.image.machine}`);
  }
  return found;
}

function* headersByContent(memory: GoMemory): Generator<number> {
  const magics: readonly number[] = Object.values(PclntabLayout);
  // All magic numbers end alike; padding, instruction size 1, pointer size 8 follow.
  const needle = Uint8Array.of(0xff, 0xff, 0xff, 0, 0, 1, 8);
  const executable = (segment: Segment): number => segment.flags & SEGMENT_EXECUTABLE;
  // It is data; only old linkers put read-only data and code into one segment.
  const segments = [...memory.loads].sort((a, b) => executable(a) - executable(b));
  for (const segment of segments) {
    const found: number[] = [];
    memory.search(segment, needle, 1, (address) => {
      const header = address - 1;
      const first = header % 8 === 0 ? memory.bytes(header, 1)?.[0] : undefined;
      if (first !== undefined && magics.includes((0xffffff00 | first) >>> 0)) found.push(header);
      return found.length < MAX_CANDIDATES;
    });
    yield* found;
  }
}
