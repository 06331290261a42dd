/** A process instance: one program image from exec to exec or exit. */
import type { BootTime, HostPid } from '../units/units.ts';
import type { Executable } from './executable.ts';
import type { Mapped } from './mapping-list.ts';

/** (pid, start time, exec generation): reuse of a pid never mixes two. */
export interface Identity {
  readonly pid: HostPid;
  readonly execId: number;
  readonly startNs: BootTime;
}

export const sameIdentity = (a: Identity, b: Identity): boolean =>
  a.pid === b.pid && a.execId === b.execId && a.startNs === b.startNs;

/** A start time from /proc is rounded down to the clock tick of 10 ms. */
export const TICK_NS = 10_000_000n;

/** @param started as /proc says, undefined when the process is gone */
export const startsAt = ({ startNs }: Identity, started: BootTime | undefined): boolean =>
  started !== undefined && startNs >= started && startNs < started + TICK_NS;

/** What is mapped: a file, the vDSO, or memory without one. */
export type MappedThing = Executable | 'anonymous';

export type MappingList = readonly Mapped<MappedThing>[];

export interface Process {
  readonly identity: Identity;
  /** False until the mappings came from /proc or from events since exec. */
  complete: boolean;
  mappings: MappingList;
  /** Number of the mapping list that samples name; 0 = none was given yet. */
  layout: number;
  /** `mappings` is newer than what `layout` names. */
  stale: boolean;
  /** When the mappings were last read again, monotonic nanoseconds. */
  readAt: number;
  /** Of executable mappings, also of those that are not kept, when they were last read; 0 = never. */
  lines: number;
  /** Whose mappings a forked process began with, as long as these are not known. */
  parent: Identity | undefined;
  /** When it ended, monotonic nanoseconds; undefined while it runs. */
  ended: number | undefined;
}
