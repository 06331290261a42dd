/** What the main thread and the resolver's thread say to each other. */

import type { SymbolSources } from '../cli/profiler-seam.ts';
import type { RefusedFile } from '../process/work-note.ts';
import type { AddressQueries } from '../profile/address-collection.ts';
import type { Instance } from '../profile/aggregator.ts';
import type { ProcessInformation } from '../profile/builder.ts';
import type { ResolvedLocation } from '../profile/profile-tables.ts';
import type { BootTime } from '../units/units.ts';
import type { TableMaps } from '../unwind/map-writer.ts';

/** How long naming waits for debug information; what comes later is for the next flush. */
export interface Patience {
  /** For files that are being read. */
  readonly namesMs: number;
  /** For files that are being downloaded. */
  readonly downloadsMs: number;
}

/** What the resolver's thread is started with. */
export interface ResolverSetup {
  /** Undefined when records are replayed: there is no kernel side. */
  readonly maps: TableMaps | undefined;
  readonly maxDepth: number;
  readonly patience: Patience;
  /** It runs for long: addresses that turn up late must not cost much. */
  readonly isSteady: boolean;
  /** The kernel tells of process contexts being published. */
  readonly announcesContexts: boolean;
  /** Report what is read from the machine, so that records can be replayed. */
  readonly saveSnapshots: boolean;
  /** Answers instead of the machine, in the order of their asking. */
  readonly snapshots: readonly Snapshot[] | undefined;
  /** Undefined: as the environment says. */
  readonly symbols: SymbolSources | undefined;
}

/** Something that was read from the machine at run time. */
export type Snapshot = MapsSnapshot | ContextSnapshot;

export interface MapsSnapshot {
  readonly kind: 'maps';
  readonly pid: number;
  readonly text: string;
  /** Start time of the process, in JSON its decimal digits; 0 = it was gone. */
  readonly started: BootTime;
}

/** What a process says of itself; a later one takes the place of an earlier one. */
export interface ContextSnapshot {
  readonly kind: 'context' | 'environment';
  readonly pid: number;
  readonly execId: number;
  readonly started: BootTime;
  /** Monotonic nanoseconds. */
  readonly readAt: number;
  /** The payload of a process context in base64, or variables as JSON; '' = there is none. */
  readonly text: string;
}

/** What is known of a batch beside its records. */
export interface Delivery {
  /** All records until this time (monotonic nanoseconds) are in this batch or in one before; undefined in a replay. */
  readonly drainedUntil: number | undefined;
  /** Records of exec, exit and fork that were lost since the batch before. */
  readonly eventsLost: number;
}

/** What was not delivered with a batch, or before it. */
export interface BatchNews {
  /** News of processes that were dropped since the batch before for want of room. */
  readonly undelivered: number;
  readonly delivery: Delivery | undefined;
}

export type ToResolver =
  | {
      readonly type: 'start';
      readonly setup: ResolverSetup;
      /** For its WorkNote. */
      readonly note: SharedArrayBuffer;
      readonly refused: readonly RefusedFile[];
    }
  | ({
      readonly type: 'batch';
      /** Records other than finished samples, as bpf/record.h has them. */
      readonly records: Uint8Array<ArrayBuffer>;
      /** perf records of the side band. */
      readonly sideband: Uint8Array<ArrayBuffer>;
    } & BatchNews)
  | {
      readonly type: 'resolve';
      readonly id: number;
      readonly queries: AddressQueries;
      readonly instances: readonly Instance[];
    }
  | {
      readonly type: 'sync';
      readonly id: number;
      /** What was sent before will be resolved next: what later samples may need stays until then. */
      readonly isTake: boolean;
    }
  | { readonly type: 'ping' }
  /** Somebody wants to go: from now on nothing is waited for any longer. */
  | { readonly type: 'hurry' }
  | { readonly type: 'stop' };

export interface Resolution {
  readonly type: 'resolution';
  readonly id: number;
  /** Parallel to the queries: number of a location, 0 = nothing is known of the address. */
  readonly locations: Uint32Array<ArrayBuffer>;
  /** Locations that the main thread has not seen; the first has number `firstNew`. */
  readonly firstNew: number;
  readonly fresh: readonly ResolvedLocation[];
  /** Numbers that are not given again once this answer is taken. */
  readonly forgotten: Uint32Array<ArrayBuffer>;
  /** Parallel to the instances. */
  readonly processes: readonly (ProcessInformation | undefined)[];
}

export interface ResolverStats {
  readonly processes: number;
  readonly binaries: number;
  readonly tableBytes: number;
  readonly problems: Readonly<Record<string, number>>;
  readonly sidebandLost: number;
}

/** Why a resolution takes long. */
export interface Waiting {
  /** Files whose debug information is wanted. */
  readonly files: number;
  /** Of these, those that are being downloaded. */
  readonly downloads: number;
}

export type FromResolver =
  /** `task`: the thread, as /proc/self/task has it. */
  | { readonly type: 'ready'; readonly task: number | undefined }
  | { readonly type: 'pong' }
  /** All files are closed: the thread can be ended. */
  | { readonly type: 'stopped' }
  /** One for each batch, in their order. */
  | {
      readonly type: 'done';
      /** Finished samples (FT_RECORD_SAMPLE) made of its deferred ones; undefined when it had none. */
      readonly records: Uint8Array<ArrayBuffer> | undefined;
      /** How many they are. */
      readonly samples: number;
      /** What the batch has cost, CPU time. */
      readonly cpuMs: number;
    }
  | { readonly type: 'snapshot'; readonly snapshot: Snapshot }
  | { readonly type: 'waiting'; readonly waiting: Waiting }
  /** Of Node itself. */
  | { readonly type: 'warning'; readonly name: string; readonly message: string }
  | Resolution
  | { readonly type: 'synced'; readonly id: number; readonly stats: ResolverStats };
