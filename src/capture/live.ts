/** The sampler on this machine: loaded, attached to its CPUs, drained. */
import type { TableMaps } from '../unwind/map-writer.ts';
import { type Addon, type NativeSampler, nativeFiles, type RunStats } from './addon.ts';
import type { CgroupScope } from './cgroup.ts';
import { CpuFollower, onlineCpus, possibleCpus, type UnsampledTimes } from './cpus.ts';
import { COUNTERS, type Counter, KEY_BYTES } from './record.ts';

export interface LiveOptions {
  readonly hz: number;
  readonly maxDepth: number;
  readonly kernelStacks: boolean;
  readonly pids: readonly number[];
  readonly followChildren: boolean;
  readonly comm: string | undefined;
  /** A cgroup and all below it; undefined = all. */
  readonly cgroup: CgroupScope | undefined;
  /** What none of these may take in. */
  readonly excluded: Excluded;
  readonly ringBytes: number;
  /** Bytes of unwind tables in the kernel. */
  readonly tableBytes: number;
  /** Truth mode: every sample also leaves with its registers and stack. */
  readonly copyEverySample: boolean;
  /** Keys of labels that samples are to carry, each at most KEY_BYTES long; their positions number them. */
  readonly wantedKeys: readonly string[];
  /** How many of them, the first ones, are those of ids: others leave room for them. */
  readonly idKeys: number;
}

export interface Excluded {
  /** With the processes that they start from now on. */
  readonly pids: readonly number[];
  readonly comms: readonly string[];
  /** With all below them; eight at most. */
  readonly cgroups: readonly CgroupScope[];
}

export type Counters = Readonly<Record<Counter, number>>;

const PROCESSES = 8192;
/** An eighth, which one process may have, is 16,384; 4 MiB in all. */
const MAPPINGS = 131_072;
const FILES = 4096;
const SCOPED_PIDS = 16_384;
/** As bpf/maps.h has it. */
const EXCLUDED_CGROUPS = 8;

export class LiveCapture {
  readonly #sampler: NativeSampler;
  readonly #addon: Addon;
  readonly #tableCount: number;
  readonly #cpus: CpuFollower;
  /** As long as no CPU is watched anew: asking takes two system calls per map. */
  #mapBytes: number | undefined;

