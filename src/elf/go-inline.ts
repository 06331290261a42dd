/**
 * Which calls the compiler inlined: the inlining tree of a function, an array of
 * calls in the module's funcdata. pcdata gives an instruction the number of its
 * innermost call; each call names an instruction of the code that it was inlined
 * into, which leads to the next. Format: runtime/symtab.go (inlinedCall) of Go
 * 1.16 to 1.19, runtime/symtabinl.go from 1.20 on.
 */
import { GoBytes } from './go-bytes.ts';
import type { GoModule } from './go-locate.ts';
import { type FunctionRecord, type Pclntab, PclntabLayout } from './go-pclntab.ts';
import { forEachPcValue } from './go-tables.ts';
import { findModuleData } from './go-text.ts';
import { ParseError } from './source.ts';

const PCDATA_INLINE_INDEX = 2;
const FUNCDATA_INLINE_TREE = 3;
const WORD = 8;
/**
 * Where `moduledata.gofunc` is, in words: Go 1.20 to 1.26, 1.18 and 1.19, 1.27;
 * then what another release may have made of it. The trees decide.
 */
const GOFUNC_WORDS = [40, 38, 43, 39, 41, 42, 44, 45, 46, 47, 48];
/** Trees that a candidate must fit. */
const PROBES = 8;
const MAX_PROBED_FUNCTIONS = 4096;

/** One inlined call. */
export interface InlinedCall {
  /** Of the called function. */
  readonly nameOffset: number;
  readonly kind: number;
  /** Bytes from the entry: an instruction of the call's own place in the source. */
  readonly parent: number;
  /** Of the called function; 0 before Go 1.20. */
  readonly startLine: number;
}

export class GoInlining {
  readonly #table: Pclntab;
  readonly #bytes: GoBytes;
  /** Adds to a funcdata value to make a position in `#bytes`. */
  readonly #shift: number;

  private constructor(table: Pclntab, bytes: GoBytes, shift: number) {
    this.#table = table;
    this.#bytes = bytes;
    this.#shift = shift;
  }

  /**
   * undefined when no function has inlined calls.
   * @throws ParseError `go_inline_base` when the trees cannot be found.
   */
  static find(module: GoModule): GoInlining | undefined {
    const { memory, pages, table } = module;
    const probes = probesOf(table);
    if (probes.length === 0) return undefined;
    for (const address of bases(module, probes)) {
      // Trees lie behind the base in its segment, before 1.18 anywhere in it.
      const relative = table.layout !== PclntabLayout.Go116;
      const segment = memory.loads.find(
        (load) => address >= load.address && address < load.address + load.fileSize,
      );
      const start = relative ? address : segment?.address;
      const source = start === undefined ? undefined : memory.from(start);
      if (source === undefined || start === undefined) continue;
      const found = new GoInlining(table, new GoBytes(source, pages), relative ? 0 : -start);
      if (probes.every((probe) => found.#fits(probe))) return found;
    }
    throw new ParseError('go_inline_base', 'no inlining trees where they should be');
  }

  /** Number of the innermost call at `distance` from the entry, -1 = the function's own code. */
  static index(table: Pclntab, record: FunctionRecord, distance: number): number {
    return table.pcdata(record, PCDATA_INLINE_INDEX, distance) ?? -1;
  }

  /** @throws ParseError `go_inline_tree`, `out_of_bounds`. */
  call(record: FunctionRecord, index: number): InlinedCall {
    const tree = this.#table.funcdata(record, FUNCDATA_INLINE_TREE);
    if (tree === undefined) {
      throw new ParseError('go_inline_tree', `function ${record.index} has none`);
    }
    const bytes = this.#bytes;
    const start = tree + this.#shift;
    const isNew = this.#table.layout === PclntabLayout.Go120;
    // kind pad pad pad name parent start, before: up(2) kind pad file line name parent.
    const at = start + index * (isNew ? 16 : 20);
    const parent = bytes.u32(at + (isNew ? 8 : 16));
    if (!(parent < record.end - record.entry)) {
      throw new ParseError('go_inline_tree', `call ${index} of function ${record.index}`);
    }
    return {
      nameOffset: bytes.u32(at + (isNew ? 4 : 12)),
      kind: bytes.u8(at + (isNew ? 0 : 2)),
      parent,
      startLine: isNew ? bytes.u32(at + 12) | 0 : 0,
    };
  }

  #fits({ record, calls }: Probe): boolean {
    try {
      for (let index = 0; index < calls; index++) {
        const { nameOffset } = this.call(record, index);
        if (!this.#table.isName(nameOffset)) return false;
      }
      return true;
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      return false;
    }
  }
}

interface Probe {
  readonly record: FunctionRecord;
  /** In its tree, as far as the code uses them. */
  readonly calls: number;
}

/** Functions with inlined calls, from all over the table. */
function probesOf(table: Pclntab): Probe[] {
  const probes: Probe[] = [];
  const count = table.functionCount;
  const step = Math.max(1, Math.floor(count / MAX_PROBED_FUNCTIONS));
  // A stride that shares no factor with the count would visit all; coarse first is enough.
  for (let stride = Math.max(step, Math.floor(count / 64)); ; stride = Math.floor(stride / 4)) {
    for (let index = 0; index < count && probes.length < PROBES; index += Math.max(stride, step)) {
      const probe = probeOf(table, index);
      if (probe !== undefined) probes.push(probe);
    }
    if (probes.length > 0 || stride <= step) return probes;
  }
}

function probeOf(table: Pclntab, index: number): Probe | undefined {
  try {
    const record = table.record(index);
    const indexes = table.pcdataTable(record, PCDATA_INLINE_INDEX);
    if (indexes === undefined || table.funcdata(record, FUNCDATA_INLINE_TREE) === undefined) {
      return undefined;
    }
    let calls = 0;
    forEachPcValue(indexes, (_start, _end, value) => {
      calls = Math.max(calls, value + 1);
    });
    return calls > 0 && calls < 1 << 16 ? { record, calls } : undefined;
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    return undefined;
  }
}

function* bases(module: GoModule, probes: readonly Probe[]): Generator<number> {
  const { memory, table, tableAddress } = module;
  if (table.layout === PclntabLayout.Go116) {
    const address = table.funcdata(probes[0]!.record, FUNCDATA_INLINE_TREE);
    if (address !== undefined) yield address;
    return;
  }
  const moduleData = findModuleData(memory, table, tableAddress);
  if (moduleData === undefined) return;
  for (const word of GOFUNC_WORDS) {
    const address = memory.pointer(moduleData + word * WORD);
    if (address !== undefined && address !== 0) yield address;
  }
}
