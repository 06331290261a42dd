/**
 * Where Go's text starts. Every name and rule hangs on it, so no candidate is
 * believed before the code at the function entries agrees with the stack
 * depths that the tables state.
 */
import type { GoMemory } from './go-memory.ts';
import { type Pclntab, PclntabLayout } from './go-pclntab.ts';
import { forEachPcValue } from './go-tables.ts';
import { ParseError } from './source.ts';

const SAMPLES = 64;
/** Offsets of the fields in `runtime.moduledata`, the same from Go 1.16 to 1.27. */
const MODULE_MINPC = 160;
const MODULE_TEXT = 176;
const MODULE_SIZE = 192;

/**
 * The address that the table's entries are relative to.
 * @throws ParseError `go_text_start` when no candidate agrees with the code.
 */
export function findGoText(memory: GoMemory, table: Pclntab, tableAddress: number): number {
  for (const start of candidates(memory, table, tableAddress)) {
    if (agrees(memory, table, start)) return start;
  }
  throw new ParseError('go_text_start', 'no text start agrees with the code');
}

/** In the order of how often each is right. */
function* candidates(memory: GoMemory, table: Pclntab, tableAddress: number): Generator<number> {
  if (table.absoluteBase !== 0) yield table.absoluteBase;
  if (table.headerTextStart !== 0) yield table.headerTextStart;
  if (table.layout !== PclntabLayout.Go116) {
    // In a PIE the header's field may be zero in the file and come from a relocation.
    const field = memory.relocationAt(tableAddress + 24);
    if (field !== undefined && field.addend > 0) yield field.addend;
  }
  const moduleData = findModuleData(memory, table, tableAddress);
  if (moduleData !== undefined) {
    const text = memory.pointer(moduleData + MODULE_TEXT);
    if (text !== undefined && text !== 0) yield text;
  }
  // Without cgo the Go text is the whole section, without sections the whole segment.
  const section = memory.image.section('.text');
  if (section !== undefined) yield section.address;
  for (const segment of memory.loads) {
    if ((segment.flags & 1) === 0) continue;
    yield segment.address;
    yield segment.address + 4096;
  }
}

/**
 * Address of runtime.firstmoduledata, or a plugin's: what points to the table
 * first and has a text of the table's size. Searches all data, 0.1 s in large
 * programs.
 */
export function findModuleData(
  memory: GoMemory,
  table: Pclntab,
  tableAddress: number,
): number | undefined {
  for (const place of places(memory, tableAddress)) {
    if (memory.bytes(place, MODULE_SIZE) === undefined) continue;
    if (memory.pointer(place) !== tableAddress) continue;
    const low = memory.pointer(place + MODULE_MINPC) ?? 0;
    const high = memory.pointer(place + MODULE_MINPC + 8) ?? 0;
    if (high - low === table.textSize - table.entry(0)) return place;
  }
  return undefined;
}

/** The sections where linkers put it first: all the data of a large program is long. */
function* places(memory: GoMemory, tableAddress: number): Generator<number> {
  const named = memory.image.section('.go.module')?.address;
  if (named !== undefined) yield named;
  const data = memory.image.section('.noptrdata');
  if (data !== undefined) yield* memory.pointersTo(tableAddress, data);
  yield* memory.pointersTo(tableAddress);
}

/**
 * Whether the instructions that open a frame are where the stack depth changes:
 * `push` where it grows by 8, else `sub rsp, n` of that very n. Text that starts
 * one byte elsewhere agrees in a few of a hundred functions, the right one in all.
 */
function agrees(memory: GoMemory, table: Pclntab, start: number): boolean {
  let checked = 0;
  let agreed = 0;
  const step = Math.max(1, Math.floor(table.functionCount / SAMPLES));
  for (let index = 0; index < table.functionCount; index += step) {
    const record = table.record(index);
    const first = firstRise(table, index);
    if (first === undefined) continue;
    const code = memory.bytes(start + record.entry + first.at - 8, 8);
    checked++;
    if (code !== undefined && opensFrame(code, first.depth)) agreed++;
  }
  // A handful of assembly functions grow the stack in other ways.
  return checked > 0 && agreed >= checked * 0.9;
}

function firstRise(table: Pclntab, index: number): { at: number; depth: number } | undefined {
  const record = table.record(index);
  if (record.pcsp === 0) return undefined;
  let rise: { at: number; depth: number } | undefined;
  forEachPcValue(table.table(record, record.pcsp), (from, _to, depth) => {
    if (rise === undefined && depth > 0 && from >= 1) rise = { at: from, depth };
  });
  return rise;
}

/** `code` is the 8 bytes before the depth is in force. */
function opensFrame(code: Uint8Array, depth: number): boolean {
  if (depth === 8 && ((code[7]! & 0xf8) === 0x50 || code[7] === 0x9c)) return true;
  const [b1, b2, b3, b4, b5, b6, b7] = code.subarray(1);
  // 48 83 ec ib, or 48 83 c4 80: 128 fits an imm8 only as "add -128".
  if (b4 === 0x48 && b5 === 0x83 && b6 === 0xec && b7 === depth) return true;
  if (b4 === 0x48 && b5 === 0x83 && b6 === 0xc4 && depth === 128) return true;
  const immediate = (b4! | (b5! << 8) | (b6! << 16) | (b7! << 24)) >>> 0;
  if (b1 === 0x48 && b2 === 0x81 && b3 === 0xec && immediate === depth) return true;
  // ADJSP is `lea rsp, [rsp-n]`.
  return b1 === 0x48 && b2 === 0x8d && b3 === 0xa4;
}
