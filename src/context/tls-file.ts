/** Thread-local variables of known names in one file: where it defines them, and which words the loader fills in for them. */
import { DynamicSection, DynamicTag } from '../elf/dynamic-section.ts';
import { readUnsigned64, viewOf } from '../elf/headers.ts';
import { type ElfImage, SectionType, SegmentType } from '../elf/image.ts';
import { type ByteSource, fill, ParseError } from '../elf/source.ts';
import { virtualAddress } from '../units/units.ts';

/** Names of thread-local variables by which a process offers context. */
export type TlsName = (typeof TLS_NAMES)[number];

export const TLS_NAMES = [
  'otel_thread_ctx_v1',
  'custom_labels_current_set',
  'otel_thread_ctx_nodejs_v1',
  'custom_labels_als_identity_hash',
  'custom_labels_als_handle',
] as const;

/** Not thread-local: a number in the file's data. */
const LABELS_VERSION = 'custom_labels_abi_version';

/**
 * A word, or two, of the global offset table that the loader fills in:
 * `descriptor` {function, argument}, `module` {module, offset in its block},
 * `offset` from the thread pointer.
 */
export interface TlsSlot {
  readonly kind: 'descriptor' | 'module' | 'offset';
  /** As the file states it. */
  readonly address: number;
  /** The variable; '' = the file's own block. */
  readonly name: TlsName | '';
  readonly addend: number;
}

export interface TlsFile {
  /** The program itself, whose block ends at the thread pointer; else a library. */
  readonly isProgram: boolean;
  /** From the beginning of the file's block to the thread pointer, if it is the program's. */
  readonly blockToPointer: number;
  /** Offset in the file's block of each variable that it defines. */
  readonly variables: ReadonlyMap<TlsName, number>;
  /** Those of variables defined here or elsewhere, before those of the block. */
  readonly slots: readonly TlsSlot[];
  /** Value of `custom_labels_abi_version`, 0 = none. */
  readonly labelsVersion: number;
}

const LONGEST_NAME = 64;
/** Thread-local variables of a file whose names are looked at; Chromium has some hundreds. */
const MAX_VARIABLES = 65_536;
/** Names of a file that has custom-labels. */
const MAX_STRINGS = 64 << 20;
/** Chromium has 400,000. */
const MAX_SYMBOLS = 1 << 21;
/** Those that do more than move an address; 16-bit builds of databases have 100,000. */
const MAX_RELOCATIONS = 1 << 21;
const CHUNK_ROWS = 4096;
const ROW_SIZE = 24;

const SYMBOL_TLS = 6;
const SYMBOL_OBJECT = 1;
const SLOT_KINDS: ReadonlyMap<number, TlsSlot['kind']> = new Map([
  [16, 'module'], // R_X86_64_DTPMOD64
  [18, 'offset'], // R_X86_64_TPOFF64
  [36, 'descriptor'], // R_X86_64_TLSDESC
]);
/** Slots of one variable are few: linkers make one of each kind. */
const MAX_SLOTS = 64;
const FLAG_PIE = 0x08000000;

/**
 * Undefined when the file neither defines nor uses any of the variables, which
 * takes no more than a look at its symbols' kinds.
 * @throws ParseError when the file's tables are broken or too large.
 */
export function tlsFile(image: ElfImage): TlsFile | undefined {
  if (image.machine !== 'x86-64') return undefined;
  const dynamic = DynamicSection.of(image);
  const isProgram = isProgramImage(image, dynamic);
  const found = new Found();
  if (dynamic !== undefined) findSymbols(dynamic.strings(), dynamic.symbols(), found);
  // Static programs have no others, and dynamic ones export only what they are told to.
  const hasBlock = image.segments.some(({ type }) => type === SegmentType.Tls);
  if (isProgram && hasBlock && found.used.size === 0) {
    const { strings, symbols } = symbolTable(image);
    findSymbols(strings, symbols, found);
    // Relocations count the symbols of the other table.
    found.used.clear();
  }
  if (found.variables.size === 0 && found.used.size === 0) return undefined;
  return {
    isProgram,
    blockToPointer: isProgram ? blockToPointer(image) : 0,
    variables: found.variables,
    slots: dynamic === undefined ? [] : findSlots(dynamic, found),
    labelsVersion: labelsVersion(image, found),
  };
}

class Found {
  /** Offset in the block by name. */
  readonly variables = new Map<TlsName, number>();
  /** Number in `.dynsym` of those that relocations may name. */
  readonly used = new Map<number, TlsName>();
  version = 0;
}

function isProgramImage(image: ElfImage, dynamic: DynamicSection | undefined): boolean {
  if (image.type === 'executable') return true;
  if (image.type !== 'shared' || dynamic === undefined) return false;
  if (((dynamic.value(DynamicTag.Flags1) ?? 0) & FLAG_PIE) !== 0) return true;
  // Linkers before 2016 did not say so; libc.so.6 has an interpreter, but a name too.
  return image.interpreter !== '' && dynamic.value(DynamicTag.SharedName) === undefined;
}

/**
 * x86-64 puts the program's block right below the thread pointer, as far down
 * as its size and then its alignment ask for (glibc, musl and linkers agree).
 */
