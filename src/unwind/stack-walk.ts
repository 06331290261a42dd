/**
 * Unwinds the stack copy of a deferred sample by the same rules as the kernel
 * (bpf/unwind.h): what one says the other must say too, frame by frame.
 */
import {
  type EndReason,
  FLAG_EXACT_START,
  FLAG_STACK_CUT,
  MAX_USER_FRAMES,
  REGISTER_COUNT,
} from '../capture/record.ts';
import {
  RBP_AT_RBP,
  RBP_SAME,
  Rule,
  ruleDerefAdd,
  ruleDerefOffset,
  ruleKind,
  ruleOffset,
  ruleRbp,
  ruleRegister,
  ruleRegisterOffset,
} from './rule.ts';

const RBP = 6;
const RSP = 7;
const RIP = 16;
/** mcontext in the rt_sigframe, from rsp once the handler has returned. */
const SIGFRAME_RBP = 120;
const SIGFRAME_RSP = 160;
const SIGFRAME_RIP = 168;

/** A stack copy with its registers in DWARF order. */
export interface StackCopy {
  readonly registers: Float64Array;
  readonly base: number;
  readonly bytes: DataView;
  readonly flags: number;
  /** Frames below the first one that were unwound before. */
  readonly done: number;
}

/** What an exact step found: a caller that was called or interrupted, the outermost frame, or why not. */
export type ExactStep = 'called' | 'interrupted' | 'end' | 'unreadable' | 'failed';

/** What is known about an address of the process. */
export interface CodePlace {
  readonly kind: 'file' | 'anonymous' | 'unreadable';
  /** The rule in force; only asked for files. */
  rule(lookup: number, exact: boolean): number;
  /**
   * One exact step by the file's full unwind information, for rules that eight
   * bytes cannot hold. Changes `registers` to those of the caller.
   */
  exactStep(
    lookup: number,
    registers: Float64Array,
    read: (address: number) => number | undefined,
  ): ExactStep;
}

export const anonymousPlace: CodePlace = {
  kind: 'anonymous',
  rule: () => 0,
  exactStep: () => 'failed',
};
export const unreadablePlace: CodePlace = {
  kind: 'unreadable',
  rule: () => 0,
  exactStep: () => 'failed',
};

export interface Walked {
  /** Leaf first; exact pcs are marked in `exact`. */
  readonly addresses: Float64Array;
  readonly exact: Uint8Array;
  readonly length: number;
  readonly end: EndReason;
}

/** One buffer for all walks: only valid until the next one. */
export class StackWalker {
  readonly #addresses = new Float64Array(MAX_USER_FRAMES);
  readonly #exact = new Uint8Array(MAX_USER_FRAMES);
  readonly #registers = new Float64Array(REGISTER_COUNT);
  #copy!: StackCopy;

  walk(
    copy: StackCopy,
    place: (address: number) => CodePlace | undefined,
    maxDepth = MAX_USER_FRAMES,
  ): Walked {
    this.#copy = copy;
    const first = this.#run(place, maxDepth, false);
    // Rules that need more registers than rsp and rbp: all registers are
    // carried from the leaf on, which is exact and slower.
    const complete = copy.done === 0;
    const result =
      complete && first.end === 'complex_rule' ? this.#run(place, maxDepth, true) : first;
    return {
      addresses: this.#addresses,
      exact: this.#exact,
      length: result.length,
      end: result.end,
    };
  }

