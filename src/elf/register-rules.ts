/** Where a frame's CFA and its caller's registers are: one row of a call frame table. */

/** DWARF numbers of x86-64: rax rdx rcx rbx rsi rdi rbp rsp r8..r15, return address. */
export const REGISTER_COUNT = 17;
export const RBP = 6;
export const RSP = 7;
export const RETURN_ADDRESS = 16;

export const Where = {
  /** Not mentioned: the ABI decides. */
  Unspecified: 0,
  Undefined: 1,
  Same: 2,
  /** Saved at CFA + value. */
  Offset: 3,
  /** Is CFA + value. */
  ValueOffset: 4,
  /** Is in register `value`. */
  Register: 5,
  /** Saved at the address that the expression gives. */
  Expression: 6,
  /** Is what the expression gives. */
  ValueExpression: 7,
} as const;

/** cfaRegister when the CFA is given by `cfaExpression`. */
export const CFA_EXPRESSION = -1;
export const CFA_UNDEFINED = -2;

export class RegisterRules {
  /** DWARF register, CFA_EXPRESSION or CFA_UNDEFINED. */
  cfaRegister = CFA_UNDEFINED;
  cfaOffset = 0;
  cfaExpression: Uint8Array | undefined = undefined;
  /** By register, one of Where. */
  readonly kinds = new Uint8Array(REGISTER_COUNT);
  readonly values = new Float64Array(REGISTER_COUNT);
  /** By register; undefined when no register of this row ever had one. */
  expressions: (Uint8Array | undefined)[] | undefined = undefined;

  copyFrom(other: RegisterRules): void {
    this.cfaRegister = other.cfaRegister;
    this.cfaOffset = other.cfaOffset;
    this.cfaExpression = other.cfaExpression;
    this.kinds.set(other.kinds);
    this.values.set(other.values);
    this.expressions = other.expressions?.slice();
  }

  /** Registers above 16 (vector registers) do not matter for walking stacks. */
  set(register: number, kind: number, value: number): void {
    if (register >= REGISTER_COUNT) return;
    this.kinds[register] = kind;
    this.values[register] = value;
  }

  setExpression(register: number, kind: number, expression: Uint8Array): void {
    if (register >= REGISTER_COUNT) return;
    this.kinds[register] = kind;
    this.expressions ??= new Array<Uint8Array | undefined>(REGISTER_COUNT);
    this.expressions[register] = expression;
  }

  /** Takes back one register to what `initial` says. */
  restore(register: number, initial: RegisterRules): void {
    if (register >= REGISTER_COUNT) return;
    this.kinds[register] = initial.kinds[register]!;
    this.values[register] = initial.values[register]!;
    const expression = initial.expressions?.[register];
    if (expression !== undefined) this.setExpression(register, this.kinds[register]!, expression);
  }
}
