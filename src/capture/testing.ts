/** Records made by hand, as bpf/record.h lays them out. */
import { EXACT_PC_HIGH, Header, ProcessEvent, RecordType, Sample, StackCopy } from './record.ts';

export interface MadeSample {
  readonly pid?: number;
  readonly time?: number;
  readonly layout?: number;
  readonly end?: number;
  readonly flags?: number;
  readonly comm?: string;
  readonly kernel?: readonly number[];
  readonly user?: readonly number[];
  /** Bytes of the stack copy: makes it a deferred one. */
  readonly stack?: Uint8Array;
}

function header(view: DataView, type: number, pid: number, time: number): void {
  view.setUint32(Header.length, view.byteLength, true);
  view.setUint16(Header.type, type, true);
  view.setBigUint64(Header.time, BigInt(time), true);
  view.setUint32(Header.pid, pid, true);
  view.setUint32(Header.execId, 1, true);
  view.setBigUint64(Header.start, 5_000_000_000n, true);
}

export function sampleRecord(made: MadeSample): Uint8Array {
  const { kernel = [], user = [], stack, comm = 'program' } = made;
  const addresses = [...kernel, ...user];
  const extra = stack ? StackCopy.size + stack.length : 0;
  const bytes = new Uint8Array(Sample.size + addresses.length * 8 + extra);
  const view = new DataView(bytes.buffer);
  header(view, stack ? RecordType.Deferred : RecordType.Sample, made.pid ?? 7, made.time ?? 1);
  view.setUint32(Sample.layout, made.layout ?? 0, true);
  view.setUint16(Sample.kernelCount, kernel.length, true);
  view.setUint16(Sample.userCount, user.length, true);
  view.setUint16(Sample.end, made.end ?? 0, true);
  view.setUint16(Sample.flags, made.flags ?? 0, true);
  for (const at of [Sample.thread, Sample.comm]) bytes.set(new TextEncoder().encode(comm), at);
  addresses.forEach((address, i) => {
    const at = Sample.size + i * 8;
    view.setUint32(at, address % 2 ** 32, true);
    const high = Math.floor(address / 2 ** 32);
    view.setUint32(at + 4, i < kernel.length ? high | 0xfff0_0000 : high, true);
  });
  if (stack) {
    const at = Sample.size + addresses.length * 8;
    view.setUint32(at + StackCopy.bytes, stack.length, true);
    bytes.set(stack, at + StackCopy.size);
  }
  return bytes;
}

/** The address as an exact pc. */
export const exactPc = (address: number): number => address + EXACT_PC_HIGH * 2 ** 32;

export function eventRecord(type: number, pid: number, time = 1, parent = 1): Uint8Array {
  const bytes = new Uint8Array(ProcessEvent.size);
  const view = new DataView(bytes.buffer);
  header(view, type, pid, time);
  view.setUint32(ProcessEvent.parentPid, parent, true);
  return bytes;
}

/** One buffer with a little room behind, as a drain leaves it. */
export function drained(...records: Uint8Array[]): { buffer: ArrayBuffer; length: number } {
  const length = records.reduce((sum, record) => sum + record.length, 0);
  const bytes = new Uint8Array(length + 64);
  let at = 0;
  for (const record of records) {
    bytes.set(record, at);
    at += record.length;
  }
  return { buffer: bytes.buffer, length };
}
