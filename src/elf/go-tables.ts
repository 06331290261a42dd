/**
 * Go's pc-value tables: one number per range of instructions (stack depth,
 * file, line, inlining index), as pairs of variable-length differences.
 * Format: the Go runtime's `step` and `pcvalue` (runtime/symtab.go).
 */
import type { GoBytes } from './go-bytes.ts';
import { ParseError } from './source.ts';

/** Receives each range: from `start` (inclusive) to `end` the value holds. Bytes from the function's entry. */
export type PcValueSink = (start: number, end: number, value: number) => void;

/** One table's position: where it starts and how much code it may describe. */
export interface PcValueTable {
  readonly bytes: GoBytes;
  /** Position of the table in `bytes`. */
  readonly offset: number;
  /** Size of the smallest instruction: 1 on x86-64, 4 on arm64. */
  readonly quantum: number;
  /** Bytes of code of the function. Ranges behind it are cut: the loop is bounded by it. */
  readonly codeSize: number;
}

/** @throws ParseError `out_of_bounds`, `go_varint`, `go_pc_value`. */
export function forEachPcValue(table: PcValueTable, sink: PcValueSink): void {
  const { bytes, quantum, codeSize } = table;
  let offset = table.offset;
  let value = -1;
  let start = 0;
  while (start < codeSize) {
    const difference = bytes.varint(offset);
    // Zero ends the table, except first, where it says "the value is -1".
    if (difference === 0 && start > 0) return;
    value = (value + unzigzag(difference)) | 0;
    const length = bytes.varint(bytes.next) * quantum;
    if (length === 0) throw new ParseError('go_pc_value', `an empty range at ${offset}`);
    offset = bytes.next;
    const end = start + length;
    sink(start, Math.min(end, codeSize), value);
    start = end;
  }
}

/**
 * The value in force `distance` bytes after the function's entry; undefined
 * when the table ends before.
 * @throws ParseError as forEachPcValue.
 */
export function pcValueAt(table: PcValueTable, distance: number): number | undefined {
  const { bytes, quantum, offset } = table;
  return bytes.pcValue(offset, quantum === 1 ? distance : Math.floor(distance / quantum));
}

const unzigzag = (value: number): number => (value >>> 1) ^ -(value & 1);
