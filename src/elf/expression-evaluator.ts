/** Evaluates DWARF expressions of call frame information (DWARF 5, section 2.5). */
import { Cursor } from './cursor.ts';
import { RETURN_ADDRESS } from './register-rules.ts';
import { ParseError } from './source.ts';

/**
 * The 8 bytes at an address of the process, little-endian; undefined when they
 * cannot be read.
 */
export type ReadWord = (address: bigint) => bigint | undefined;

const MAX_OPERATIONS = 1000;
const MAX_STACK = 64;
const U64 = (value: bigint): bigint => BigInt.asUintN(64, value);
const S64 = (value: bigint): bigint => BigInt.asIntN(64, value);

/**
 * `initial` is pushed first: the CFA for the rules of registers, nothing for
 * the CFA itself.
 * @throws ParseError `expression` (malformed, unknown operation, too long),
 *   `stack_unreadable`.
 */
export function evaluate(
  expression: Uint8Array,
  registers: BigUint64Array,
  readWord: ReadWord,
  initial?: bigint,
): bigint {
  return new Evaluation(expression, registers, readWord, initial).run();
}

class Evaluation {
  readonly #cursor: Cursor;
  readonly #registers: BigUint64Array;
  readonly #readWord: ReadWord;
  readonly #stack: bigint[] = [];

  constructor(
    expression: Uint8Array,
    registers: BigUint64Array,
    readWord: ReadWord,
    initial: bigint | undefined,
  ) {
    this.#cursor = new Cursor().reset(expression, 0, expression.length);
    this.#registers = registers;
    this.#readWord = readWord;
    if (initial !== undefined) this.#stack.push(initial);
  }

  run(): bigint {
    let operations = 0;
    while (this.#cursor.left > 0) {
      if (++operations > MAX_OPERATIONS) throw wrong('too many operations');
      this.#operation(this.#cursor.u8());
    }
    return this.#pop();
  }

  #operation(code: number): void {
    if (code >= 0x30 && code <= 0x4f) {
      this.#push(BigInt(code - 0x30));
      return;
    }
    if (code >= 0x70 && code <= 0x8f) {
      this.#pushRegister(code - 0x70);
      return;
    }
    if (code >= 0x08 && code <= 0x11) {
      this.#push(this.#constant(code));
      return;
    }
    if (code >= 0x29 && code <= 0x2e) {
      this.#compare(code);
      return;
    }
    if (code >= 0x1a && code <= 0x27 && code !== 0x1f && code !== 0x20 && code !== 0x23) {
      this.#binary(code);
      return;
    }
    switch (code) {
      case 0x03: // addr
        this.#push(this.#u64());
        return;
      case 0x06: // deref
        this.#push(this.#read(this.#pop()));
        return;
      case 0x12: // dup
        this.#push(this.#pick(0));
        return;
      case 0x13: // drop
        this.#pop();
        return;
      case 0x14: // over
        this.#push(this.#pick(1));
        return;
      case 0x15: // pick
        this.#push(this.#pick(this.#cursor.u8()));
        return;
      case 0x16: // swap
        this.#reorder(2);
        return;
      case 0x17: // rot
        this.#reorder(3);
        return;
      case 0x19: {
        // abs
        const value = S64(this.#pop());
        this.#push(value < 0n ? -value : value);
        return;
      }
      case 0x1f: // neg
        this.#push(-this.#pop());
        return;
      case 0x20: // not
        this.#push(~this.#pop());
        return;
      case 0x23: // plus_uconst
        this.#push(this.#pop() + this.#leb(false));
        return;
      case 0x28: // bra
        this.#jump(this.#pop() !== 0n);
        return;
      case 0x2f: // skip
        this.#jump(true);
        return;
      case 0x92: // bregx
        this.#pushRegister(this.#cursor.uleb());
        return;
      case 0x94: {
        // deref_size
        const size = this.#cursor.u8();
        if (size < 1 || size > 8) throw wrong(`a read of ${size} bytes`);
        this.#push(BigInt.asUintN(size * 8, this.#read(this.#pop())));
        return;
      }
      case 0x96: // nop
        return;
      default:
        throw wrong(`operation ${code}`);
    }
  }

