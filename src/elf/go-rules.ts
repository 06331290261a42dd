/**
 * Unwind rules for Go code, from the stack depths that Go's linker records for
 * every instruction. They are exact in prologues, epilogues and frameless
 * leaves, where a frame pointer loses the caller.
 */
import { type TextOffset, textOffset } from '../units/units.ts';
import {
  type EncodedRule,
  encodeDerefRule,
  encodeOffsetRule,
  encodePlainRule,
  RBP_SAME,
  Rule,
} from '../unwind/rule.ts';
import type { RowSink, RuleSource } from '../unwind/source.ts';
import { GoBytes } from './go-bytes.ts';
import type { GoFunctions } from './go-functions.ts';
import { forEachInstruction, Step } from './go-instructions.ts';
import { FunctionFlag, type FunctionRecord, type Pclntab, PclntabLayout } from './go-pclntab.ts';
import { forEachPcValue } from './go-tables.ts';
import { ParseError } from './source.ts';

/** Go saves rbp right under the return address. */
const SAVED = 2;
/** Functions that switch stacks have at most about 500 bytes. */
const MAX_SWITCH_CODE = 4096;

/** What a rule can say: 20 signed bits of 8 bytes. */
const MAX_DEPTH = 2 ** 22 - 16;

const NONE = encodePlainRule(Rule.None);
const END = encodePlainRule(Rule.End);
const SIGNAL = encodePlainRule(Rule.Signal);
/** The caller may be on another stack: no order of addresses holds. */
const FRAME_POINTER = encodeOffsetRule(Rule.GoFramePointer, SAVED, 16);

/** Outermost functions of goroutines and threads. */
const ROOTS: ReadonlySet<string> = new Set([
  'runtime.goexit',
  'runtime.mstart',
  'runtime.rt0_go',
  '_rt0_amd64',
  '_rt0_amd64_linux',
]);
/** What the kernel returns to after a signal handler. */
const SIGNAL_RETURNS: ReadonlySet<string> = new Set([
  'runtime.sigreturn',
  'runtime.sigreturn__sigaction',
]);
/**
 * What holds once a function without a frame has loaded another stack pointer.
 * mcall's old stack is not waiting for it, gogo's new one was not its caller,
 * clone's child has no caller: these end.
 */
const SWITCHED: ReadonlyMap<string, EncodedRule> = new Map([
  ['runtime.mcall', END],
  ['gogo', END],
  ['runtime.gogo', END],
  ['runtime.clone', END],
  ['runtime.morestack', encodePlainRule(Rule.GoMorestack)],
  ['runtime.systemstack', encodeOffsetRule(Rule.GoSwitch, RBP_SAME, 8)],
  ['runtime.asmcgocall', encodeOffsetRule(Rule.GoSwitch, RBP_SAME, 8)],
]);
/** asmcgocall before Go 1.21, when it is on the system stack already, keeps its rsp at rsp+40. */
const SAVED_AT_40 = encodeDerefRule(Rule.RspDeref, RBP_SAME, 40, 8);

/**
 * asmcgocall before Go 1.21, on the thread's stack: a callback into Go moves what
 * the goroutine has saved, but not what asmcgocall has.
 */
const CALLS_C = encodePlainRule(Rule.GoCallC);

export class GoRules implements RuleSource {
  readonly problems = new Map<string, number>();
  readonly #table: Pclntab;
  /** Address of the Go text minus the file's text base: adds to entries to make text offsets. */
  readonly #shift: number;
  readonly #code: GoBytes;

  /**
   * @throws ParseError `go_text` when the Go text is not in the file's executable part.
   */
  constructor(functions: GoFunctions) {
    const { table, memory, pages, textStart } = functions.module;
    this.#table = table;
    this.#shift = textStart - memory.image.textBase;
    const code = memory.from(textStart, table.textSize);
    if (this.#shift < 0 || code === undefined) {
      throw new ParseError('go_text', 'the Go text is not in the file');
    }
    this.#code = new GoBytes(code, pages);
  }

