/** Runs call frame instructions (DWARF 5, section 6.4.2, and the GNU additions). */
import type { Cie } from './cfi-entry.ts';
import type { Cursor } from './cursor.ts';
import { readEncoded } from './pointer-encoding.ts';
import { CFA_EXPRESSION, RegisterRules, Where } from './register-rules.ts';
import { ParseError } from './source.ts';

/** Receives rows; `rules` is only valid during the call. */
export interface RowReceiver {
  /** From address `start` up to `end` (not empty) `rules` hold. */
  row(start: number, end: number, rules: RegisterRules): void;
}

/** Compilers nest remember_state two deep. */
const MAX_SAVED_STATES = 64;

export class CfiProgram {
  readonly #rules = new RegisterRules();
  readonly #saved: RegisterRules[] = [];
  #depth = 0;

  /** Runs the instructions of a CIE and leaves the outcome in `cie.initial`. */
  runInitial(cursor: Cursor, cie: Cie): void {
    this.#rules.copyFrom(new RegisterRules());
    this.#run(cursor, cie, 0, 0, 0, undefined);
    cie.initial.copyFrom(this.#rules);
  }

  /**
   * Runs the instructions of an FDE for [start, end) and gives each row to
   * `receiver`, ascending and without holes. `origin` is the address of index
   * 0 of the cursor's bytes.
   * @throws ParseError when they are malformed; rows may have been given before.
   */
  run(
    cursor: Cursor,
    origin: number,
    cie: Cie,
    start: number,
    end: number,
    receiver: RowReceiver,
  ): void {
    this.#rules.copyFrom(cie.initial);
    this.#run(cursor, cie, origin, start, end, receiver);
  }

  #run(
    cursor: Cursor,
    cie: Cie,
    origin: number,
    start: number,
    end: number,
    receiver: RowReceiver | undefined,
  ): void {
    const rules = this.#rules;
    const { codeAlign, dataAlign } = cie;
    let location = start;
    this.#depth = 0;
    while (cursor.at < cursor.end) {
      const byte = cursor.u8();
      const low = byte & 0x3f;
      let next = location;
      switch (byte >> 6) {
        case 1: // advance_loc
          next = location + low * codeAlign;
          break;
        case 2: // offset
          rules.set(low, Where.Offset, cursor.uleb() * dataAlign);
          continue;
        case 3: // restore
          rules.restore(low, cie.initial);
          continue;
        default:
          switch (low) {
            case 0x01: // set_loc
              next = readEncoded(cursor, cie.encoding, origin + cursor.at);
              break;
            case 0x02: // advance_loc1
              next = location + cursor.u8() * codeAlign;
              break;
            case 0x03: // advance_loc2
              next = location + cursor.u16() * codeAlign;
              break;
            case 0x04: // advance_loc4
              next = location + cursor.u32() * codeAlign;
              break;
            default:
              this.#registerInstruction(low, cursor, cie, dataAlign);
              continue;
          }
      }
      if (!(next >= location)) throw new ParseError('cfi_location', 'the location goes backwards');
      if (receiver !== undefined && next > location && location < end) {
        receiver.row(location, Math.min(next, end), rules);
      }
      location = next;
    }
    if (receiver !== undefined && location < end) receiver.row(location, end, rules);
  }

  #registerInstruction(opcode: number, cursor: Cursor, cie: Cie, dataAlign: number): void {
    const rules = this.#rules;
    switch (opcode) {
      case 0x00: // nop
        return;
      case 0x05: // offset_extended
        rules.set(cursor.uleb(), Where.Offset, cursor.uleb() * dataAlign);
        return;
      case 0x06: // restore_extended
        rules.restore(cursor.uleb(), cie.initial);
        return;
      case 0x07: // undefined
        rules.set(cursor.uleb(), Where.Undefined, 0);
        return;
      case 0x08: // same_value
        rules.set(cursor.uleb(), Where.Same, 0);
        return;
      case 0x09: // register
        rules.set(cursor.uleb(), Where.Register, cursor.uleb());
        return;
      case 0x0a: // remember_state
        this.#remember();
        return;
      case 0x0b: // restore_state
        this.#recall();
        return;
      case 0x0c: // def_cfa
        rules.cfaRegister = cursor.uleb();
        rules.cfaOffset = cursor.uleb();
        return;
      case 0x0d: // def_cfa_register
        this.#setCfaRegister(cursor.uleb());
        return;
      case 0x0e: // def_cfa_offset
        this.#setCfaOffset(cursor.uleb());
        return;
      case 0x0f: // def_cfa_expression
        rules.cfaExpression = cursor.block(cursor.uleb());
        rules.cfaRegister = CFA_EXPRESSION;
        return;
      case 0x10: // expression
        rules.setExpression(cursor.uleb(), Where.Expression, cursor.block(cursor.uleb()));
        return;
      case 0x11: // offset_extended_sf
        rules.set(cursor.uleb(), Where.Offset, cursor.sleb() * dataAlign);
        return;
      case 0x12: // def_cfa_sf
        rules.cfaRegister = cursor.uleb();
        rules.cfaOffset = cursor.sleb() * dataAlign;
        return;
      case 0x13: // def_cfa_offset_sf
        this.#setCfaOffset(cursor.sleb() * dataAlign);
        return;
      case 0x14: // val_offset
        rules.set(cursor.uleb(), Where.ValueOffset, cursor.uleb() * dataAlign);
        return;
      case 0x15: // val_offset_sf
        rules.set(cursor.uleb(), Where.ValueOffset, cursor.sleb() * dataAlign);
        return;
      case 0x16: // val_expression
        rules.setExpression(cursor.uleb(), Where.ValueExpression, cursor.block(cursor.uleb()));
        return;
      case 0x2e: // GNU_args_size: matters to exception landing pads only
        cursor.uleb();
        return;
      case 0x2f: // GNU_negative_offset_extended
        rules.set(cursor.uleb(), Where.Offset, -cursor.uleb() * dataAlign);
        return;
      default:
        throw new ParseError('cfi_opcode', `call frame instruction ${opcode}`);
    }
  }

  #setCfaRegister(register: number): void {
    if (this.#rules.cfaRegister < 0) {
      throw new ParseError('cfi_cfa', 'a CFA register where the CFA is no register');
    }
    this.#rules.cfaRegister = register;
  }

  #setCfaOffset(offset: number): void {
    if (this.#rules.cfaRegister < 0) {
      throw new ParseError('cfi_cfa', 'a CFA offset where the CFA is no register');
    }
    this.#rules.cfaOffset = offset;
  }

  #remember(): void {
    if (this.#depth >= MAX_SAVED_STATES) {
      throw new ParseError('cfi_state', `more than ${MAX_SAVED_STATES} remembered states`);
    }
    let slot = this.#saved[this.#depth];
    if (slot === undefined) {
      slot = new RegisterRules();
      this.#saved.push(slot);
    }
    slot.copyFrom(this.#rules);
    this.#depth++;
  }

  #recall(): void {
    if (this.#depth === 0) throw new ParseError('cfi_state', 'no remembered state to restore');
    this.#depth--;
    this.#rules.copyFrom(this.#saved[this.#depth]!);
  }
}
