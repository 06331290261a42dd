/**
 * The 32-bit unwind rule and its encoding; mirrors `enum ft_rule` of
 * bpf/record.h (test/layout.test.ts proves them equal).
 */

export const Rule = {
  None: 0,
  Rsp: 1,
  Rbp: 2,
  End: 3,
  Signal: 4,
  Plt: 5,
  RspDeref: 6,
  RbpDeref: 7,
  Register: 8,
  Complex: 9,
  GoSwitch: 10,
  GoMorestack: 11,
  GoFramePointer: 12,
  GoCallC: 13,
} as const;
export type RuleKind = (typeof Rule)[keyof typeof Rule];

/** rbp is unchanged in this frame. */
export const RBP_SAME = 0;
/** The caller's rbp is saved where rbp points. Any n between means CFA - 8n. */
export const RBP_AT_RBP = 255;

/** An encoded rule: kind in bits 0-3, rbp rule in 4-11, operand in 12-31. */
export type EncodedRule = number;

/** CFA = base + offset. `offset` is in bytes, a multiple of 8 within 20 signed bits of 8. */
export function encodeOffsetRule(kind: RuleKind, rbp: number, offset: number): EncodedRule {
  return (kind | (rbp << 4) | ((offset / 8) << 12)) >>> 0;
}

/** CFA = *(base + offset) + add. Bytes, multiples of 8: offset in 12 signed bits of 8, add in 8 unsigned. */
export function encodeDerefRule(
  kind: RuleKind,
  rbp: number,
  offset: number,
  add: number,
): EncodedRule {
  return (kind | (rbp << 4) | (((offset / 8) & 0xfff) << 12) | ((add / 8) << 24)) >>> 0;
}

/** CFA = DWARF register + offset; offset in bytes, a multiple of 8 within 16 signed bits of 8. */
export function encodeRegisterRule(rbp: number, register: number, offset: number): EncodedRule {
  return (Rule.Register | (rbp << 4) | (register << 12) | ((offset / 8) << 16)) >>> 0;
}

export const encodePlainRule = (kind: RuleKind): EncodedRule => kind;

export const ruleKind = (rule: EncodedRule): number => rule & 15;
export const ruleRbp = (rule: EncodedRule): number => (rule >>> 4) & 255;
/** Bytes. */
export const ruleOffset = (rule: EncodedRule): number => (rule >> 12) * 8;
/** Bytes. */
export const ruleDerefOffset = (rule: EncodedRule): number => ((rule << 8) >> 20) * 8;
/** Bytes. */
export const ruleDerefAdd = (rule: EncodedRule): number => (rule >>> 24) * 8;
export const ruleRegister = (rule: EncodedRule): number => (rule >>> 12) & 15;
/** Bytes. */
export const ruleRegisterOffset = (rule: EncodedRule): number => (rule >> 16) * 8;