  #run(
    place: (address: number) => CodePlace | undefined,
    maxDepth: number,
    allRegisters: boolean,
  ): { length: number; end: EndReason } {
    const registers = this.#registers;
    registers.set(this.#copy.registers);
    const read = (address: number) => this.#read(address);
    let exact = (this.#copy.flags & FLAG_EXACT_START) !== 0;
    let leaf = this.#copy.done === 0;
    let byFramePointer = false;
    let length = 0;
    const stop = (end: EndReason) => ({ length, end });
    for (;;) {
      const pc = registers[RIP]!;
      const lookup = exact ? pc : pc - 1;
      const code = place(lookup);
      if (!code) return stop(byFramePointer ? 'frame_pointer_end' : 'no_mapping');
      if (length + this.#copy.done >= maxDepth || length >= MAX_USER_FRAMES)
        return stop('depth_limit');
      this.#addresses[length] = pc;
      this.#exact[length] = exact ? 1 : 0;
      length++;
      if (code.kind === 'unreadable') return stop('unreadable_file');
      const rule: number = code.kind === 'file' ? code.rule(lookup, exact) : Rule.None;
      const kind = ruleKind(rule);
      const sp = registers[RSP]!;
      const bp = registers[RBP]!;
      // vfork has popped its return address: its CFA is rsp itself.
      const least = leaf ? sp : sp + 1;
      if (kind === Rule.End) return stop('root');
      if (kind === Rule.Signal) {
        const end = this.#signal(registers, sp);
        if (end) return stop(end);
        // The handler "returns" to the trampoline's first byte: no call before it.
        this.#exact[length - 1] = 1;
        exact = true;
        leaf = false;
        byFramePointer = false;
        continue;
      }
      if (kind === Rule.GoSwitch || kind === Rule.GoMorestack || kind === Rule.GoCallC) {
        return stop('go_stack_switch');
      }
      const byChain = byFramePointer;
      byFramePointer = kind === Rule.None;
      if (
        kind === Rule.Complex ||
        (kind === Rule.Register && !leaf) ||
        (allRegisters && !byFramePointer)
      ) {
        if (!allRegisters) return stop('complex_rule');
        const step = code.exactStep(lookup, registers, read);
        if (step === 'end') return stop('root');
        if (step === 'unreadable') return stop(this.#unread('stack_unreadable'));
        // Go's code has no call frame information, but rules that always suffice. Without
        // a step into this frame its other registers are not known.
        const isKnown = kind !== Rule.Complex && (kind !== Rule.Register || leaf);
        if (step === 'failed' && !isKnown) return stop('complex_rule');
        if (step !== 'failed') {
          if (step === 'called' && registers[RSP]! < least) return stop('bad_frame');
          if (registers[RIP] === 0) return stop('root');
          exact = step === 'interrupted';
          leaf = false;
          continue;
        }
      }
      let rbpRule = ruleRbp(rule);
      let cfa: number | undefined;
      switch (kind) {
        case Rule.Rsp:
          cfa = sp + ruleOffset(rule);
          break;
        case Rule.Rbp:
        case Rule.GoFramePointer:
          cfa = bp + ruleOffset(rule);
          break;
        case Rule.None:
          if (bp === 0) {
            // How the ABI marks the outermost frame; in JIT code that no chain led
            // to it is a register like any other.
            return stop(code.kind === 'anonymous' && !byChain ? 'frame_pointer_end' : 'root');
          }
          if (bp < sp || bp % 8 !== 0) {
            return stop(code.kind === 'anonymous' ? 'frame_pointer_end' : 'no_unwind_info');
          }
          cfa = bp + 16;
          rbpRule = 2;
          break;
        case Rule.Plt:
          cfa = sp + 8 + (pc % 16 >= 11 ? 8 : 0);
          break;
        case Rule.RspDeref:
          cfa = this.#read(sp + ruleDerefOffset(rule));
          if (cfa === undefined) return stop(this.#unread('stack_unreadable'));
          cfa += ruleDerefAdd(rule);
          break;
        case Rule.RbpDeref:
          cfa = this.#read(bp + ruleDerefOffset(rule));
          if (cfa === undefined) return stop(this.#unread('stack_unreadable'));
          cfa += ruleDerefAdd(rule);
          break;
        case Rule.Register:
          cfa = registers[ruleRegister(rule)]! + ruleRegisterOffset(rule);
          break;
        default:
          return stop('complex_rule');
      }
      const switches = kind === Rule.GoFramePointer;
      if (cfa < least && !switches) return stop('bad_frame');
      // The copy is of one stack.
      if (switches && !this.#holds(cfa - 16)) return stop('go_stack_switch');
      if (rbpRule !== RBP_SAME) {
        const saved = this.#read(rbpRule === RBP_AT_RBP ? bp : cfa - 8 * rbpRule);
        if (saved === undefined) return stop(this.#unread('stack_unreadable'));
        registers[RBP] = saved;
      }
      const next = this.#read(cfa - 8);
      if (next === undefined) return stop(this.#unread('stack_unreadable'));
      if (next === 0) return stop('root');
      registers[RIP] = next;
      registers[RSP] = cfa;
      exact = false;
      leaf = false;
    }
  }

  #signal(registers: Float64Array, sp: number): EndReason | undefined {
    const bp = this.#read(sp + SIGFRAME_RBP);
    const rsp = this.#read(sp + SIGFRAME_RSP);
    const pc = this.#read(sp + SIGFRAME_RIP);
    if (bp === undefined || rsp === undefined || pc === undefined) {
      return this.#unread('stack_unreadable');
    }
    // The exact walk goes on from what the signal saved, r8 to r15 and the rest.
    const order = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2];
    order.forEach((register, i) => {
      registers[register] = this.#read(sp + 40 + 8 * i) ?? 0;
    });
    registers[RBP] = bp;
    registers[RSP] = rsp;
    registers[RIP] = pc;
    return pc === 0 ? 'root' : undefined;
  }

  /** A read that failed because the copy was not long enough says so. */
  #unread(otherwise: EndReason): EndReason {
    return (this.#copy.flags & FLAG_STACK_CUT) === 0 ? 'stack_copy_short' : otherwise;
  }

  #holds(address: number): boolean {
    const offset = address - this.#copy.base;
    return offset >= 0 && offset + 16 <= this.#copy.bytes.byteLength;
  }

  #read(address: number): number | undefined {
    const offset = address - this.#copy.base;
    if (!(offset >= 0 && offset + 8 <= this.#copy.bytes.byteLength)) return undefined;
    const low = this.#copy.bytes.getUint32(offset, true);
    const high = this.#copy.bytes.getUint32(offset + 4, true);
    // Above 2^53 no user address lies: the value is some datum, kept as good as a number can.
    return high * 2 ** 32 + low;
  }
}
