/** The instructions of one stub of a procedure linkage table (x86-64). */

export type Stub =
  /** Jumps through a slot of the global offset table. */
  | { readonly kind: 'slot'; readonly address: number }
  /** Has a relocation resolved by its number, the first time it is called. */
  | { readonly kind: 'number'; readonly number: number };

/** Longest stub: mold and lld with IBT use 16 bytes, the others less. */
export const STUB_BYTES = 16;

/**
 * @param address Of `code[0]`.
 * @returns undefined for anything else, such as the common part at the start
 *   of a lazy table.
 */
export function decodeStub(code: Uint8Array, address: number): Stub | undefined {
  const view = new DataView(code.buffer, code.byteOffset, code.byteLength);
  let at = 0;
  // endbr64
  if (code.length >= 4 && view.getUint32(0, false) === 0xf30f1efa) at = 4;
  // mov r11d, NUMBER (mold) says nothing that the slot does not.
  if (code[at] === 0x41 && code[at + 1] === 0xbb) at += 6;
  const number = pushed(view, code, at);
  if (number !== undefined) return { kind: 'number', number };
  if (code[at] === 0xf2) at++; // bnd
  // jmp *SLOT(%rip)
  if (code[at] !== 0xff || code[at + 1] !== 0x25 || at + 6 > code.length) return undefined;
  return { kind: 'slot', address: address + at + 6 + view.getInt32(at + 2, true) };
}

/** push NUMBER; jmp to the start of the table. */
function pushed(view: DataView, code: Uint8Array, at: number): number | undefined {
  if (code[at] !== 0x68 || at + 10 > code.length) return undefined;
  const jump = code[at + 5] === 0xf2 ? at + 6 : at + 5;
  return code[jump] === 0xe9 ? view.getUint32(at + 1, true) : undefined;
}
