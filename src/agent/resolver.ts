/**
 * The resolver: follows processes, fills the kernel's unwind tables, unwinds
 * deferred samples and names addresses. Synchronous; lives on a thread of its own.
 */
import {
  GO_STATES,
  GoCopy,
  Header,
  MAX_USER_FRAMES,
  MappingKind,
  REGISTER_COUNT,
  Sample,
  StackCopy as StackField,
} from '../capture/record.ts';
import { readWord } from '../capture/word.ts';
import { noCarriers } from '../context/carrier-layout.ts';
import type { ProcessContexts } from '../context/process-contexts.ts';
import { mayHaveDebugInformation } from '../debuginfo/debug-search.ts';
import { FileRoots } from '../debuginfo/file-roots.ts';
import { GoPages } from '../elf/go-pages.ts';
import type { ProcessHost } from '../process/host.ts';
import { findMapping, type Mapped } from '../process/mapping-list.ts';
import { OpenFiles } from '../process/open-files.ts';
import type { Identity, MappedThing, MappingList, Process } from '../process/process.ts';
import { RootDirectories } from '../process/root-directories.ts';
import { ProcessTracker } from '../process/tracker.ts';
import type { Demangler } from '../symbolize/demangle.ts';
import { type MonotonicTime, monotonicTime, processAddress, textOffset } from '../units/units.ts';
import { MAX_TEXT_READ } from '../unwind/file-tables.ts';
import { copiedGoroutine, type Goroutine } from '../unwind/goroutine-copy.ts';
import {
  type GoLayout,
  type KernelMapping,
  KernelProcesses,
  notGo,
  unknownGo,
} from '../unwind/kernel-processes.ts';
import { type MapWriter, nowhere, type TableMaps } from '../unwind/map-writer.ts';
import { type CodePlace, type StackCopy, StackWalker, type Walked } from '../unwind/stack-walk.ts';
import { TableStore } from '../unwind/table-store.ts';
import { type BatchEvent, readBatch } from './batch.ts';
import { Binary, type SharedByBinaries } from './binary.ts';
import { GoLayouts } from './go-layouts.ts';
import type { ResolverStats } from './messages.ts';
import { type PlacedBinary, ProcessCarriers } from './process-carriers.ts';
import { RecordWriter, type WrittenSamples } from './record-writer.ts';

export interface ResolverOptions {
  readonly host: ProcessHost;
  readonly contexts: ProcessContexts;
  readonly demangle: Demangler;
  /** Undefined in replay. */
  readonly kernel: { readonly maps: TableMaps; readonly writer: MapWriter } | undefined;
  readonly maxDepth: number;
  /** Debug information may be downloaded. */
  readonly hasServers: boolean;
  /** CLOCK_MONOTONIC in nanoseconds, as records carry it. */
  readonly monotonicNow?: () => number;
  /** Milliseconds that never go back. */
  readonly clock?: () => number;
}

/** Sizes without a kernel behind: as roomy as the kernel's own. */
const REPLAY_MAPS: TableMaps = {
  processes: -1,
  mappings: -1,
  files: -1,
  tables: -1,
  nodeLayouts: -1,
  mappingCount: 1 << 20,
  fileCount: 1 << 16,
  tableCount: 1 << 24,
};

const UNKNOWN_PROCESS = GO_STATES.indexOf('unknown_process');

/** Of Go tables, all binaries together: what one flush looks up in several large services. */
const GO_PAGE_BYTES = 8 << 20;

/** `ft_files` element without regions: a file that nobody has opened yet. */
const UNOPENED_FILE = 0;

/** A mapping list that samples name by its number. */
interface Layout {
  readonly process: Process;
  readonly mappings: MappingList;
}

/** How things stood when a flush began. */
export interface Mark {
  readonly now: MonotonicTime;
  readonly layouts: ReadonlySet<number>;
}

