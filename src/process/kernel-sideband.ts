/** perf's side band: BPF programs that come and go (PERF_RECORD_KSYMBOL, kernel 5.1). */
import { type KernelAddress, kernelAddress } from '../units/units.ts';

/** Code that was registered. That it goes away again says nothing about samples before. */
export interface KernelCode {
  readonly start: KernelAddress;
  /** Bytes. */
  readonly size: number;
  /** As kallsyms has it; not cleaned. */
  readonly name: Uint8Array;
}

const PERF_RECORD_KSYMBOL = 17;
const TYPE_BPF = 1;
/** header 8, addr 8, len 4, type 2, flags 2 */
const NAME_AT = 24;
/** sample_id: pid tid 4+4, time 8 (sample_type TID | TIME) */
const TRAILER = 16;

/** Calls `sink` for each BPF program in whole perf records, in their order. */
export function parseKernelCode(bytes: Uint8Array, sink: (code: KernelCode) => void): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 8 <= bytes.length; ) {
    const size = view.getUint16(at + 6, true);
    if (size < 8 || at + size > bytes.length) return;
    const isCode =
      view.getUint32(at, true) === PERF_RECORD_KSYMBOL && size >= NAME_AT + 8 + TRAILER;
    if (isCode && view.getUint16(at + 20, true) === TYPE_BPF) {
      const padded = bytes.subarray(at + NAME_AT, at + size - TRAILER);
      const end = padded.indexOf(0);
      // The upper 12 bits are ones.
      const high = view.getUint32(at + 12, true) & 0xf_ffff;
      sink({
        start: kernelAddress(high * 2 ** 32 + view.getUint32(at + 8, true)),
        size: view.getUint32(at + 16, true),
        name: padded.subarray(0, end < 0 ? padded.length : end),
      });
    }
    at += size;
  }
}
