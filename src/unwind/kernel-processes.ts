/**
 * `ft_processes` and `ft_mappings`: which processes the kernel can unwind, and by which slice
 * of mappings. Full, they make room at the cost of those whose last sample is oldest.
 */
import {
  GoLabelsForm,
  MappingKind,
  MappingValue,
  PROCESS_GO_UNKNOWN,
  ProcessValue,
  TlsKind,
  TlsValue,
} from '../capture/record.ts';
import { type CarrierLayout, noCarriers, type TlsPlace } from '../context/carrier-layout.ts';
import type { BootTime } from '../units/units.ts';
import type { MapWriter, TableMaps } from './map-writer.ts';
import { Space } from './space.ts';
import type { FileUse } from './table-eviction.ts';

/** A mapping as the kernel's unwinder needs it. */
export interface KernelMapping {
  readonly start: number;
  readonly end: number;
  /** Text offset = address - bias. */
  readonly bias: number;
  /** Index in `ft_files`; not used for other kinds. */
  readonly file: number;
  readonly kind: (typeof MappingKind)[keyof typeof MappingKind];
}

/** Where Go keeps its goroutine; zeros for programs that are not Go. */
export interface GoLayout {
  /** Bytes that g lies below the thread pointer. */
  readonly gOffset: number;
  readonly m: number;
  readonly curg: number;
  readonly schedBp: number;
  readonly goid: number;
  readonly gopc: number;
  readonly gsignal: number;
  readonly inC: number;
  /** It is Go, but none of this is known. */
  readonly unknown: boolean;
}

export const notGo: GoLayout = {
  gOffset: 0,
  m: 0,
  curg: 0,
  schedBp: 0,
  goid: 0,
  gopc: 0,
  gsignal: 0,
  inC: 0,
  unknown: false,
};

export const unknownGo: GoLayout = { ...notGo, unknown: true };

interface Slice {
  /** Who it was made for. */
  readonly pid: number;
  readonly first: number;
  readonly count: number;
  /** Indices in `ft_files`. */
  readonly files: ReadonlySet<number>;
  users: number;
}

interface Registered {
  readonly slice: Slice;
  /** `struct ft_process`. */
  readonly value: DataView<ArrayBuffer>;
  /** Monotonic nanoseconds. */
  readonly published: number;
}

interface KernelIdentity {
  readonly pid: number;
  readonly execId: number;
  readonly startNs: BootTime;
}

/** What a record is late by that was begun before a drain of its ring, and finished behind it. */
const DRAIN_NS = 50e6;
/** Of the room for mappings, what one process may have. */
const MAX_SHARE = 1 / 8;
/** Of either map, what makes room at once: finding the least useful takes a look at all. */
const EVICTED_SHARE = 1 / 16;

export class KernelProcesses {
  readonly #maps: TableMaps;
  readonly #writer: MapWriter;
  readonly #clock: () => number;
  readonly #space: Space;
  readonly #registered = new Map<number, Registered>();
  /** Slices that nobody registered uses, oldest first. */
  #limbo: { readonly slice: Slice; readonly freed: number }[] = [];
  /** Forks may have gone unseen: nobody knows who else has a slice of #limbo. */
  #isDoubted = false;
  readonly #problems = new Map<string, number>();

  /** @param clock monotonic nanoseconds, as records carry them */
  constructor(
    maps: TableMaps,
    writer: MapWriter,
    clock: () => number = () => Number(process.hrtime.bigint()),
  ) {
    this.#maps = maps;
    this.#writer = writer;
    this.#clock = clock;
    this.#space = new Space(0, maps.mappingCount);
  }

  get size(): number {
    return this.#registered.size;
  }

  /** Reasons why processes lost their entries, counted. */
  get problems(): ReadonlyMap<string, number> {
    return this.#problems;
  }