export class Resolver {
  readonly tracker: ProcessTracker;
  readonly contexts: ProcessContexts;
  readonly #roots: RootDirectories;
  readonly #files: OpenFiles;
  readonly #store: TableStore;
  readonly #kernel: KernelProcesses;
  readonly #goLayouts: GoLayouts;
  readonly #carriers: ProcessCarriers;
  readonly #shared: SharedByBinaries;
  readonly #maxDepth: number;
  /** False in replay, where there is no kernel side to be told. */
  readonly #isLive: boolean;
  readonly #clock: (() => number) | undefined;
  readonly #binaries = new Map<number, Binary>();
  readonly #layouts = new Map<number, Layout>();
  readonly #walker = new StackWalker();
  readonly #writer = new RecordWriter();
  readonly #registers = new Float64Array(REGISTER_COUNT);
  readonly #changed = new Set<Process>();
  readonly #nothing: Walked = {
    addresses: new Float64Array(),
    exact: new Uint8Array(),
    length: 0,
    end: 'process_gone',
  };
  /** Of binaries that were closed. */
  readonly #pastProblems: Record<string, number> = {};
  #nextLayout = 1;
  #sidebandLost = 0;
  #now = monotonicTime(0);

  constructor(options: ResolverOptions) {
    const { maps, writer } = options.kernel ?? { maps: REPLAY_MAPS, writer: nowhere };
    this.tracker = new ProcessTracker(options.host);
    this.contexts = options.contexts;
    this.#roots = new RootDirectories(options.host);
    this.#files = new OpenFiles(options.host);
    this.#store = new TableStore(maps, writer);
    this.#store.addFile(0, 0);
    this.#kernel = new KernelProcesses(maps, writer, options.monotonicNow);
    this.#goLayouts = new GoLayouts(options.host);
    this.#carriers = new ProcessCarriers(options.host, maps, writer, options.clock);
    this.#isLive = options.kernel !== undefined;
    this.#shared = {
      store: this.#store,
      demangle: options.demangle,
      goPages: new GoPages(GO_PAGE_BYTES),
      text: new Uint8Array(MAX_TEXT_READ),
      roots: this.#roots,
      mayHaveDebugInfo: (image, path, roots) =>
        mayHaveDebugInformation(
          image,
          path,
          new FileRoots((root, name) => options.host.openBelow(root, name), roots),
          options.hasServers,
        ),
    };
    this.#clock = options.clock;
    this.#maxDepth = Math.min(options.maxDepth, MAX_USER_FRAMES);
  }

  /**
   * Applies a batch; returns the samples made of its deferred ones.
   * @param undelivered news that should have come before it
   */
  batch(records: Uint8Array, sideband: Uint8Array, undelivered = 0): WrittenSamples {
    this.#store.settle();
    this.#kernel.settle(this.#now);
    const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
    const { events, lost } = readBatch(view, sideband);
    this.#sidebandLost += lost;
    if (lost + undelivered > 0) this.tracker.distrust();
    for (const event of events) this.#apply(event, view);
    for (const process of this.#changed) {
      if (process.ended === undefined) this.#publish(process);
    }
    this.#changed.clear();
    // At the end: by then it is known who has become another program.
    this.contexts.settle();
    return this.#writer.take();
  }

  /**
   * Goes on looking for what processes publish and for their carriers of labels; called
   * when `lookDue` says so. Processes with new carriers are made known anew.
   */
  look(): void {
    this.contexts.settle();
    for (const process of this.#carriers.search()) {
      if (process.ended === undefined && this.#kernel.has(process.identity.pid)) {
        this.#publish(process);
      }
    }
  }

  /** Milliseconds until look() has something to do; undefined when there is nothing. */
  get lookDue(): number | undefined {
    const [context, carriers] = [this.contexts.due, this.#carriers.due];
    if (context === undefined || carriers === undefined) return context ?? carriers;
    return Math.min(context, carriers);
  }

  /** The mapping list a sample of `layout` was unwound by; the process's own when it is not known. */
  layout(layout: number, identity: Identity): Layout | undefined {
    const process = this.tracker.find(identity);
    if (!process) return undefined;
    const known = this.#layouts.get(layout);
    // Numbers are this run's own: in a replay the same one may mean another process.
    const isOwn = known && (known.process === process || process.layout === layout);
    return { process, mappings: isOwn ? known.mappings : process.mappings };
  }

  /** The binary of a mapping, opened if need be; undefined when it cannot be used. */
  binary(process: Process, mapped: Mapped<MappedThing>): Binary | undefined {
    const { what } = mapped;
    if (what === 'anonymous') return undefined;
    const known = what.opened;
    const opened = known ?? what.open(process.identity.pid, mapped.raw, this.#files);
    if ('reason' in opened) return undefined;
    let binary = this.#binaries.get(opened.id);
    if (!binary) {
      binary = new Binary(opened, this.#shared, this.#clock);
      this.#binaries.set(opened.id, binary);
    }
    binary.mappedBy(process);
    return binary;
  }

  /** Called when a flush begins: samples of later ones may need what there is from now on. */
  mark(): Mark {
    return { now: this.#now, layouts: this.#usedLayouts() };
  }

  /** Called after a flush: processes and layouts that no later sample can name are dropped. */
  forget(begun: Mark): void {
    this.#shared.goPages.release();
    this.contexts.forget(this.tracker.forget(begun.now));
    const used = this.#usedLayouts();
    for (const layout of this.#layouts.keys()) {
      if (!used.has(layout) && !begun.layouts.has(layout)) this.#layouts.delete(layout);
    }
    for (const id of this.#files.sweep(this.tracker.all())) {
      const binary = this.#binaries.get(id);
      if (binary) addProblems(this.#pastProblems, binary.problems);
      binary?.close();
      this.#binaries.delete(id);
    }
  }

  /** Closes all files; nothing can be named after it. */
  close(): void {
    this.#files.close();
  }

  stats(): ResolverStats {
    const problems = { ...this.#pastProblems };
    addProblems(problems, this.tracker.problems);
    addProblems(problems, this.contexts.problems);
    addProblems(problems, this.#carriers.problems);
    for (const binary of this.#binaries.values()) addProblems(problems, binary.problems);
    return {
      processes: this.tracker.size,
      binaries: this.#binaries.size,
      tableBytes: this.#store.usedBytes,
      evictedTables: this.#store.evicted,
      problems,
      sidebandLost: this.#sidebandLost,
    };
  }

  #usedLayouts(): Set<number> {
    const used = new Set<number>();
    for (const process of this.tracker.all()) used.add(process.layout);
    return used;
  }

  #apply(event: BatchEvent, records: DataView): void {
    this.#now = monotonicTime(event.time);
    switch (event.kind) {
      case 'image':
        this.tracker.beginExec(event.pid);
        break;
      case 'mapping': {
        const process = this.tracker.map(event.pid, event.mapping);
        // The kernel learns of it once it knows the process at all.
        if (process && this.#kernel.has(event.pid)) this.#changed.add(process);
        break;
      }
      case 'exec': {
        this.#kernel.forget(event.identity.pid);
        const before = this.tracker.running(event.identity.pid);
        const process = this.tracker.exec(event.identity);
        if (before && before !== process) this.contexts.replaced(before, event.time);
        this.contexts.begun(process);
        break;
      }
      case 'exit':
        this.#kernel.forget(event.identity.pid);
        this.tracker.exit(event.identity, this.#now);
        break;
      case 'fork': {
        const child = this.tracker.fork(event.identity, event.parent);
        this.contexts.forked(child, this.tracker.find(event.parent));
        this.#kernel.inherit(event.identity, event.parent.pid, event.time);
        break;
      }
      case 'context': {
        const process = this.tracker.find(event.identity);
        if (process) this.contexts.published(process);
        break;
      }
      case 'deferred':
        this.#unwind(records, event.at, event.identity);
    }
  }

  #unwind(records: DataView, at: number, identity: Identity): void {
    const process = this.tracker.lookup(identity);
    this.contexts.sampled(process);
    const copy = this.#copy(records, at);
    if (!copy || !process.complete) {
      this.#writer.write(records, at, this.#nothing, 0);
      return;
    }
    const place = (address: number) => this.#place(process, address);
    let walked = this.#walker.walk(copy, place, this.#maxDepth);
    if (walked.end === 'no_mapping' && this.tracker.refresh(process, this.#now)) {
      walked = this.#walker.walk(copy, place, this.#maxDepth);
    }
    if (process.layout === 0 || process.stale) this.#number(process);
    if (process.ended === undefined) this.#changed.add(process);
    const goroutine = this.#goroutine(process, records, at);
    this.#writer.write(records, at, walked, process.layout, goroutine);
  }

  /** Of a sample that came before the kernel side knew the process; undefined when it is not Go. */
  #goroutine(process: Process, records: DataView, at: number): Goroutine | undefined {
    if (records.getUint32(at + Sample.goState, true) !== UNKNOWN_PROCESS) return undefined;
    const runtimes = new Set<Binary>();
    for (const { what } of process.mappings) {
      const binary = what === 'anonymous' ? undefined : this.#binaries.get(what.opened?.id ?? -1);
      if (binary?.isGo) runtimes.add(binary);
    }
    const [runtime] = runtimes;
    if (!runtime || runtimes.size > 1) return undefined;
    const copy = records.byteOffset + stackAt(records, at) + StackField.go;
    return copiedGoroutine(new DataView(records.buffer, copy, GoCopy.size), runtime.goThread);
  }

  #copy(records: DataView, at: number): StackCopy | undefined {
    const length = records.getUint32(at + Header.length, true);
    const done = records.getUint16(at + Sample.userCount, true);
    const stack = stackAt(records, at);
    if (stack + StackField.size > at + length) return undefined;
    const bytes = records.getUint32(stack + StackField.bytes, true);
    if (stack + StackField.size + bytes > at + length) return undefined;
    for (let i = 0; i < REGISTER_COUNT; i++) this.#registers[i] = readWord(records, stack + i * 8);
    return {
      registers: this.#registers,
      base: readWord(records, stack + StackField.base),
      bytes: new DataView(records.buffer, records.byteOffset + stack + StackField.size, bytes),
      flags: records.getUint16(at + Sample.flags, true),
      done,
    };
  }

  #place(process: Process, address: number): CodePlace | undefined {
    const mapped = findMapping(process.mappings, processAddress(address));
    if (!mapped) return undefined;
    if (mapped.what === 'anonymous') return anonymousPlace;
    const wasOpen = mapped.what.opened !== undefined;
    const binary = this.binary(process, mapped);
    if (!wasOpen) process.stale = true;
    const bias = binary?.bias(mapped.start, mapped.raw.offset);
    if (!binary && isGeneratedCode(mapped)) return anonymousPlace;
    if (!binary || bias === undefined) return unreadablePlace;
    return {
      kind: 'file',
      rule: (lookup, exact) => binary.tables.rule(textOffset(lookup - bias), exact),
      exactStep: (lookup, registers, read) =>
        binary.exactStep(textOffset(lookup - bias), registers, read),
    };
  }

  #number(process: Process): void {
    process.layout = this.#nextLayout++;
    process.stale = false;
    this.#layouts.set(process.layout, { process, mappings: process.mappings });
    this.#changed.add(process);
  }

  #publish(process: Process): void {
    if (process.layout === 0 || process.stale) this.#number(process);
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
      const file = binary.tables.index;
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
    const carriers = this.#isLive ? this.#carriers.of(process, [...placed.values()]) : noCarriers;
    this.#kernel.publish(process.identity, process.layout, mappings, go, carriers);
  }
}

/** Adds counts by reason. */
export function addProblems(
  target: Record<string, number>,
  problems: ReadonlyMap<string, number>,
): void {
  for (const [reason, count] of problems) target[reason] = (target[reason] ?? 0) + count;
}

/** Where a deferred sample's `struct ft_stack` begins. */
function stackAt(records: DataView, at: number): number {
  const kernel = records.getUint16(at + Sample.kernelCount, true);
  const addresses = kernel + records.getUint16(at + Sample.userCount, true);
  return at + Sample.size + addresses * 8 + records.getUint16(at + Sample.labelBytes, true);
}

/** JIT compilers that keep code writable elsewhere map a memfd twice; it is no ELF file. */
export function isGeneratedCode({ raw }: Mapped<MappedThing>): boolean {
  return raw.path.startsWith('/memfd:');
}

const anonymousPlace: CodePlace = { kind: 'anonymous', rule: () => 0, exactStep: () => 'failed' };
const unreadablePlace: CodePlace = { kind: 'unreadable', rule: () => 0, exactStep: () => 'failed' };