function blockToPointer(image: ElfImage): number {
  const block = image.segments.find(({ type }) => type === SegmentType.Tls);
  if (block === undefined) return 0;
  const align = Math.max(block.align, 1);
  const end = (block.address + block.memorySize) % align;
  return block.memorySize + (end === 0 ? 0 : align - end);
}

function symbolTable(image: ElfImage): { strings?: ByteSource; symbols?: ByteSource } {
  const table = image.sections.find(({ type }) => type === SectionType.Symtab);
  const names = table && image.sections[table.link];
  if (table === undefined || names?.type !== SectionType.Strtab) return {};
  return { strings: image.view(names), symbols: image.view(table) };
}

function findSymbols(
  strings: ByteSource | undefined,
  symbols: ByteSource | undefined,
  found: Found,
): void {
  if (strings === undefined || symbols === undefined) return;
  const known: ReadonlySet<string> = new Set(TLS_NAMES);
  let looked = 0;
  forEachRow(symbols, MAX_SYMBOLS, (view, at, number) => {
    if ((view.getUint8(at + 4) & 15) !== SYMBOL_TLS || ++looked > MAX_VARIABLES) return;
    const name = nameAt(strings, view.getUint32(at, true));
    if (!known.has(name)) return;
    found.used.set(number, name as TlsName);
    const value = readUnsigned64(view, at + 8);
    const isDefined = view.getUint16(at + 6, true) !== 0;
    if (isDefined && Number.isSafeInteger(value)) found.variables.set(name as TlsName, value);
  });
  if (found.variables.has('custom_labels_current_set')) findVersion(strings, symbols, found);
}

/** '' when it is longer than any that is looked for. */
function nameAt(strings: ByteSource, start: number): string {
  if (start >= strings.size) return '';
  const bytes = strings.read(start, Math.min(LONGEST_NAME, strings.size - start));
  const end = bytes.indexOf(0);
  return end < 0 ? '' : Buffer.from(bytes.buffer, bytes.byteOffset, end).toString('latin1');
}

function findVersion(strings: ByteSource, symbols: ByteSource, found: Found): void {
  if (strings.size > MAX_STRINGS) {
    throw new ParseError('strings_too_big', `${strings.size} bytes of names`);
  }
  const names = new Uint8Array(strings.size);
  fill(strings, 0, names);
  // A name may also be the end of a longer one: the last of many is as good as another.
  const place = Buffer.from(names.buffer).lastIndexOf(`${LABELS_VERSION}\0`);
  if (place < 0) return;
  forEachRow(symbols, MAX_SYMBOLS, (view, at) => {
    if (view.getUint32(at, true) !== place) return;
    const isDefined = view.getUint16(at + 6, true) !== 0;
    const isData = (view.getUint8(at + 4) & 15) === SYMBOL_OBJECT;
    if (isDefined && isData) found.version = readUnsigned64(view, at + 8);
  });
}

function findSlots(dynamic: DynamicSection, found: Found): TlsSlot[] {
  const named: TlsSlot[] = [];
  const own: TlsSlot[] = [];
  for (const table of dynamic.relocations()) {
    forEachRow(table, MAX_RELOCATIONS, (view, at) => {
      const kind = SLOT_KINDS.get(view.getUint32(at + 8, true));
      if (kind === undefined) return;
      const symbol = view.getUint32(at + 12, true);
      const name = symbol === 0 ? '' : found.used.get(symbol);
      const list = symbol === 0 ? own : named;
      if (name === undefined || list.length >= MAX_SLOTS) return;
      const address = readUnsigned64(view, at);
      const addend = Number(view.getBigInt64(at + 16, true));
      if (!Number.isSafeInteger(address) || !Number.isSafeInteger(addend)) return;
      list.push({ kind, address, name, addend });
    });
  }
  return [...named, ...own];
}

function labelsVersion(image: ElfImage, found: Found): number {
  if (found.version === 0) return 0;
  const offset = image.addressToOffset(virtualAddress(found.version));
  const segment = image.segments.find(
    ({ type, address, fileSize }) =>
      type === SegmentType.Load &&
      found.version >= address &&
      found.version + 4 <= address + fileSize,
  );
  if (offset === undefined || segment === undefined) return 0;
  const data = image.view(segment).read(found.version - segment.address, 4);
  return viewOf(data).getUint32(0, true);
}

/** @throws ParseError `table_too_big`, or when the file ends within the table. */
function forEachRow(
  table: ByteSource,
  limit: number,
  visit: (view: DataView, at: number, number: number) => void,
): void {
  const count = Math.floor(table.size / ROW_SIZE);
  if (count > limit) {
    throw new ParseError('table_too_big', `${count} entries are more than ${limit}`);
  }
  const chunk = new Uint8Array(Math.min(count, CHUNK_ROWS) * ROW_SIZE);
  const view = viewOf(chunk);
  for (let first = 0; first < count; first += CHUNK_ROWS) {
    const rows = Math.min(CHUNK_ROWS, count - first);
    fill(table, first * ROW_SIZE, chunk.subarray(0, rows * ROW_SIZE));
    for (let row = 0; row < rows; row++) visit(view, row * ROW_SIZE, first + row);
  }
}
