/** `ft_processes` and `ft_mappings`: which processes the kernel can unwind, and by which slice of mappings. */
import {
  GoLabelsForm,
  type MappingKind,
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
  readonly first: number;
  readonly count: number;
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

/** Rings are drained one after the other: a fork in the first one may be seen this much late. */
const DRAIN_NS = 50e6;

export class KernelProcesses {
  readonly #maps: TableMaps;
  readonly #writer: MapWriter;
  readonly #clock: () => number;
  readonly #space: Space;
  /** In the order of registration: the oldest makes room when the map is full. */
  readonly #registered = new Map<number, Registered>();
  /** Slices that nobody registered uses, oldest first. */
  #limbo: { readonly slice: Slice; readonly freed: number }[] = [];

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

  has(pid: number): boolean {
    return this.#registered.has(pid);
  }

  /**
   * Publishes a process or its changed mappings; its samples will carry
   * `layout`. False when there is no room even after others left.
   */
  publish(
    identity: KernelIdentity,
    layout: number,
    mappings: readonly KernelMapping[],
    go: GoLayout,
    carriers: CarrierLayout = noCarriers,
  ): boolean {
    const slice = this.#slice(mappings);
    if (!slice) return false;
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
   * Called between batches. A slice is given away again when no program reads it
   * and no child has it from a fork that was not seen yet.
   * @param seen time up to which events have been applied
   */
  settle(seen = Number.POSITIVE_INFINITY): void {
    let settled = 0;
    for (const { slice, freed } of this.#limbo) {
      if (freed >= seen - DRAIN_NS) break;
      this.#space.release(slice.first, slice.count);
      settled++;
    }
    if (settled > 0) this.#limbo = this.#limbo.slice(settled);
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

  #slice(mappings: readonly KernelMapping[]): Slice | undefined {
    if (mappings.length === 0) return { first: 0, count: 0, users: 1 };
    const first = this.#take(mappings.length);
    if (first === undefined) return undefined;
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
    return { first, count: mappings.length, users: 1 };
  }

  #take(length: number): number | undefined {
    for (;;) {
      const first = this.#space.take(length);
      if (first !== undefined) return first;
      if (this.#limbo.length === 0 && !this.#evictOldest()) return undefined;
      this.settle();
    }
  }

  #put(pid: number, value: DataView<ArrayBuffer>): boolean {
    for (;;) {
      try {
        this.#writer.put(this.#maps.processes, pid, new Uint8Array(value.buffer));
        return true;
      } catch (cause) {
        const full = (cause as NodeJS.ErrnoException).code === 'E2BIG';
        if (!full || !this.#evictOldest()) return false;
      }
    }
  }

  /** Its next sample is deferred, which brings it back. */
  #evictOldest(): boolean {
    for (const pid of this.#registered.keys()) {
      this.forget(pid);
      return true;
    }
    return false;
  }
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