  /** Of one process. */
  get maxMappings(): number {
    return Math.floor(this.#maps.mappingCount * MAX_SHARE);
  }

  /**
   * Why publish() need not be tried, and that the process is known no longer: it has more
   * mappings than one may, or for the moment, with those that it had before.
   */
  refusal(pid: number, mappings: number): 'too_many' | 'no_room' | undefined {
    if (!this.#isTooMuch(pid, mappings)) return undefined;
    this.#count('no_room_for_mappings');
    this.forget(pid);
    return mappings > this.maxMappings ? 'too_many' : 'no_room';
  }

  has(pid: number): boolean {
    return this.#registered.has(pid);
  }

  /**
   * Publishes a process or its changed mappings; its samples will carry
   * `layout`. False when there is no room; where others leave for it, there is some
   * after the next settle(). What was published of the process before is gone then.
   * @param copiesFrom until then (monotonic nanoseconds) what the kernel cannot unwind
   *   by itself leaves without a copy of the stack
   */
  publish(
    identity: KernelIdentity,
    layout: number,
    mappings: readonly KernelMapping[],
    go: GoLayout,
    carriers: CarrierLayout = noCarriers,
    copiesFrom = 0,
  ): boolean {
    const slice = this.#slice(identity.pid, mappings);
    if (!slice) {
      this.#count('no_room_for_mappings');
      // Its old mappings are not what it has.
      this.forget(identity.pid);
      return false;
    }
    const value = new DataView(new ArrayBuffer(ProcessValue.size));
    setIdentity(value, identity);
    value.setUint32(ProcessValue.first, slice.first, true);
    value.setUint32(ProcessValue.count, slice.count, true);
    value.setUint32(ProcessValue.layout, layout, true);
    value.setUint16(ProcessValue.goGOffset, go.gOffset, true);
    value.setUint16(ProcessValue.goM, go.m, true);
    value.setUint16(ProcessValue.goCurg, go.curg, true);
    value.setUint16(ProcessValue.goSchedBp, go.schedBp, true);
    value.setUint16(ProcessValue.goGoid, go.goid, true);
    value.setUint16(ProcessValue.goGopc, go.gopc, true);
    value.setUint16(ProcessValue.goGsignal, go.gsignal, true);
    value.setUint16(ProcessValue.goInC, go.inC, true);
    value.setUint32(ProcessValue.flags, go.unknown ? PROCESS_GO_UNKNOWN : 0, true);
    setCarriers(value, carriers);
    value.setBigUint64(ProcessValue.copiesFrom, BigInt(Math.ceil(copiesFrom)), true);
    value.setBigUint64(ProcessValue.used, BigInt(Math.floor(this.#clock())), true);
    if (!this.#put(identity.pid, value)) {
      if (slice.count > 0) this.#space.release(slice.first, slice.count);
      return false;
    }
    this.#register(identity.pid, { slice, value, published: this.#clock() });
    return true;
  }

  /**
   * The kernel has copied the parent's entry for a child, with the slice that the
   * parent had then. If that has changed, or gone, the child's entry is mended.
   * @param forked time of the fork; not known = the entry is always written
   */
  inherit(child: KernelIdentity, parentPid: number, forked = 0): void {
    const own = this.#registered.get(child.pid);
    // A sample of the child was faster than the news of it.
    if (own && isOf(own.value, child)) return;
    const parent = this.#registered.get(parentPid);
    if (!parent) {
      this.#writer.remove(this.#maps.processes, child.pid);
      this.#unregister(child.pid);
      return;
    }
    const value = new DataView(parent.value.buffer.slice(0));
    setIdentity(value, child);
    let { published } = parent;
    if (forked <= published) {
      if (!this.#put(child.pid, value)) return;
      // Making room for the entry may have cost the parent its own.
      if (this.#registered.get(parentPid) !== parent) {
        this.#writer.remove(this.#maps.processes, child.pid);
        return;
      }
      published = this.#clock();
    }
    parent.slice.users++;
    this.#register(child.pid, { slice: parent.slice, value, published });
  }

  /**
   * The process has ended or exec'd. The kernel has dropped its entry itself, but
   * it may have been written again before that was known here.
   */
  forget(pid: number): void {
    if (!this.#registered.has(pid)) return;
    this.#writer.remove(this.#maps.processes, pid);
    this.#unregister(pid);
  }

  /**
   * Records of exec, exit or fork were lost: children that nobody knows of may have any
   * slice. None is given away until repair().
   */
  doubt(): void {
    this.#isDoubted = true;
  }

  /**
   * Removes entries that are not as they were registered, which the kernel has copied for
   * children unseen or kept, and forgets those that it has dropped: all are looked up anew
   * at their next sample.
   */
  repair(): void {
    const intact = new Set<number>();
    for (const { pid, value } of this.#entries()) {
      const registered = this.#registered.get(pid);
      if (registered && isSame(registered.value, value)) {
        intact.add(pid);
        continue;
      }
      this.#writer.remove(this.#maps.processes, pid);
      this.#count('process_entries_repaired');
    }
    for (const pid of [...this.#registered.keys()]) {
      if (!intact.has(pid)) this.#unregister(pid);
    }
    this.#isDoubted = false;
  }

  /** What is mapped is not known for sure any more: all are looked up anew. */
  forgetAll(): void {
    this.#count('mappings_distrusted', this.#registered.size);
    for (const pid of [...this.#registered.keys()]) this.forget(pid);
  }

  /**
   * Called between batches. A slice is given away again when no program reads it
   * and no child has it from a fork that was not seen yet.
   * @param seen time up to which events have been applied, of all CPUs
   */
  settle(seen = Number.POSITIVE_INFINITY): void {
    if (this.#isDoubted) return;
    let settled = 0;
    for (const { slice, freed } of this.#limbo) {
      if (freed >= seen - DRAIN_NS) break;
      this.#space.release(slice.first, slice.count);
      settled++;
    }
    if (settled > 0) this.#limbo = this.#limbo.slice(settled);
  }

  /** Which files are in use; processes with the same mappings, from fork to fork, are one. */
  uses(): FileUse[] {
    const last = new Map<Slice, bigint>();
    for (const { pid, value } of this.#entries()) {
      const slice = this.#registered.get(pid)?.slice;
      if (!slice) continue;
      const at = value.getBigUint64(ProcessValue.used, true);
      if (at >= (last.get(slice) ?? 0n)) last.set(slice, at);
    }
    return Array.from(last, ([{ files }, at]) => ({ files, at }));
  }

  #register(pid: number, registered: Registered): void {
    this.#unregister(pid);
    this.#registered.set(pid, registered);
  }

  #unregister(pid: number): void {
    const registered = this.#registered.get(pid);
    if (!registered) return;
    this.#registered.delete(pid);
    this.#leave(registered.slice);
  }

  #leave(slice: Slice): void {
    if (--slice.users === 0) this.#limbo.push({ slice, freed: this.#clock() });
  }

  #slice(pid: number, mappings: readonly KernelMapping[]): Slice | undefined {
    const files = new Set<number>();
    for (const { kind, file } of mappings) if (kind === MappingKind.File) files.add(file);
    if (mappings.length === 0) return { pid, first: 0, count: 0, files, users: 1 };
    // A request that cannot be met must not cost anybody anything.
    if (this.#isTooMuch(pid, mappings.length)) return undefined;
    const first = this.#space.take(mappings.length);
    if (first === undefined) {
      this.#makeRoom(mappings.length);
      return undefined;
    }
    const value = new DataView(new ArrayBuffer(mappings.length * MappingValue.size));
    mappings.forEach((mapping, i) => {
      const at = i * MappingValue.size;
      setAddress(value, at + MappingValue.start, mapping.start);
      setAddress(value, at + MappingValue.end, mapping.end);
      setAddress(value, at + MappingValue.bias, mapping.bias);
      value.setUint32(at + MappingValue.file, mapping.file, true);
      value.setUint32(at + MappingValue.kind, mapping.kind, true);
    });
    this.#writer.write(
      this.#maps.mappings,
      first * MappingValue.size,
      new Uint8Array(value.buffer),
    );
    return { pid, first, count: mappings.length, files, users: 1 };
  }

  #isTooMuch(pid: number, mappings: number): boolean {
    return mappings > 0 && mappings + this.#inLimbo(pid) > this.maxMappings;
  }

  /** Whoever has other mappings all the time waits for its own old ones to be free again. */
  #inLimbo(pid: number): number {
    let count = 0;
    for (const { slice } of this.#limbo) if (slice.pid === pid) count += slice.count;
    return count;
  }

  /** A freed slice is in nobody's hands after settle(), not before. */
  #makeRoom(length: number): void {
    const wanted = Math.max(length, this.#maps.mappingCount * EVICTED_SHARE);
    let free = this.#limbo.reduce((sum, { slice }) => sum + slice.count, 0);
    if (free >= wanted) return;
    for (const pid of this.#leastUseful()) {
      const slice = this.#registered.get(pid)?.slice;
      if (!slice) continue;
      this.#evict(pid);
      if (slice.users === 0) free += slice.count;
      if (free >= wanted) return;
    }
  }

  #put(pid: number, value: DataView<ArrayBuffer>): boolean {
    for (let attempt = 0; ; attempt++) {
      try {
        this.#writer.put(this.#maps.processes, pid, new Uint8Array(value.buffer));
        return true;
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== 'E2BIG' || attempt > 0) return false;
      }
      const all = this.#leastUseful();
      for (const one of all.slice(0, Math.ceil(all.length * EVICTED_SHARE))) this.#evict(one);
    }
  }

  /** Its next sample is deferred, which brings it back. */
  #evict(pid: number): void {
    this.#writer.remove(this.#maps.processes, pid);
    this.#unregister(pid);
    this.#count('process_entries_evicted');
  }

  /** Pids of all entries, also of children not seen yet; those whose last sample is oldest first. */
  #leastUseful(): number[] {
    const used: { pid: number; at: bigint }[] = [];
    for (const { pid, value } of this.#entries()) {
      used.push({ pid, at: value.getBigUint64(ProcessValue.used, true) });
    }
    used.sort((a, b) => (a.at < b.at ? -1 : Number(a.at > b.at)));
    return used.map(({ pid }) => pid);
  }

  *#entries(): Generator<{ pid: number; value: DataView }> {
    const bytes = this.#writer.entries(this.#maps.processes);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.length; at += 4 + ProcessValue.size) {
      const value = new DataView(bytes.buffer, bytes.byteOffset + at + 4, ProcessValue.size);
      yield { pid: view.getUint32(at, true), value };
    }
  }

