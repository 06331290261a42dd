/** `ft_processes` and `ft_mappings`: which processes the kernel can unwind, and by which slice of mappings. */
import { type MappingKind, MappingValue, ProcessValue } from '../capture/record.ts';
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
}

export const notGo: GoLayout = { gOffset: 0, m: 0, curg: 0, schedBp: 0 };

interface Slice {
  readonly first: number;
  readonly count: number;
  users: number;
}

interface Registered {
  slice: Slice;
  readonly identity: KernelIdentity;
}

interface KernelIdentity {
  readonly pid: number;
  readonly execId: number;
  readonly startNs: number;
}

export class KernelProcesses {
  readonly #maps: TableMaps;
  readonly #writer: MapWriter;
  readonly #space: Space;
  /** In the order of registration: the oldest makes room when the map is full. */
  readonly #registered = new Map<number, Registered>();
  #limbo: Slice[] = [];

  constructor(maps: TableMaps, writer: MapWriter) {
    this.#maps = maps;
    this.#writer = writer;
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
  ): boolean {
    const slice = this.#slice(mappings);
    if (!slice) return false;
    const value = new DataView(new ArrayBuffer(ProcessValue.size));
    value.setUint32(ProcessValue.pid, identity.pid, true);
    value.setUint32(ProcessValue.execId, identity.execId, true);
    value.setBigUint64(ProcessValue.start, BigInt(identity.startNs), true);
    value.setUint32(ProcessValue.first, slice.first, true);
    value.setUint32(ProcessValue.count, slice.count, true);
    value.setUint32(ProcessValue.layout, layout, true);
    value.setUint16(ProcessValue.goGOffset, go.gOffset, true);
    value.setUint16(ProcessValue.goM, go.m, true);
    value.setUint16(ProcessValue.goCurg, go.curg, true);
    value.setUint16(ProcessValue.goSchedBp, go.schedBp, true);
    if (!this.#put(identity.pid, new Uint8Array(value.buffer))) {
      if (slice.count > 0) this.#space.release(slice.first, slice.count);
      return false;
    }
    const old = this.#registered.get(identity.pid);
    if (old) this.#leave(old.slice);
    this.#registered.delete(identity.pid);
    this.#registered.set(identity.pid, { slice, identity });
    return true;
  }

  /** The kernel has copied the parent's entry for a child. */
  inherit(child: KernelIdentity, parentPid: number): void {
    const parent = this.#registered.get(parentPid);
    if (!parent) return;
    const old = this.#registered.get(child.pid);
    parent.slice.users++;
    if (old) this.#leave(old.slice);
    this.#registered.set(child.pid, { slice: parent.slice, identity: child });
  }

  /** The process has ended or exec'd: the kernel has dropped its entry itself. */
  forget(pid: number): void {
    const registered = this.#registered.get(pid);
    if (!registered) return;
    this.#registered.delete(pid);
    this.#leave(registered.slice);
  }

  /** Called between batches: no program reads any more what was freed before the last one. */
  settle(): void {
    for (const slice of this.#limbo) {
      if (slice.count > 0) this.#space.release(slice.first, slice.count);
    }
    this.#limbo = [];
  }

  #leave(slice: Slice): void {
    if (--slice.users === 0) this.#limbo.push(slice);
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

  #put(pid: number, value: Uint8Array): boolean {
    for (;;) {
      try {
        this.#writer.put(this.#maps.processes, pid, value);
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
      this.#writer.remove(this.#maps.processes, pid);
      this.forget(pid);
      return true;
    }
    return false;
  }
}

function setAddress(view: DataView, at: number, value: number): void {
  // Two's complement for a bias below zero.
  view.setUint32(at, value % 2 ** 32, true);
  view.setInt32(at + 4, Math.floor(value / 2 ** 32), true);
}
