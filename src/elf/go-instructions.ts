/**
 * x86-64 instructions as far as the rules of Go's assembly functions need them:
 * lengths, and which of them move the stack or the frame pointer.
 */

export const Step = {
  Other: 0,
  /** `mov rsp, [mem]`: onto another stack. */
  LoadSp: 1,
  /** `mov rsp, reg`. */
  SetSp: 2,
  /** `mov rbp, rsp` or `lea rbp, [rsp+n]`: rbp points to the saved one. */
  FrameSet: 3,
  /** `mov rbp, [rsp+n]`: rbp is the caller's again. */
  FrameRestored: 4,
  Return: 5,
  /** `mov [rsp+40], rdx`: asmcgocall before Go 1.21 saves the stack pointer. */
  SaveSp40: 6,
  /** `mov [rsp+40], rdi`: as above, how deep in the goroutine's stack it was. */
  SaveDepth40: 7,
} as const;
export type StepKind = (typeof Step)[keyof typeof Step];

/** Receives each instruction: bytes from the start of the code, and what it does. */
export type InstructionSink = (start: number, end: number, kind: StepKind) => void;

/**
 * Decodes `code` from its start; stops and returns false at an instruction it
 * does not know (Go's runtime has none such on x86-64).
 */
export function forEachInstruction(code: Uint8Array, sink: InstructionSink): boolean {
  let at = 0;
  while (at < code.length) {
    const length = instructionLength(code, at);
    if (length <= 0 || at + length > code.length) return false;
    sink(at, at + length, classify(code, at));
    at += length;
  }
  return true;
}

function classify(code: Uint8Array, at: number): StepKind {
  let rex = 0;
  if ((code[at]! & 0xf0) === 0x40) rex = code[at++]!;
  const opcode = code[at];
  if (opcode === 0xc3) return Step.Return;
  if ((rex & 8) === 0) return Step.Other;
  const modrm = code[at + 1] ?? 0;
  const memory = modrm < 0xc0;
  const reg = ((modrm >> 3) & 7) | ((rex & 4) << 1);
  const rm = (modrm & 7) | ((rex & 1) << 3);
  const stackBased = memory && (modrm & 7) === 4 && code[at + 2] === 0x24;
  if (opcode === 0x8b) {
    if (reg === 4) return memory ? Step.LoadSp : Step.SetSp;
    if (reg === 5 && memory && stackBased) return Step.FrameRestored;
    if (reg === 5 && !memory && rm === 4) return Step.FrameSet;
  }
  if (opcode === 0x89) {
    if (!memory && rm === 4) return Step.SetSp;
    if (!memory && rm === 5 && reg === 4) return Step.FrameSet;
    if (stackBased && modrm >> 6 === 1 && code[at + 3] === 40) {
      if (reg === 2) return Step.SaveSp40;
      if (reg === 7) return Step.SaveDepth40;
    }
  }
  if (opcode === 0x8d && reg === 5 && stackBased) return Step.FrameSet;
  return Step.Other;
}

/** 0 when unknown. `at` beyond the end reads as zeros: the caller checks the length. */
export function instructionLength(code: Uint8Array, start: number): number {
  let at = start;
  let operand16 = false;
  for (; at - start < 14; at++) {
    const byte = code[at]!;
    if (byte === 0x66) operand16 = true;
    else if (!PREFIXES.has(byte)) break;
  }
  let rex = 0;
  if ((code[at]! & 0xf0) === 0x40) rex = code[at++]!;
  const opcode = code[at++] ?? 0;
  const wide = operand16 ? 2 : 4;
  if (opcode === 0x0f) return twoByteLength(code, start, at, wide);
  if (opcode === 0xc5) return vexLength(code, start, at + 1, 1);
  if (opcode === 0xc4) return vexLength(code, start, at + 2, code[at]! & 31);
  if (opcode === 0x62) return vexLength(code, start, at + 3, code[at]! & 7);
  let immediate = 0;
  let hasModrm = false;
  if (opcode < 0x40) {
    const low = opcode & 7;
    if (low > 5) return 0;
    hasModrm = low < 4;
    immediate = low === 4 ? 1 : low === 5 ? wide : 0;
  } else if (opcode >= 0x50 && opcode < 0x60) {
    immediate = 0;
  } else if (opcode >= 0x70 && opcode < 0x80) {
    immediate = 1;
  } else if (opcode >= 0x84 && opcode <= 0x8f) {
    hasModrm = true;
  } else if (opcode >= 0x90 && opcode < 0xa0) {
    if (opcode === 0x9a) return 0;
  } else if (opcode >= 0xb0 && opcode < 0xc0) {
    immediate = opcode < 0xb8 ? 1 : (rex & 8) !== 0 ? 8 : wide;
  } else {
    const shape = OTHERS.get(opcode);
    if (shape === undefined) return 0;
    hasModrm = shape >= 16;
    immediate = shape & 15;
    if (immediate === WIDE) immediate = wide;
    // f6/f7 have an immediate only as `test`.
    if (opcode >= 0xf6 && opcode <= 0xf7 && ((code[at]! >> 3) & 7) < 2) {
      immediate = opcode === 0xf6 ? 1 : wide;
    }
  }
  if (hasModrm) at += modrmLength(code, at);
  return at + immediate - start;
}