  #count(reason: string, by = 1): void {
    if (by > 0) this.#problems.set(reason, (this.#problems.get(reason) ?? 0) + by);
  }
}

/** But for what the kernel side writes there. */
function isSame(registered: DataView, found: DataView): boolean {
  for (let at = 0; at < ProcessValue.used; at += 8) {
    if (registered.getBigUint64(at, true) !== found.getBigUint64(at, true)) return false;
  }
  return true;
}

function setIdentity(value: DataView, { pid, execId, startNs }: KernelIdentity): void {
  value.setUint32(ProcessValue.pid, pid, true);
  value.setUint32(ProcessValue.execId, execId, true);
  value.setBigUint64(ProcessValue.start, startNs, true);
}

function setCarriers(value: DataView, carriers: CarrierLayout): void {
  const { goLabels } = carriers;
  if (goLabels) {
    const form = goLabels.form === 'map' ? GoLabelsForm.Map : GoLabelsForm.Slice;
    value.setUint16(ProcessValue.goLabels, goLabels.offset, true);
    value.setUint16(ProcessValue.goLabelsForm, form, true);
  }
  value.setUint32(ProcessValue.node, carriers.node, true);
  setTls(value, ProcessValue.threadContext, carriers.threadContext);
  setTls(value, ProcessValue.customLabels, carriers.customLabels);
  setTls(value, ProcessValue.nodeContext, carriers.nodeContext);
}

const TLS_KINDS = {
  none: TlsKind.None,
  static: TlsKind.Static,
  dynamic: TlsKind.Dynamic,
} as const;

function setTls(value: DataView, at: number, place: TlsPlace): void {
  value.setBigInt64(at + TlsValue.offset, BigInt(place.offset), true);
  value.setUint32(at + TlsValue.generation, place.generation, true);
  value.setUint16(at + TlsValue.module, place.module, true);
  value.setUint8(at + TlsValue.dtvStep, place.dtvStep);
  value.setUint8(at + TlsValue.kind, TLS_KINDS[place.kind]);
}

function isOf(value: DataView, { execId, startNs }: KernelIdentity): boolean {
  return (
    value.getUint32(ProcessValue.execId, true) === execId &&
    value.getBigUint64(ProcessValue.start, true) === startNs
  );
}

function setAddress(view: DataView, at: number, value: number): void {
  // Two's complement for a bias below zero.
  view.setUint32(at, value % 2 ** 32, true);
  view.setInt32(at + 4, Math.floor(value / 2 ** 32), true);
}