  /** Text offsets of the first byte of Go's text and of the one behind its end. */
  get range(): { start: TextOffset; end: TextOffset } {
    return {
      start: textOffset(this.#shift + this.#table.entry(0)),
      end: textOffset(this.#shift + this.#table.textSize),
    };
  }

  /** Whether the rules here, not those of `.eh_frame`, hold: inside functions built by Go. */
  covers(offset: TextOffset): boolean {
    const index = this.#table.find(offset - this.#shift);
    if (index < 0) return false;
    try {
      return this.#table.record(index).pcsp !== 0;
    } catch (error) {
      this.#count(error);
      return false;
    }
  }

  rows(from: TextOffset, to: TextOffset, sink: RowSink): void {
    const table = this.#table;
    if (!(from < to)) return;
    const emit = clipped(from, to, sink);
    const shift = this.#shift;
    emit(0, NONE);
    let index =
      from - shift < table.textSize ? Math.max(table.find(from - shift), 0) : table.functionCount;
    for (; index < table.functionCount && table.entry(index) + shift < to; index++) {
      this.#functionRows(index, (start, rule) => emit(start + shift, rule));
    }
    // The byte before a signal's return point belongs to it: see #functionRows.
    const next = table.entry(index) + shift;
    if (index === table.functionCount && next < to) emit(next, NONE);
    emit(to, NONE);
  }

  /** Rows of one function; starts are distances from the text start. */
  #functionRows(index: number, emit: (start: number, rule: EncodedRule) => void): void {
    const table = this.#table;
    try {
      const record = table.record(index);
      const name = this.#assemblyName(record);
      if (record.pcsp === 0) emit(record.entry, NONE);
      else if (ROOTS.has(name)) emit(record.entry, END);
      else if (SIGNAL_RETURNS.has(name)) emit(record.entry, SIGNAL);
      else if (this.#switchesStacks(record, name)) this.#switchRows(record, name, emit);
      else this.#plainRows(record, (start, _end, _depth, rule) => emit(record.entry + start, rule));
    } catch (error) {
      this.#count(error);
      emit(table.entry(index), NONE);
    }
    if (index + 1 < table.functionCount && this.#returnsFromSignal(index + 1)) {
      // A signal handler returns to the first byte, and callers are looked up at
      // the return address - 1.
      emit(table.entry(index + 1) - 1, SIGNAL);
    }
  }

  #plainRows(
    record: FunctionRecord,
    emit: (start: number, end: number, depth: number, rule: EncodedRule) => void,
  ): void {
    let savedFrom: number | undefined;
    let previous = 0;
    forEachPcValue(this.#table.table(record, record.pcsp), (start, end, depth) => {
      if (depth > 0 && previous === 0) savedFrom ??= this.#frameSavedFrom(record, start, depth);
      previous = depth;
      // -8 is vfork's wrapper, which has popped its return address for a while:
      // it still lies under rsp.
      if (depth < -8 || depth % 8 !== 0 || depth > MAX_DEPTH) {
        // reflection's call4194304 and larger open a frame with a frame pointer.
        const framed = depth > MAX_DEPTH && savedFrom !== undefined && savedFrom <= end;
        if (!framed) this.#increment('go_sp_depth');
        emit(start, end, depth, framed ? FRAME_POINTER : NONE);
        return;
      }
      const plain = encodeOffsetRule(Rule.Rsp, RBP_SAME, depth + 8);
      if (depth <= 0 || savedFrom === undefined || savedFrom >= end) {
        emit(start, end, depth, plain);
        return;
      }
      if (savedFrom > start) emit(start, savedFrom, depth, plain);
      const saved = encodeOffsetRule(Rule.Rsp, SAVED, depth + 8);
      emit(Math.max(start, savedFrom), end, depth, saved);
    });
  }

