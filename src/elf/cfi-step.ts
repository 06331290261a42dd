/** One exact step up the stack by call frame information, for rules of any kind. */
import type { Fde } from './cfi-entry.ts';
import type { RowReceiver } from './cfi-program.ts';
import { evaluate, type ReadWord } from './expression-evaluator.ts';
import { malformed } from './failure.ts';
import type { FdeLayer } from './fde-layer.ts';
import {
  CFA_EXPRESSION,
  CFA_UNDEFINED,
  REGISTER_COUNT,
  RETURN_ADDRESS,
  RegisterRules,
  RSP,
  Where,
} from './register-rules.ts';
import { ParseError } from './source.ts';

export type { ReadWord } from './expression-evaluator.ts';

export type CfiStep =
  | {
      readonly kind: 'frame';
      /** The caller's registers, in DWARF order; those it does not need may be stale. */
      readonly registers: BigUint64Array<ArrayBuffer>;
      /** The caller was interrupted, not called: its pc is exact, no return address. */
      readonly isExact: boolean;
    }
  /** This was the outermost frame. */
  | { readonly kind: 'end' }
  /** `no_unwind_info`, `stack_unreadable`, or the reason of a ParseError. */
  | { readonly kind: 'error'; readonly reason: string };

/** gregs of the ucontext at rsp in __restore_rt, by DWARF number (asm/sigcontext.h of x86-64). */
const SIGNAL_CONTEXT = [
  144, 136, 152, 128, 112, 104, 120, 160, 40, 48, 56, 64, 72, 80, 88, 96, 168,
] as const;

/**
 * `found` is the entry that covers `address`; `isRestorer` says that there is a
 * signal trampoline which it does not describe well.
 */
export function stepFrame(
  found: { layer: FdeLayer; fde: Fde } | undefined,
  address: number,
  isRestorer: boolean,
  registers: BigUint64Array,
  readWord: ReadWord,
): CfiStep {
  try {
    if (isRestorer) return interrupted(registers, readWord);
    if (found === undefined) return { kind: 'error', reason: 'no_unwind_info' };
    const row = new RowAt(address);
    found.layer.entries.run(found.fde, row);
    return apply(row.rules, found.fde.cie.isSignalFrame, registers, readWord);
  } catch (error) {
    return { kind: 'error', reason: malformed(error).reason };
  }
}

class RowAt implements RowReceiver {
  readonly rules = new RegisterRules();
  readonly #address: number;

  constructor(address: number) {
    this.#address = address;
  }

  row(start: number, end: number, rules: RegisterRules): void {
    if (this.#address >= start && this.#address < end) this.rules.copyFrom(rules);
  }
}

function interrupted(registers: BigUint64Array, readWord: ReadWord): CfiStep {
  const caller = new BigUint64Array(REGISTER_COUNT);
  for (const [register, offset] of SIGNAL_CONTEXT.entries()) {
    caller[register] = read(registers[RSP]! + BigInt(offset), readWord);
  }
  return { kind: 'frame', registers: caller, isExact: true };
}

function apply(
  rules: RegisterRules,
  isSignalFrame: boolean,
  registers: BigUint64Array,
  readWord: ReadWord,
): CfiStep {
  if (rules.kinds[RETURN_ADDRESS] === Where.Undefined) return { kind: 'end' };
  const cfa = BigInt.asUintN(64, canonicalFrameAddress(rules, registers, readWord));
  const caller = BigUint64Array.from(registers.subarray(0, REGISTER_COUNT));
  for (let register = 0; register < REGISTER_COUNT; register++) {
    const value = BigInt(Math.trunc(rules.values[register]!));
    const expression = rules.expressions?.[register];
    switch (rules.kinds[register]) {
      case Where.Unspecified:
        // The psABI: the caller's rsp is the CFA and the return address just below it.
        if (register === RSP) caller[register] = cfa;
        if (register === RETURN_ADDRESS) caller[register] = read(cfa - 8n, readWord);
        break;
      case Where.Offset:
        caller[register] = read(cfa + value, readWord);
        break;
      case Where.ValueOffset:
        caller[register] = cfa + value;
        break;
      case Where.Register:
        if (value >= REGISTER_COUNT) throw new ParseError('cfi_register', `register ${value}`);
        caller[register] = registers[Number(value)]!;
        break;
      case Where.Expression:
        caller[register] = read(evaluate(expression!, registers, readWord, cfa), readWord);
        break;
      case Where.ValueExpression:
        caller[register] = evaluate(expression!, registers, readWord, cfa);
        break;
    }
  }
  return { kind: 'frame', registers: caller, isExact: isSignalFrame };
}

function canonicalFrameAddress(
  rules: RegisterRules,
  registers: BigUint64Array,
  readWord: ReadWord,
): bigint {
  if (rules.cfaRegister === CFA_UNDEFINED) {
    throw new ParseError('no_unwind_info', 'a row without a CFA');
  }
  if (rules.cfaRegister === CFA_EXPRESSION) {
    return evaluate(rules.cfaExpression!, registers, readWord);
  }
  if (rules.cfaRegister >= REGISTER_COUNT) {
    throw new ParseError('cfi_register', `register ${rules.cfaRegister}`);
  }
  return registers[rules.cfaRegister]! + BigInt(Math.trunc(rules.cfaOffset));
}

function read(address: bigint, readWord: ReadWord): bigint {
  const word = readWord(BigInt.asUintN(64, address));
  if (word === undefined) throw new ParseError('stack_unreadable', `no memory at ${address}`);
  return word;
}
