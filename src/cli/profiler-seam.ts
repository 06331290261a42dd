/** What the commands ask of the profiler; src/agent keeps to it. */
import type { Profile } from '../profile/model.ts';
import type { LabelLimits } from '../profile/profile-tables.ts';

export interface ProfilerOptions {
  /** Samples per second and CPU. */
  readonly hz: number;
  /** Nothing set = the whole machine. */
  readonly scope: {
    readonly pids: readonly number[];
    readonly comm?: string;
    readonly cgroupPath?: string;
    readonly followChildren: boolean;
    /** Left out of it, before anything is unwound; absent: nothing. */
    readonly exclude?: {
      readonly pids: readonly number[];
      readonly comms: readonly string[];
      readonly cgroupPaths: readonly string[];
    };
  };
  /** Tell threads apart by name. */
  readonly threads: boolean;
  readonly kernelStacks: boolean;
  /** User frames at most. */
  readonly maxDepth: number;
  /** Of each CPU's ring, a power of two; absent: 512 KiB. */
  readonly ringBytes?: number;
  /** Keys of the labels that samples keep, the thread aside; absent: all. */
  readonly labels?: readonly string[];
  /** How many different sets of labels a profile has at most, and their bytes; absent: the usual. */
  readonly labelLimits?: LabelLimits;
  /** Profiles have addresses of the kernel and of anonymous memory; absent: no. */
  readonly addresses?: boolean;
  /** Absent: as the environment says. */
  readonly symbols?: SymbolSources;
  /** File that raw records are saved to. */
  readonly saveRecords?: string;
  /** File of raw records to read instead of sampling. */
  readonly replay?: string;
  /** Truth mode: every sample also leaves with registers and stack; for `saveRecords`. */
  readonly copyEverySample?: boolean;
  /** Profiles follow one another: names that take time may come with a later one. */
  readonly steady?: boolean;
  onWaiting?(waiting: Waiting): void;
  /**
   * Something went wrong and is tried again.
   * @param cause tells such things apart: stable, without numbers
   */
  onWarning?(cause: string, fields: object, message: string): void;
  /** It cannot go on: flush() throws from now on, stop() gives the profile of what there is. */
  onFailure?(error: Error): void;
}

/** Where debug information comes from that is not on the machine. */
export interface SymbolSources {
  readonly debuginfodUrls: readonly string[];
  /** Folder of what was downloaded; '' = the usual place. */
  readonly cacheDir: string;
  readonly maxCacheBytes: number;
}

/** Why a profile takes long: debug information of `files` is wanted, `downloads` are on their way. */
export interface Waiting {
  readonly files: number;
  readonly downloads: number;
}

/** Running totals since the start. */
export interface LiveCounts {
  readonly samples: number;
  readonly lost: number;
  /** Frames without a name in the profiles so far; undefined before the first one. */
  readonly unresolved: number | undefined;
  /** Running processes that are known; undefined where nobody counts them. */
  readonly processes: number | undefined;
  /** Memory that the kernel holds for BPF maps and rings, bytes. */
  readonly mapBytes?: number;
  /** Of these, unwind tables; undefined before the first profile. */
  readonly tableBytes?: number | undefined;
  /** CPU time of our BPF programs; undefined where it is not measured. */
  readonly kernelCpuSeconds?: number | undefined;
  /** The thread that reads programs and names addresses. */
  readonly resolver?: { readonly isUp: boolean; readonly restarts: number };
  /** Work that failed for want of something and was done again, by its name. */
  readonly retried?: Readonly<Record<string, number>>;
}

export interface Profiler {
  /** What went wrong beside the profile, one line each; after stop(). */
  readonly problems?: readonly string[];
  counts(): LiveCounts;
  /** The user wants to go: the profile has the names that can be had within seconds. */
  hurry?(): void;
  /** @returns the profile since the last flush; sampling goes on */
  flush(): Promise<Profile>;
  /** Stops sampling. @returns the rest since the last flush */
  stop(): Promise<Profile>;
}

/** @throws MachineError when this machine does not allow it; sampling runs once it resolves */
export type StartProfiler = (options: ProfilerOptions) => Promise<Profiler>;