  #constant(code: number): bigint {
    const cursor = this.#cursor;
    switch (code) {
      case 0x08:
        return BigInt(cursor.u8());
      case 0x09:
        return BigInt((cursor.u8() << 24) >> 24);
      case 0x0a:
        return BigInt(cursor.u16());
      case 0x0b:
        return BigInt((cursor.u16() << 16) >> 16);
      case 0x0c:
        return BigInt(cursor.u32());
      case 0x0d:
        return BigInt(cursor.s32());
      case 0x10:
        return this.#leb(false);
      case 0x11:
        return this.#leb(true);
      default: // const8u, const8s
        return this.#u64();
    }
  }

  #binary(code: number): void {
    const right = this.#pop();
    const left = this.#pop();
    this.#push(binary(code, left, right));
  }

  #compare(code: number): void {
    const right = S64(this.#pop());
    const left = S64(this.#pop());
    const holds = [
      left === right,
      left >= right,
      left > right,
      left <= right,
      left < right,
      left !== right,
    ];
    this.#push(holds[code - 0x29] ? 1n : 0n);
  }

  #jump(taken: boolean): void {
    const distance = (this.#cursor.u16() << 16) >> 16;
    if (!taken) return;
    const target = this.#cursor.at + distance;
    if (target < 0 || target > this.#cursor.end) throw wrong('a jump out of the expression');
    this.#cursor.at = target;
  }

  #pushRegister(register: number): void {
    if (register > RETURN_ADDRESS) throw wrong(`register ${register}`);
    this.#push(this.#registers[register]! + this.#leb(true));
  }

  #read(address: bigint): bigint {
    const word = this.#readWord(address);
    if (word === undefined) throw new ParseError('stack_unreadable', `no memory at ${address}`);
    return word;
  }

  #push(value: bigint): void {
    if (this.#stack.length >= MAX_STACK) throw wrong('stack overflow');
    this.#stack.push(U64(value));
  }

  #pop(): bigint {
    const value = this.#stack.pop();
    if (value === undefined) throw wrong('stack underflow');
    return value;
  }

  #pick(depth: number): bigint {
    const value = this.#stack[this.#stack.length - 1 - depth];
    if (value === undefined) throw wrong('stack underflow');
    return value;
  }

  /** Moves the top value below the `count` - 1 values under it. */
  #reorder(count: number): void {
    const top = this.#pop();
    if (this.#stack.length < count - 1) throw wrong('stack underflow');
    this.#stack.splice(this.#stack.length - (count - 1), 0, top);
  }

  #u64(): bigint {
    const low = BigInt(this.#cursor.u32());
    return low | (BigInt(this.#cursor.u32()) << 32n);
  }

  /** Exact, unlike those of the cursor: constants may be masks of 64 bits. */
  #leb(signed: boolean): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#cursor.u8();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        return signed && (byte & 0x40) !== 0 ? value - (1n << (shift + 7n)) : value;
      }
    }
    throw wrong('a LEB128 number of more than ten bytes');
  }
}

function binary(code: number, left: bigint, right: bigint): bigint {
  switch (code) {
    case 0x1a:
      return left & right;
    case 0x1b:
      if (right === 0n) throw wrong('division by zero');
      return S64(left) / S64(right);
    case 0x1c:
      return left - right;
    case 0x1d:
      if (right === 0n) throw wrong('division by zero');
      return left % right;
    case 0x1e:
      return left * right;
    case 0x21:
      return left | right;
    case 0x22:
      return left + right;
    case 0x24:
      return right < 64n ? left << right : 0n;
    case 0x25:
      return right < 64n ? left >> right : 0n;
    case 0x26:
      return S64(left) >> (right < 64n ? right : 63n);
    case 0x27:
      return left ^ right;
    default:
      throw wrong(`operation ${code}`);
  }
}

const wrong = (what: string): ParseError => new ParseError('expression', what);
