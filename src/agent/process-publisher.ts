/** Makes processes known to the kernel side: their mappings, their goroutines and labels, and what they may cost. */
import { MappingKind } from '../capture/record.ts';
import { noCarriers } from '../context/carrier-layout.ts';
import type { Mapped } from '../process/mapping-list.ts';
import type { MappedThing, Process } from '../process/process.ts';
import {
  type GoLayout,
  type KernelMapping,
  type KernelProcesses,
  notGo,
  unknownGo,
} from '../unwind/kernel-processes.ts';
import type { Binary } from './binary.ts';
import type { GoLayouts } from './go-layouts.ts';
import type { PlacedBinary, ProcessCarriers } from './process-carriers.ts';

/** `ft_files` element without regions: a file that nobody has opened yet. */
const UNOPENED_FILE = 0;

export interface PublisherOptions {
  readonly kernel: KernelProcesses;
  readonly goLayouts: GoLayouts;
  /** Undefined in replay, where there is no kernel side to be told. */
  readonly carriers: ProcessCarriers | undefined;
  /** Open ones, by the id of their file. */
  readonly binaries: ReadonlyMap<number, Binary>;
}

/** `no_room` passes as others leave; `too_many` mappings are more than one process may have. */
export type Placement = 'placed' | 'no_room' | 'too_many';

export class ProcessPublisher {
  readonly #kernel: KernelProcesses;
  readonly #goLayouts: GoLayouts;
  readonly #carriers: ProcessCarriers | undefined;
  readonly #binaries: ReadonlyMap<number, Binary>;

  constructor({ kernel, goLayouts, carriers, binaries }: PublisherOptions) {
    this.#kernel = kernel;
    this.#goLayouts = goLayouts;
    this.#carriers = carriers;
    this.#binaries = binaries;
  }

  /**
   * The process as it is now. Of one whose mappings are not known only how long it is to be
   * left alone: without an entry each of its samples would bring a copy of its stack.
   * @param copiesFrom until then (monotonic nanoseconds) no stacks are copied; 0 = they are
   */
  publish(process: Process, copiesFrom: number): Placement {
    const { identity, layout } = process;
    if (!process.complete) return this.leaveAlone(process, copiesFrom);
    const refusal = this.#kernel.refusal(identity.pid, process.mappings.length);
    if (refusal) return refusal;
    let go: GoLayout = notGo;
    let goBinary: Binary | undefined;
    const placed = new Map<Binary, PlacedBinary>();
    const mappings = process.mappings.map((mapped): KernelMapping => {
      const { start, end, what } = mapped;
      if (what === 'anonymous') {
        return { start, end, bias: 0, file: 0, kind: MappingKind.Anonymous };
      }
      if (what.unusable && isGeneratedCode(mapped)) {
        return { start, end, bias: 0, file: 0, kind: MappingKind.Anonymous };
      }
      if (what.unusable && !what.unusable.transient) {
        return { start, end, bias: 0, file: 0, kind: MappingKind.Unreadable };
      }
      const binary = what.opened && this.#binaries.get(what.opened.id);
      if (!binary) return { start, end, bias: start, file: UNOPENED_FILE, kind: MappingKind.File };
      const bias = binary.bias(start, mapped.raw.offset);
      const file = binary.index;
      if (bias === undefined || file === undefined) {
        return { start, end, bias: 0, file: 0, kind: MappingKind.Unreadable };
      }
      const slide = bias - binary.opened.image.textBase;
      placed.set(binary, { binary, slide });
      if (binary.isGo) {
        // With two runtimes in one process it would take both to say whose a thread is.
        const isOnly = goBinary === undefined || goBinary === binary;
        go = isOnly ? this.#goLayouts.of(process, binary.goThread, slide) : unknownGo;
        goBinary = binary;
      }
      return { start, end, bias, file, kind: MappingKind.File };
    });
    const carriers = this.#carriers?.of(process, [...placed.values()]) ?? noCarriers;
    const isPlaced = this.#kernel.publish(identity, layout, mappings, go, carriers, copiesFrom);
    return isPlaced ? 'placed' : 'no_room';
  }

  /** Known without its mappings: until `copiesFrom` its samples bring no copies of its stack. */
  leaveAlone({ identity }: Process, copiesFrom: number): Placement {
    const isPlaced = this.#kernel.publish(identity, 0, [], notGo, noCarriers, copiesFrom);
    return isPlaced ? 'placed' : 'no_room';
  }
}

/** JIT compilers that keep code writable elsewhere map a memfd twice; it is no ELF file. */
export function isGeneratedCode({ raw }: Mapped<MappedThing>): boolean {
  return raw.path.startsWith('/memfd:');
}
