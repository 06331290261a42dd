/**
 * DWARF expressions of call frame information that have a rule of their own.
 * All others are left to the evaluator.
 */
import { Cursor } from './cursor.ts';
import { ParseError } from './source.ts';

export type CfaForm =
  /** register + offset. */
  | { readonly form: 'register'; readonly register: number; readonly offset: number }
  /** *(register + offset) + add. */
  | {
      readonly form: 'deref';
      readonly register: number;
      readonly offset: number;
      readonly add: number;
    }
  /** rsp + 8 + (((rip & 15) >= 11) << 3), which linkers write for the PLT. */
  | { readonly form: 'plt' };

const Op = {
  deref: 0x06,
  const1u: 0x08,
  const1s: 0x09,
  const2u: 0x0a,
  const2s: 0x0b,
  plus: 0x22,
  plusUconst: 0x23,
  lit0: 0x30,
  breg0: 0x70,
} as const;

/** breg7 8; breg16 0; lit15; and; lit11; ge; lit3; shl; plus. */
const PLT = Uint8Array.of(0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22);

export function matchCfa(expression: Uint8Array): CfaForm | undefined {
  if (expression.length === PLT.length && PLT.every((byte, index) => byte === expression[index])) {
    return { form: 'plt' };
  }
  // The longest form is breg, deref, const2s, plus.
  if (expression.length > 16) return undefined;
  try {
    return matchSum(new Cursor().reset(expression, 0, expression.length));
  } catch (error) {
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}

function matchSum(cursor: Cursor): CfaForm | undefined {
  const register = cursor.u8() - Op.breg0;
  if (register < 0 || register > 15) return undefined;
  const offset = cursor.sleb();
  if (cursor.left === 0) return { form: 'register', register, offset };
  const operation = cursor.u8();
  if (operation !== Op.deref) {
    const added = matchAddition(operation, cursor);
    if (added === undefined || cursor.left > 0) return undefined;
    return { form: 'register', register, offset: offset + added };
  }
  if (cursor.left === 0) return { form: 'deref', register, offset, add: 0 };
  const add = matchAddition(cursor.u8(), cursor);
  if (add === undefined || cursor.left > 0) return undefined;
  return { form: 'deref', register, offset, add };
}

function matchAddition(operation: number, cursor: Cursor): number | undefined {
  if (operation === Op.plusUconst) return cursor.uleb();
  let value: number;
  if (operation >= Op.lit0 && operation < Op.lit0 + 32) value = operation - Op.lit0;
  else if (operation === Op.const1u) value = cursor.u8();
  else if (operation === Op.const1s) value = (cursor.u8() << 24) >> 24;
  else if (operation === Op.const2u) value = cursor.u16();
  else if (operation === Op.const2s) value = (cursor.u16() << 16) >> 16;
  else return undefined;
  return cursor.u8() === Op.plus ? value : undefined;
}
