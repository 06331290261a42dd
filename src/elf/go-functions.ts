/** Names, files, lines and inlined calls of a Go binary's functions, stripped or not. */
import type { VirtualAddress } from '../units/units.ts';
import { virtualAddress } from '../units/units.ts';
import { GoInlining } from './go-inline.ts';
import { type GoModule, locateGoModule } from './go-locate.ts';
import { GoPages } from './go-pages.ts';
import type { FunctionRecord } from './go-pclntab.ts';
import { pcValueAt } from './go-tables.ts';
import type { ElfImage } from './image.ts';
import { PositionCache } from './position-cache.ts';
import { ParseError } from './source.ts';

/** Names and paths are kept by position, 16,384 and 2,048 of them. */
const NAME_BITS = 14;
const FILE_BITS = 11;
/** Deeper than any compiler inlines. */
const MAX_INLINED = 128;

/** One function activation. */
export interface GoLine {
  /** As runtime.CallersFrames prints it: `main.Map[...]`. */
  readonly name: string;
  /** As the linker and runtime/pprof write it: `main.Map[go.shape.int]`. */
  readonly systemName: string;
  /** As in the build; '' when unknown. */
  readonly file: string;
  /** At the address or, of a caller, of its call; 0 when unknown. */
  readonly line: number;
  /** Go's tables have none: 0. */
  readonly column: number;
  /**
   * Where the function is declared. Go before 1.20 does not record it: the line
   * of its entry, 0 for an inlined one.
   */
  readonly startLine: number;
}

interface Name {
  readonly name: string;
  readonly systemName: string;
  /** Has a kind of its own, unless it is a wrapper. */
  readonly isKind: boolean;
}

type Text = (raw: string) => string;
const asItIs: Text = (raw) => raw;

export class GoFunctions {
  readonly module: GoModule;
  /** What of the inlining trees or the line tables was refused so far, by reason. */
  readonly problems = new Map<string, number>();
  readonly #textStart: number;
  readonly #names = new PositionCache<Name>(NAME_BITS);
  readonly #files = new PositionCache<string>(FILE_BITS);
  #text: Text = asItIs;
  #last: FunctionRecord | undefined;
  /** null: not looked for yet. */
  #inlining: GoInlining | undefined | null = null;

  private constructor(module: GoModule) {
    this.module = module;
    this.#textStart = module.textStart;
  }

  /**
   * undefined when this is no Go binary. `image` must stay readable. Whoever
   * opens many shares `pages` among them.
   * @throws ParseError when it is one whose tables cannot be trusted; see
   *   locateGoModule.
   */
  static open(image: ElfImage, pages = new GoPages()): GoFunctions | undefined {
    const module = locateGoModule(image, pages);
    return module === undefined ? undefined : new GoFunctions(module);
  }

