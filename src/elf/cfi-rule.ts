/** From a row of call frame information to the 32-bit rule of the kernel's tables. */
import {
  type EncodedRule,
  encodeDerefRule,
  encodeOffsetRule,
  encodePlainRule,
  encodeRegisterRule,
  RBP_AT_RBP,
  RBP_SAME,
  Rule,
} from '../unwind/rule.ts';
import { matchCfa } from './expression.ts';
import {
  CFA_EXPRESSION,
  CFA_UNDEFINED,
  RBP,
  RETURN_ADDRESS,
  type RegisterRules,
  RSP,
  Where,
} from './register-rules.ts';

const MAX_SAVED_RBP = 254;

/** Rule.None for a row that has no CFA. */
export function ruleOf(rules: RegisterRules, isSignalFrame: boolean): EncodedRule {
  if (rules.kinds[RETURN_ADDRESS] === Where.Undefined) return encodePlainRule(Rule.End);
  if (rules.cfaRegister === CFA_UNDEFINED) return encodePlainRule(Rule.None);
  if (isSignalFrame) {
    return encodePlainRule(isSignalContext(rules) ? Rule.Signal : Rule.Complex);
  }
  if (!returnsAtCfa(rules)) return encodePlainRule(Rule.Complex);
  const rbp = rbpRule(rules);
  if (rbp === undefined) return encodePlainRule(Rule.Complex);
  if (rules.cfaRegister !== CFA_EXPRESSION) {
    return offsetRule(rules.cfaRegister, rules.cfaOffset, rbp);
  }
  const form = matchCfa(rules.cfaExpression!);
  if (form?.form === 'plt') {
    // The linker's PLT leaves rbp alone; the rule has no room for anything else.
    return encodePlainRule(rbp === RBP_SAME ? Rule.Plt : Rule.Complex);
  }
  if (form?.form === 'register') return offsetRule(form.register, form.offset, rbp);
  if (form?.form === 'deref') return derefRule(form.register, form.offset, form.add, rbp);
  return encodePlainRule(Rule.Complex);
}

/** The x86-64 psABI puts it below the CFA where nothing else is said. */
const returnsAtCfa = (rules: RegisterRules): boolean =>
  rules.kinds[RETURN_ADDRESS] === Where.Unspecified ||
  (rules.kinds[RETURN_ADDRESS] === Where.Offset && rules.values[RETURN_ADDRESS] === -8);

/**
 * __restore_rt: the CFA is rsp of the interrupted code, found in the kernel's
 * rt_sigframe. At that point rsp is at its ucontext, whose gregs begin at 40
 * and have rsp as number 15.
 */
function isSignalContext(rules: RegisterRules): boolean {
  if (rules.cfaRegister !== CFA_EXPRESSION) return false;
  const form = matchCfa(rules.cfaExpression!);
  return form?.form === 'deref' && form.register === RSP && form.offset === 160 && form.add === 0;
}

function offsetRule(register: number, offset: number, rbp: number): EncodedRule {
  const words = offset / 8;
  if (!Number.isInteger(words)) return encodePlainRule(Rule.Complex);
  if (register === RSP || register === RBP) {
    if (words < -0x80000 || words >= 0x80000) return encodePlainRule(Rule.Complex);
    return encodeOffsetRule(register === RSP ? Rule.Rsp : Rule.Rbp, rbp, offset);
  }
  if (register > 15 || words < -0x8000 || words >= 0x8000) return encodePlainRule(Rule.Complex);
  return encodeRegisterRule(rbp, register, offset);
}

function derefRule(register: number, offset: number, add: number, rbp: number): EncodedRule {
  const words = offset / 8;
  const addWords = add / 8;
  const fits =
    (register === RSP || register === RBP) &&
    Number.isInteger(words) &&
    words >= -0x800 &&
    words < 0x800 &&
    Number.isInteger(addWords) &&
    addWords >= 0 &&
    addWords < 0x100;
  if (!fits) return encodePlainRule(Rule.Complex);
  return encodeDerefRule(register === RSP ? Rule.RspDeref : Rule.RbpDeref, rbp, offset, add);
}

/** undefined when the rule has no room for it. */
function rbpRule(rules: RegisterRules): number | undefined {
  switch (rules.kinds[RBP]) {
    case Where.Unspecified:
    case Where.Same:
    // The caller has declared that it does not need it.
    case Where.Undefined:
      return RBP_SAME;
    case Where.Offset:
      return savedAt(rules.values[RBP]!);
    case Where.Expression: {
      const form = matchCfa(rules.expressions![RBP]!);
      if (form?.form !== 'register') return undefined;
      if (form.register === RBP && form.offset === 0) return RBP_AT_RBP;
      if (form.register === rules.cfaRegister) return savedAt(form.offset - rules.cfaOffset);
      return undefined;
    }
    default:
      return undefined;
  }
}

function savedAt(offset: number): number | undefined {
  const words = -offset / 8;
  return Number.isInteger(words) && words >= 1 && words <= MAX_SAVED_RBP ? words : undefined;
}
