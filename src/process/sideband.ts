/** perf's side band: new executable mappings (PERF_RECORD_MMAP2), exec (PERF_RECORD_COMM). */
import { readExactWord, readWord } from '../capture/word.ts';
import {
  fileOffset,
  type HostPid,
  hostPid,
  inodeNumber,
  type MonotonicTime,
  monotonicTime,
  processAddress,
} from '../units/units.ts';
import type { RawMapping } from './maps.ts';

export interface MappingEvent {
  readonly kind: 'mapping';
  readonly time: MonotonicTime;
  readonly pid: HostPid;
  readonly mapping: RawMapping;
}

/** exec has dropped the old image of `pid` and is about to map the new one. */
export interface ImageEvent {
  readonly kind: 'image';
  readonly time: MonotonicTime;
  readonly pid: HostPid;
}

export type SidebandEvent = MappingEvent | ImageEvent;

const PERF_RECORD_LOST = 2;
const PERF_RECORD_COMM = 3;
/** Bit of `misc` that tells the rename of exec from prctl(PR_SET_NAME). */
const PERF_RECORD_MISC_COMM_EXEC = 1 << 13;
const PERF_RECORD_MMAP2 = 10;
const PROT_EXEC = 4;
/** header 8, pid tid 8, addr len pgoff 24, maj min ino generation 24, prot flags 8 */
const nameAt = 72;
/** sample_id: pid tid 4+4, time 8 (sample_type TID | TIME) */
const trailer = 16;

const decoder = new TextDecoder();

/** How many records there are, of whatever kind. */
export function countRecords(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let count = 0;
  for (let at = 0; at + 8 <= bytes.length; count++) at += Math.max(8, view.getUint16(at + 6, true));
  return count;
}

/**
 * Reads whole perf records as the addon hands them out. Returns how many
 * records the kernel says it lost; malformed ones end the parse and count as one.
 */
export function parseSideband(bytes: Uint8Array, sink: (event: SidebandEvent) => void): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let lost = 0;
  let at = 0;
  while (at + 8 <= bytes.length) {
    const type = view.getUint32(at, true);
    const size = view.getUint16(at + 6, true);
    if (size < 8 || at + size > bytes.length) return lost + 1;
    if (type === PERF_RECORD_MMAP2 && size >= nameAt + 8 + trailer) {
      const event = parseMmap2(view, bytes, at, size);
      if (event) sink(event);
    } else if (type === PERF_RECORD_COMM && size >= 16 + trailer) {
      if (view.getUint16(at + 4, true) & PERF_RECORD_MISC_COMM_EXEC) {
        const time = monotonicTime(readWord(view, at + size - 8));
        sink({ kind: 'image', time, pid: hostPid(view.getUint32(at + 8, true)) });
      }
    } else if (type === PERF_RECORD_LOST && size >= 24) {
      lost += readWord(view, at + 16);
    }
    at += size;
  }
  return lost;
}

function parseMmap2(
  view: DataView,
  bytes: Uint8Array,
  at: number,
  size: number,
): MappingEvent | undefined {
  if (!(view.getUint32(at + 64, true) & PROT_EXEC)) return undefined;
  const start = readWord(view, at + 16);
  const length = readWord(view, at + 24);
  const end = start + length;
  if (!(length > 0) || end > Number.MAX_SAFE_INTEGER) return undefined;
  const nameEnd = at + size - trailer;
  const padded = bytes.subarray(at + nameAt, nameEnd);
  const zero = padded.indexOf(0);
  const name = decoder.decode(zero < 0 ? padded : padded.subarray(0, zero));
  return {
    kind: 'mapping',
    time: monotonicTime(readWord(view, at + size - 8)),
    pid: hostPid(view.getUint32(at + 8, true)),
    mapping: {
      start: processAddress(start),
      end: processAddress(end),
      offset: fileOffset(readWord(view, at + 32)),
      device: view.getUint32(at + 40, true) * 2 ** 20 + view.getUint32(at + 44, true),
      inode: inodeNumber(readExactWord(view, at + 48)),
      generation: readWord(view, at + 56),
      path: name,
    },
  };
}