  /** Addresses that the function table covers. */
  get text(): { start: VirtualAddress; end: VirtualAddress } {
    return {
      start: virtualAddress(this.#textStart + this.module.table.entry(0)),
      end: virtualAddress(this.#textStart + this.module.table.textSize),
    };
  }

  /**
   * The functions at an address of the file, innermost inlined call first, the
   * function that the linker knows last; undefined outside Go's text. For a
   * return address pass the address - 1.
   *
   * Wrappers that the compiler made (method wrappers, `-fm`, `deferwrap`) are left
   * out beside an inlined call, as runtime.Callers leaves them out of a stack;
   * one that is alone at its address stays.
   * @param text applied to names and paths before they are kept.
   * @throws ParseError when the function's record is broken. Broken lines and
   *   inlining trees are counted in `problems` and leave file and line unknown.
   */
  lookup(address: VirtualAddress, text = asItIs): readonly GoLine[] | undefined {
    if (text !== this.#text) {
      this.#names.clear();
      this.#files.clear();
      this.#text = text;
    }
    const record = this.recordAt(address);
    if (record === undefined) return undefined;
    const distance = address - this.#textStart - record.entry;
    try {
      return this.#chain(record, distance);
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      this.#problem(error.reason);
      return [this.#unplaced(record)];
    }
  }

  /** The record of the function at an address: the way to its pcdata and funcdata. */
  recordAt(address: VirtualAddress): FunctionRecord | undefined {
    const distance = address - this.#textStart;
    const last = this.#last;
    if (last !== undefined && distance >= last.entry && distance < last.end) return last;
    const index = this.module.table.find(distance);
    if (index < 0) return undefined;
    this.#last = this.module.table.record(index);
    return this.#last;
  }

  /** Address of the first function of that name (the linker's full name), by a scan of all. */
  findByName(name: string): { start: VirtualAddress; end: VirtualAddress } | undefined {
    const { table } = this.module;
    for (let index = 0; index < table.functionCount; index++) {
      const record = table.record(index);
      if (table.nameStartsWith(record.nameOffset, name) && table.name(record) === name) {
        return {
          start: virtualAddress(this.#textStart + record.entry),
          end: virtualAddress(this.#textStart + record.end),
        };
      }
    }
    return undefined;
  }

  #chain(record: FunctionRecord, distance: number): GoLine[] {
    const { table } = this.module;
    const lines: GoLine[] = [];
    let at = distance;
    let previous = -1;
    for (let depth = 0; ; depth++) {
      const index = GoInlining.index(table, record, at);
      if (index < 0) break;
      // Go itself makes circles: where the compiler evaluated all of an init function,
      // the first instruction belongs to a call that names this very instruction.
      if (index === previous || depth >= MAX_INLINED) {
        this.#problem('go_inline_cycle');
        if (depth >= MAX_INLINED) lines.length = 0;
        lines.push(this.#unplaced(record));
        return lines;
      }
      previous = index;
      const call = this.#inlinedCalls().call(record, index);
      const name = this.#name(call.nameOffset);
      if (call.kind === 0 || name.isKind) lines.push(this.#line(record, at, name, call.startLine));
      at = call.parent;
    }
    const name = this.#name(record.nameOffset);
    if (lines.length > 0 && record.kind !== 0 && !name.isKind) return lines;
    const startLine = record.startLine > 0 ? record.startLine : this.#entryLine(record);
    lines.push(this.#line(record, at, name, startLine));
    return lines;
  }

  /** The function alone: whose line it is that the table states is not known. */
  #unplaced(record: FunctionRecord): GoLine {
    const { name, systemName } = this.#name(record.nameOffset);
    const startLine = Math.max(record.startLine, 0);
    return { name, systemName, file: '', line: 0, column: 0, startLine };
  }

  #problem(reason: string): void {
    this.problems.set(reason, (this.problems.get(reason) ?? 0) + 1);
  }

  #line(record: FunctionRecord, distance: number, name: Name, startLine: number): GoLine {
    const { table } = this.module;
    const number = record.pcfile === 0 ? -1 : this.#value(record, record.pcfile, distance);
    const line = record.pcln === 0 ? -1 : this.#value(record, record.pcln, distance);
    const offset = table.fileOffset(record, number);
    const isKnown = offset >= 0 && line >= 0;
    return {
      name: name.name,
      systemName: name.systemName,
      file: isKnown ? this.#file(offset) : '',
      line: isKnown ? line : 0,
      column: 0,
      startLine: Math.max(startLine, 0),
    };
  }

  /** Go before 1.20: the first instruction is mostly the prologue, whose line is the declaration's. */
  #entryLine(record: FunctionRecord): number {
    if (record.pcln === 0 || GoInlining.index(this.module.table, record, 0) >= 0) return 0;
    return this.#value(record, record.pcln, 0);
  }

  #value(record: FunctionRecord, offset: number, distance: number): number {
    return pcValueAt(this.module.table.table(record, offset), distance) ?? -1;
  }

  #inlinedCalls(): GoInlining {
    if (this.#inlining === null) {
      this.#inlining = undefined;
      this.#inlining = GoInlining.find(this.module);
    }
    if (this.#inlining === undefined) {
      throw new ParseError('go_inline_base', 'the inlining trees were not found');
    }
    return this.#inlining;
  }

  #name(offset: number): Name {
    return this.#names.get(offset) ?? this.#names.set(offset, this.#readName(offset));
  }

  #readName(offset: number): Name {
    const raw = this.module.table.nameAt(offset);
    const systemName = this.#text(raw);
    const printed = printedName(raw);
    const name = printed === raw ? systemName : this.#text(printed);
    return { name, systemName, isKind: KINDS.has(raw) };
  }

  #file(offset: number): string {
    const known = this.#files.get(offset);
    return known ?? this.#files.set(offset, this.#text(this.module.table.fileAt(offset)));
  }
}

/** Go prints `[...]` for type arguments, whose written form is the compiler's business. */
function printedName(name: string): string {
  const first = name.indexOf('[');
  if (first < 0) return name;
  const last = name.lastIndexOf(']');
  return last <= first ? name : `${name.slice(0, first)}[...]${name.slice(last + 1)}`;
}

/**
 * Functions that have a kind of their own in some release from 1.16 to 1.27
 * (objabi.GetFuncID). All others with a kind other than 0 are wrappers, whose
 * number changes with nearly every release.
 */
const KINDS: ReadonlySet<string> = new Set(
  (
    'abort asmcgocall asyncPreempt cgocallback corostart debugCallV1 debugCallV2 ' +
    'externalthreadhandler gcBgMarkWorker goexit gogo gopanic handleAsyncEvent jmpdefer main ' +
    'mcall morestack mstart panicwrap rt0_go runCleanups runFinalizers runfinq sigpanic ' +
    'systemstack systemstack_switch'
  )
    .split(' ')
    .map((name) => `runtime.${name}`),
);
