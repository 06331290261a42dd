/** The stack that a deferred sample carries, and its registers. */
import { Header, REGISTER_COUNT, Sample, StackCopy as StackField } from '../capture/record.ts';
import { readWord } from '../capture/word.ts';
import type { StackCopy } from '../unwind/stack-walk.ts';

/** Where a deferred sample's `struct ft_stack` begins. */
export function stackAt(records: DataView, at: number): number {
  const kernel = records.getUint16(at + Sample.kernelCount, true);
  const addresses = kernel + records.getUint16(at + Sample.userCount, true);
  return at + Sample.size + addresses * 8 + records.getUint16(at + Sample.labelBytes, true);
}

/** Undefined when the record is too short for it. @param registers filled with the sample's, and part of the result */
export function stackCopy(
  records: DataView,
  at: number,
  registers: Float64Array,
): StackCopy | undefined {
  const length = records.getUint32(at + Header.length, true);
  const done = records.getUint16(at + Sample.userCount, true);
  const stack = stackAt(records, at);
  if (stack + StackField.size > at + length) return undefined;
  const bytes = records.getUint32(stack + StackField.bytes, true);
  if (stack + StackField.size + bytes > at + length) return undefined;
  for (let i = 0; i < REGISTER_COUNT; i++) registers[i] = readWord(records, stack + i * 8);
  return {
    registers,
    base: readWord(records, stack + StackField.base),
    bytes: new DataView(records.buffer, records.byteOffset + stack + StackField.size, bytes),
    flags: records.getUint16(at + Sample.flags, true),
    done,
  };
}
