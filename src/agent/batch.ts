/** One batch of process events and deferred samples, in the order of their times. */
import { Header, ProcessEvent, RecordType, Sample } from '../capture/record.ts';
import { readExactWord, readWord } from '../capture/word.ts';
import type { Identity } from '../process/process.ts';
import { parseSideband, type SidebandEvent } from '../process/sideband.ts';
import { bootTime, hostPid } from '../units/units.ts';

export type BatchEvent =
  | SidebandEvent
  | {
      readonly kind: 'deferred';
      readonly time: number;
      readonly at: number;
      readonly identity: Identity;
    }
  | {
      readonly kind: 'exec' | 'exit' | 'context';
      readonly time: number;
      readonly identity: Identity;
    }
  | {
      readonly kind: 'fork';
      readonly time: number;
      readonly identity: Identity;
      readonly parent: Identity;
    };

export interface Batch {
  readonly events: readonly BatchEvent[];
  /** Side-band records that the kernel could not deliver. */
  readonly lost: number;
}

/** @param records Whole records, each padded to 8 bytes, as the sampler drains them. */
export function readBatch(records: DataView, sideband: Uint8Array): Batch {
  const events: BatchEvent[] = [];
  for (let at = 0; at + Header.size <= records.byteLength; ) {
    const length = records.getUint32(at + Header.length, true);
    if (length < Header.size || at + length > records.byteLength) break;
    const event = readRecord(records, at, length);
    if (event) events.push(event);
    at += (length + 7) & ~7;
  }
  const lost = parseSideband(sideband, (event) => events.push(event));
  // Stable: what one CPU wrote in order stays in order, also where times of long uptimes are
  // rounded to a few nanoseconds. Causes lie microseconds before what they bring about.
  events.sort((a, b) => a.time - b.time);
  return { events, lost };
}

/** Undefined for records that are too short for what they say to be, and for unknown ones. */
function readRecord(records: DataView, at: number, length: number): BatchEvent | undefined {
  const time = readWord(records, at + Header.time);
  const identity = readIdentity(records, at + Header.pid);
  switch (records.getUint16(at + Header.type, true)) {
    case RecordType.Deferred:
      if (length < Sample.size || length < deferredSize(records, at)) return undefined;
      return { kind: 'deferred', time, at, identity };
    case RecordType.Exec:
      return { kind: 'exec', time, identity };
    case RecordType.Exit:
      return { kind: 'exit', time, identity };
    case RecordType.Context:
      return { kind: 'context', time, identity };
    case RecordType.Fork:
      if (length < ProcessEvent.size) return undefined;
      return {
        kind: 'fork',
        time,
        identity,
        parent: readIdentity(records, at + ProcessEvent.parentPid),
      };
    default:
      return undefined;
  }
}

/** Bytes up to the stack copy: addresses of the kernel and of frames unwound before, labels. */
function deferredSize(records: DataView, at: number): number {
  const kernel = records.getUint16(at + Sample.kernelCount, true);
  const user = records.getUint16(at + Sample.userCount, true);
  return Sample.size + 8 * (kernel + user) + records.getUint16(at + Sample.labelBytes, true);
}

/** `struct ft_identity`. */
function readIdentity(records: DataView, at: number): Identity {
  return {
    pid: hostPid(records.getUint32(at, true)),
    execId: records.getUint32(at + 4, true),
    startNs: bootTime(readExactWord(records, at + 8)),
  };
}