  /**
   * From where on the function's first frame has the caller's rbp under the
   * return address; Infinity when it does not save it there. `start` is where
   * the stack has got `depth` bytes.
   */
  #frameSavedFrom(record: FunctionRecord, start: number, depth: number): number {
    const at = record.entry + start;
    const code = this.#code;
    // Go 1.21 and later: push rbp; mov rbp, rsp; sub rsp, n.
    if (depth === 8 && start > 0 && code.u8(at - 1) === 0x55) return start;
    // Before: sub rsp, n; mov [rsp+n-8], rbp; lea rbp, [rsp+n-8].
    if (at + 8 > code.size || code.u8(at) !== 0x48 || code.u8(at + 1) !== 0x89) {
      return Number.POSITIVE_INFINITY;
    }
    const modrm = code.u8(at + 2);
    if (code.u8(at + 3) === 0x24) {
      if (modrm === 0x6c && code.u8(at + 4) === depth - 8) return start + 5;
      if (modrm === 0xac && code.u32(at + 4) === depth - 8) return start + 8;
      // mov [rsp], rbp
      if (modrm === 0x2c && depth === 8) return start + 4;
    }
    return Number.POSITIVE_INFINITY;
  }

  /**
   * Functions that write rsp. With a frame, rbp keeps pointing to the saved rbp
   * on the caller's stack while rsp is on another one, and callees preserve
   * rbp: the frame pointer also crosses the switch. Without one, the rule of
   * SWITCHED holds from the write to the next.
   */
  #switchRows(
    record: FunctionRecord,
    name: string,
    emit: (start: number, rule: EncodedRule) => void,
  ): void {
    const length = Math.min(record.end - record.entry, MAX_SWITCH_CODE);
    const code = new Uint8Array(length);
    for (let at = 0; at < length; at++) code[at] = this.#code.u8(record.entry + at);
    const changes = switchChanges(code, name);
    let next = 0;
    let override: EncodedRule | undefined;
    const apply = (depth: number, rule: EncodedRule): EncodedRule =>
      override === undefined || (override === FRAME_POINTER && depth === 0) ? rule : override;
    this.#plainRows(record, (start, end, depth, rule) => {
      let change = changes[next];
      while (change !== undefined && change.at <= start) {
        override = change.rule;
        change = changes[++next];
      }
      emit(record.entry + start, apply(depth, rule));
      while (change !== undefined && change.at < end) {
        override = change.rule;
        emit(record.entry + change.at, apply(depth, rule));
        change = changes[++next];
      }
    });
  }

  #switchesStacks(record: FunctionRecord, name: string): boolean {
    // Go 1.16 has no flags; its switching functions are those with a name here.
    return (record.flag & FunctionFlag.WritesSp) !== 0 || SWITCHED.has(name);
  }

  #returnsFromSignal(index: number): boolean {
    try {
      return SIGNAL_RETURNS.has(this.#assemblyName(this.#table.record(index)));
    } catch {
      // The function itself reports it.
      return false;
    }
  }

  /** '' for compiled functions, where they can be told apart (from Go 1.18's layout on). */
  #assemblyName(record: FunctionRecord): string {
    const told = this.#table.layout !== PclntabLayout.Go116;
    return told && (record.flag & FunctionFlag.Assembly) === 0 ? '' : this.#table.name(record);
  }

  #count(error: unknown): void {
    if (!(error instanceof ParseError)) throw error;
    this.#increment(error.reason);
  }

  #increment(reason: string): void {
    this.problems.set(reason, (this.problems.get(reason) ?? 0) + 1);
  }
}

interface Change {
  readonly at: number;
  /** undefined: the plain rule of the stack depth. */
  readonly rule: EncodedRule | undefined;
}

function switchChanges(code: Uint8Array, name: string): Change[] {
  const changes: Change[] = [];
  const switched = SWITCHED.get(name);
  let framed = false;
  let onOther = false;
  const complete = forEachInstruction(code, (_start, end, kind) => {
    if (kind === Step.FrameSet) {
      framed = true;
      changes.push({ at: end, rule: FRAME_POINTER });
      return;
    }
    const ends = switched !== undefined && !crosses(switched);
    if (framed && !ends) {
      if (kind === Step.FrameRestored) changes.push({ at: end, rule: undefined });
      if (kind === Step.Return) changes.push({ at: end, rule: FRAME_POINTER });
      return;
    }
    const comesBack = switched !== undefined && crosses(switched);
    if (onOther && comesBack && (kind === Step.LoadSp || kind === Step.SetSp)) {
      onOther = false;
      changes.push({ at: end, rule: undefined });
    } else if (!onOther && (kind === Step.LoadSp || kind === Step.SetSp)) {
      onOther = true;
      changes.push({ at: end, rule: switched ?? NONE });
    } else if (kind === Step.SaveSp40 && !onOther && name === 'runtime.asmcgocall') {
      onOther = true;
      changes.push({ at: end, rule: SAVED_AT_40 });
    } else if (kind === Step.SaveDepth40 && onOther && name === 'runtime.asmcgocall') {
      changes.push({ at: end, rule: CALLS_C });
    }
  });
  if (!complete) changes.push({ at: changes.at(-1)?.at ?? 0, rule: NONE });
  return changes;
}

/** Whether the function comes back to its stack. */
const crosses = (rule: EncodedRule): boolean => (rule & 15) === Rule.GoSwitch;

/** Emits to `sink` what is inside [from, to), the first row at `from`, without repeats. */
function clipped(
  from: number,
  to: number,
  sink: RowSink,
): (start: number, rule: EncodedRule) => void {
  let pending: { start: number; rule: EncodedRule } | undefined;
  let last: EncodedRule | undefined;
  return (start, rule) => {
    // A row is only final when the next begins later: the byte before a signal's
    // return point may take the place of a row that starts there.
    if (pending !== undefined && Math.max(start, from) > pending.start) {
      if (pending.rule !== last) sink(textOffset(pending.start), pending.rule);
      last = pending.rule;
    }
    if (start < to) pending = { start: Math.max(start, from), rule };
  };
}