const WIDE = 15;
const PREFIXES = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]);
/** Immediate bytes (15: by operand size), plus 16 with a ModRM byte. */
const OTHERS: ReadonlyMap<number, number> = new Map([
  [0x63, 16],
  [0x68, WIDE],
  [0x69, 16 + WIDE],
  [0x6a, 1],
  [0x6b, 16 + 1],
  [0x80, 16 + 1],
  [0x81, 16 + WIDE],
  [0x83, 16 + 1],
  [0xa4, 0],
  [0xa5, 0],
  [0xa6, 0],
  [0xa7, 0],
  [0xa8, 1],
  [0xa9, WIDE],
  [0xaa, 0],
  [0xab, 0],
  [0xac, 0],
  [0xad, 0],
  [0xae, 0],
  [0xaf, 0],
  [0xc0, 16 + 1],
  [0xc1, 16 + 1],
  [0xc2, 2],
  [0xc3, 0],
  [0xc6, 16 + 1],
  [0xc7, 16 + WIDE],
  [0xc9, 0],
  [0xcc, 0],
  [0xcd, 1],
  [0xd0, 16],
  [0xd1, 16],
  [0xd2, 16],
  [0xd3, 16],
  [0xd8, 16],
  [0xd9, 16],
  [0xda, 16],
  [0xdb, 16],
  [0xdc, 16],
  [0xdd, 16],
  [0xde, 16],
  [0xdf, 16],
  [0xe8, 4],
  [0xe9, 4],
  [0xeb, 1],
  [0xf4, 0],
  [0xf5, 0],
  [0xf6, 16],
  [0xf7, 16],
  [0xf8, 0],
  [0xf9, 0],
  [0xfa, 0],
  [0xfb, 0],
  [0xfc, 0],
  [0xfd, 0],
  [0xfe, 16],
  [0xff, 16],
]);

/** Bytes of ModRM, SIB and displacement. */
function modrmLength(code: Uint8Array, at: number): number {
  const modrm = code[at] ?? 0;
  const mode = modrm >> 6;
  const rm = modrm & 7;
  if (mode === 3) return 1;
  let length = 1;
  if (rm === 4) {
    length++;
    if (mode === 0 && ((code[at + 1] ?? 0) & 7) === 5) length += 4;
  } else if (mode === 0 && rm === 5) {
    length += 4;
  }
  return length + (mode === 1 ? 1 : mode === 2 ? 4 : 0);
}

/** `at` is behind the 0f. */
function twoByteLength(code: Uint8Array, start: number, at: number, wide: number): number {
  const opcode = code[at++] ?? 0;
  if (opcode === 0x38 || opcode === 0x3a) {
    at++;
    return at + modrmLength(code, at) + (opcode === 0x3a ? 1 : 0) - start;
  }
  if (opcode >= 0x80 && opcode < 0x90) return at + wide - start;
  if (NO_MODRM.has(opcode) || (opcode >= 0xc8 && opcode < 0xd0)) return at - start;
  return at + modrmLength(code, at) + (BYTE_IMMEDIATE.has(opcode) ? 1 : 0) - start;
}

const NO_MODRM = new Set([
  0x05, 0x06, 0x07, 0x08, 0x09, 0x0b, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x77, 0xa0, 0xa1, 0xa2,
  0xa8, 0xa9, 0xaa,
]);
const BYTE_IMMEDIATE = new Set([0x70, 0x71, 0x72, 0x73, 0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6]);

/** `at` is the opcode behind a VEX or EVEX prefix of opcode map `map`. */
function vexLength(code: Uint8Array, start: number, at: number, map: number): number {
  const opcode = code[at++] ?? 0;
  if (map < 1 || map > 3) return 0;
  if (map === 1 && opcode === 0x77) return at - start;
  const immediate = map === 3 || (map === 1 && BYTE_IMMEDIATE.has(opcode)) ? 1 : 0;
  // EVEX compresses a one-byte displacement but keeps its length.
  return at + modrmLength(code, at) + immediate - start;
}