  /** Loads the programs; nothing is sampled yet. @throws Error with `code` of the failing call */
  constructor(addon: Addon, options: LiveOptions) {
    this.#addon = addon;
    this.#tableCount = Math.floor(options.tableBytes / 8);
    const { excluded } = options;
    const { ids, levels } = cgroupTable(excluded.cgroups);
    // Rings are found by CPU number, and numbers may have gaps.
    const cpus = Math.max(...possibleCpus()) + 1;
    this.#sampler = new addon.Sampler({
      object: nativeFiles().object,
      cpus,
      ringBytes: options.ringBytes,
      config: {
        ft_max_depth: u32(options.maxDepth),
        ft_common_ring: u32(cpus),
        ft_period_ns: u64(BigInt(Math.round(1e9 / options.hz))),
        ft_kernel_stacks: u32(options.kernelStacks ? 1 : 0),
        ft_copy_every_sample: u32(options.copyEverySample ? 1 : 0),
        ft_large_copies_below: u32(options.ringBytes / 4),
        ft_copies_below: u32(options.ringBytes / 2),
        ft_samples_below: u32(options.ringBytes - options.ringBytes / 8),
        ft_id_keys: u32(options.idKeys),
        ft_scope_pids: u32(options.pids.length > 0 ? 1 : 0),
        ft_scope_children: u32(options.followChildren ? 1 : 0),
        ft_scope_comm: u32(options.comm === undefined ? 0 : 1),
        ft_scope_comm_name: commBytes(options.comm ?? ''),
        ft_scope_cgroup: u64(options.cgroup?.id ?? 0n),
        ft_scope_cgroup_level: u32(options.cgroup?.level ?? 0),
        ft_excludes_pids: u32(excluded.pids.length > 0 ? 1 : 0),
        ft_excludes_comms: u32(excluded.comms.length > 0 ? 1 : 0),
        ft_excluded_cgroups: new Uint8Array(ids.buffer),
        ft_excluded_cgroup_levels: new Uint8Array(levels.buffer),
      },
      entries: {
        ft_processes: PROCESSES,
        ft_mappings: MAPPINGS,
        ft_files: FILES,
        ft_tables: this.#tableCount,
        ft_scope: options.pids.length > 0 ? SCOPED_PIDS : 1,
        ft_excluded_pids: excluded.pids.length > 0 ? SCOPED_PIDS : 1,
        ft_excluded_comms: Math.max(1, excluded.comms.length),
      },
    });
    this.#cpus = new CpuFollower({
      watch: (cpu) => {
        this.#mapBytes = undefined;
        this.#sampler.watch(cpu, options.hz);
      },
      unwatch: (cpu) => this.#sampler.unwatch(cpu),
      eventTimes: (cpu) => this.#sampler.eventTimes(cpu),
      online: onlineCpus,
      now: () => process.hrtime.bigint(),
    });
    for (const pid of options.pids) this.include(pid);
    this.#want(options.wantedKeys);
    for (const pid of excluded.pids) this.#add('ft_excluded_pids', u32(pid));
    for (const comm of excluded.comms) this.#add('ft_excluded_comms', commBytes(comm));
  }

  /** No process is known any more: the next sample of each is deferred. */
  forgetProcesses(): void {
    this.#addon.mapClear(this.#sampler.mapDescriptor('ft_processes'));
  }

  get maps(): TableMaps {
    return {
      processes: this.#sampler.mapDescriptor('ft_processes'),
      mappings: this.#sampler.mapDescriptor('ft_mappings'),
      files: this.#sampler.mapDescriptor('ft_files'),
      tables: this.#sampler.mapDescriptor('ft_tables'),
      nodeLayouts: this.#sampler.mapDescriptor('ft_node_layouts'),
      mappingCount: MAPPINGS,
      fileCount: FILES,
      tableCount: this.#tableCount,
    };
  }

  /** From now on records tell of process contexts. @returns why not, undefined when they do */
  announceContexts(): Error | undefined {
    try {
      this.#sampler.attach('ft_publication');
      return undefined;
    } catch (cause) {
      return cause as Error;
    }
  }

  /** CPUs being sampled. */
  get cpus(): number {
    return this.#cpus.size;
  }

  /** Takes a process into the scope. */
  include(pid: number): void {
    this.#add('ft_scope', u32(pid));
  }

  #add(set: string, member: Uint8Array): void {
    this.#addon.mapUpdate(this.#sampler.mapDescriptor(set), member, Uint8Array.of(1));
  }

  #want(keys: readonly string[]): void {
    let lengths = 0n;
    keys.forEach((key, number) => {
      // The first number of a key that is wanted twice counts.
      if (keys.indexOf(key) !== number) return;
      const bytes = new Uint8Array(KEY_BYTES);
      const text = new TextEncoder().encode(key);
      bytes.set(text);
      lengths |= 1n << BigInt(text.length);
      this.#addon.mapUpdate(this.#sampler.mapDescriptor('ft_wanted'), bytes, u32(number));
    });
    this.#addon.mapUpdate(this.#sampler.mapDescriptor('ft_wanted_lengths'), u32(0), u64(lengths));
  }

  /**
   * Samples every CPU that is online now and no other; called again and again, as they
   * come and go. @throws Error with `code` when one cannot be sampled; the others are
   */
  followCpus(): void {
    this.#cpus.follow();
  }

  readonly readClocks = (): BigUint64Array => this.#addon.clocks();

  /** Since the start. */
  get unsampled(): UnsampledTimes {
    return this.#cpus.unsampled;
  }

  /** Ends sampling; what is in the rings can still be drained. */
  pause(): void {
    this.#cpus.pause();
  }

  onReadable(callback: () => void): void {
    this.#sampler.onReadable(callback);
  }

  drain(into: Uint8Array): number {
    return this.#sampler.drain(into);
  }

  drainSideband(into: Uint8Array): number {
    return this.#sampler.drainSideband(into);
  }

  counters(): Counters {
    const values = this.#sampler.counters();
    return Object.fromEntries(COUNTERS.map((name, i) => [name, values[i] ?? 0])) as Record<
      Counter,
      number
    >;
  }

  enableRunStats(): void {
    this.#sampler.enableRunStats();
  }

  disableRunStats(): void {
    this.#sampler.disableRunStats();
  }

  runStats(): RunStats[] {
    return this.#sampler.runStats();
  }

  /** Bytes that the kernel holds for us. */
  mapMemory(): number {
    this.#mapBytes ??= this.#sampler.mapMemory();
    return this.#mapBytes;
  }

  close(): void {
    this.#sampler.close();
  }
}

function cgroupTable(cgroups: readonly CgroupScope[]): {
  ids: BigUint64Array;
  levels: Uint32Array;
} {
  if (cgroups.length > EXCLUDED_CGROUPS)
    throw new Error(`${cgroups.length} cgroups are excluded; there can be ${EXCLUDED_CGROUPS}`);
  const ids = new BigUint64Array(EXCLUDED_CGROUPS);
  const levels = new Uint32Array(EXCLUDED_CGROUPS);
  ids.set(cgroups.map(({ id }) => id));
  levels.set(cgroups.map(({ level }) => level));
  return { ids, levels };
}

function u64(value: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(value).buffer);
}

function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

/** As the kernel keeps a comm: 15 bytes and a zero. */
function commBytes(comm: string): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(new TextEncoder().encode(comm).subarray(0, 15));
  return bytes;
}
