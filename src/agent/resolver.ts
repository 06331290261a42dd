/**
 * The resolver: follows processes, fills the kernel's unwind tables, unwinds
 * deferred samples and names addresses. Synchronous; lives on a thread of its own.
 */
import { cpus } from 'node:os';
import { MAX_USER_FRAMES } from '../capture/record.ts';
import type { ProcessContexts } from '../context/process-contexts.ts';
import { mayHaveDebugInformation } from '../debuginfo/debug-search.ts';
import { FileRoots } from '../debuginfo/file-roots.ts';
import { GoPages } from '../elf/go-pages.ts';
import type { Executable } from '../process/executable.ts';
import type { ProcessHost } from '../process/host.ts';
import type { Mapped } from '../process/mapping-list.ts';
import type { RawMapping } from '../process/maps.ts';
import { OpenFiles } from '../process/open-files.ts';
import type { Identity, MappedThing, Process } from '../process/process.ts';
import { ProcessOwners } from '../process/process-owners.ts';
import { RootDirectories } from '../process/root-directories.ts';
import { ProcessTracker } from '../process/tracker.ts';
import type { WorkNote } from '../process/work-note.ts';
import type { Demangler } from '../symbolize/demangle.ts';
import { type HostPid, type MonotonicTime, monotonicTime } from '../units/units.ts';
import { MAX_TEXT_READ } from '../unwind/file-tables.ts';
import { KernelProcesses } from '../unwind/kernel-processes.ts';
import { type MapWriter, nowhere, nowhereMaps, type TableMaps } from '../unwind/map-writer.ts';
import { TableStore } from '../unwind/table-store.ts';
import { type BatchEvent, readBatch } from './batch.ts';
import { Binary, type SharedByBinaries } from './binary.ts';
import { DeferredUnwinder } from './deferred-unwinder.ts';
import { AGENT_FILE_BUDGET, FILE_BUDGET, FileBudget } from './file-budget.ts';
import { GoLayouts } from './go-layouts.ts';
import { type Layout, Layouts } from './layouts.ts';
import { LossRepair } from './loss-repair.ts';
import type { BatchNews, ResolverStats } from './messages.ts';
import { addProblems } from './problem-counts.ts';
import { ProcessCarriers } from './process-carriers.ts';
import { agentProcessCosts, PROCESS_COSTS, ProcessCosts } from './process-costs.ts';
import { ProcessPublisher } from './process-publisher.ts';
import { RecordWriter, type WrittenSamples } from './record-writer.ts';
import { SymbolRoom } from './symbol-room.ts';

export interface ResolverOptions {
  readonly host: ProcessHost;
  readonly contexts: ProcessContexts;
  readonly demangle: Demangler;
  /** Of the file that it is at work on. */
  readonly note?: WorkNote;
  /** Undefined in replay. */
  readonly kernel: { readonly maps: TableMaps; readonly writer: MapWriter } | undefined;
  readonly maxDepth: number;
  /** It runs for long: what is met all the time must not cost much. */
  readonly isSteady?: boolean;
  /** Debug information may be downloaded. */
  readonly hasServers: boolean;
  /** CLOCK_MONOTONIC in nanoseconds, as records carry it. */
  readonly monotonicNow?: () => number;
  /** CPU time of this thread, nanoseconds; without it processes may cost what they like. */
  readonly cpuTime?: () => number;
  /** Milliseconds that never go back. */
  readonly clock?: () => number;
}

/** Of Go tables, all binaries together: what one flush looks up in several large services. */
const GO_PAGE_BYTES = 8 << 20;

/**
 * Samples come as often as the timer says, news of mappings, programs and children as often as whoever
 * makes them likes: of what may be had ahead they are worth a third.
 */
const NEWS_WEIGHT = 3;

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
  readonly #budget: FileBudget;
  readonly #owners: ProcessOwners;
  readonly #store: TableStore;
  readonly #kernel: KernelProcesses;
  readonly #carriers: ProcessCarriers;
  readonly #shared: SharedByBinaries;
  readonly #unwinder: DeferredUnwinder;
  /** False in replay, where there is no kernel side to be told. */
  readonly #isLive: boolean;
  readonly #clock: (() => number) | undefined;
  readonly #binaries = new Map<number, Binary>();
  /** Binaries that cannot be read any more, and are still open. */
  readonly #failed: Binary[] = [];
  readonly #layouts = new Layouts();
  readonly #writer = new RecordWriter();
  readonly #changed = new Set<Process>();
  /** Without room on the kernel side, so far. */
  #unplaced: Process[] = [];
  /** What following processes, and naming their addresses, has cost. */
  readonly costs: ProcessCosts;
  readonly #cpuTime: () => number;
  readonly #monotonicNow: () => number;
  readonly #publisher: ProcessPublisher;
  readonly #repair: LossRepair;
  /** Events up to this time have been applied, of all CPUs. */
  #applied = 0;
  /** Of binaries that were closed. */
  readonly #pastProblems: Record<string, number> = {};
  #sidebandLost = 0;
  #now = monotonicTime(0);

  constructor(options: ResolverOptions) {
    const { maps, writer } = options.kernel ?? { maps: nowhereMaps, writer: nowhere };
    this.tracker = new ProcessTracker(options.host);
    this.contexts = options.contexts;
    this.#roots = new RootDirectories(options.host);
    this.#files = new OpenFiles(options.host, undefined, undefined, options.note);
    const budget = options.isSteady ? AGENT_FILE_BUDGET : FILE_BUDGET;
    this.#owners = new ProcessOwners(options.host);
    this.#budget = new FileBudget((one) => this.#owners.of(one), budget);
    const costs = options.isSteady ? agentProcessCosts(cpus().length) : PROCESS_COSTS;
    this.costs = new ProcessCosts(costs, this.#owners, options.clock);
    this.#kernel = new KernelProcesses(maps, writer, options.monotonicNow);
    this.#store = new TableStore(maps, writer, () => this.#kernel.uses());
    this.#store.addFile(0, 0);
    this.#carriers = new ProcessCarriers(options.host, maps, writer, options.clock);
    this.#isLive = options.kernel !== undefined;
    this.#shared = {
      store: this.#store,
      demangle: options.demangle,
      goPages: new GoPages(GO_PAGE_BYTES),
      symbols: new SymbolRoom(),
      text: new Uint8Array(MAX_TEXT_READ),
      roots: this.#roots,
      failed: (binary) => this.#failed.push(binary),
      mayHaveDebugInfo: (image, path, roots) =>
        mayHaveDebugInformation(
          image,
          path,
          new FileRoots(options.host, roots),
          options.hasServers,
        ),
    };
    this.#clock = options.clock;
    this.#cpuTime = options.cpuTime ?? (() => 0);
    this.#monotonicNow = options.monotonicNow ?? (() => Number(process.hrtime.bigint()));
    const clock = options.clock ?? (() => performance.now());
    this.#repair = new LossRepair(this.tracker, this.#kernel, this.contexts, clock);
    this.#publisher = new ProcessPublisher({
      kernel: this.#kernel,
      goLayouts: new GoLayouts(options.host),
      carriers: this.#isLive ? this.#carriers : undefined,
      binaries: this.#binaries,
    });
    this.#unwinder = new DeferredUnwinder({
      tracker: this.tracker,
      costs: this.costs,
      contexts: this.contexts,
      writer: this.#writer,
      maxDepth: Math.min(options.maxDepth, MAX_USER_FRAMES),
      binaries: this.#binaries,
      binary: (process, mapped) => this.binary(process, mapped),
      dropFailed: () => this.#dropFailed(),
      changed: (process) => this.#changed.add(process),
      renumber: (process) => this.#number(process),
    });
  }

  /** Applies a batch; returns the samples made of its deferred ones. */
  batch(records: Uint8Array, sideband: Uint8Array, news?: BatchNews): WrittenSamples {
    // Before the room of closed files is given to others: the kernel may still name them.
    this.#publishChanged();
    this.#store.settle();
    this.tracker.beginBatch();
    this.#kernel.settle(this.#applied);
    for (const process of this.#unplaced) this.#changed.add(process);
    this.#unplaced = [];
    const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
    const { events, lost } = readBatch(view, sideband);
    this.#sidebandLost += lost;
    const undelivered = news?.undelivered ?? 0;
    if (lost + undelivered > 0) {
      if (this.#isLive) this.#repair.loseMappings();
      else this.tracker.distrust();
    }
    this.#applyAll(events, view);
    this.#applied = news?.delivery?.drainedUntil ?? this.#now;
    if (undelivered + (news?.delivery?.eventsLost ?? 0) > 0) this.#repair.loseEvents();
    this.#repair.run();
    this.#publishChanged();
    // At the end: by then it is known who has become another program.
    this.contexts.settle();
    this.costs.share(this.#cpuTime() / 1e6);
    return this.#writer.take();
  }

  /**
   * Goes on looking for what processes publish and for their carriers of labels; called
   * when `lookDue` says so. Processes with new carriers are made known anew.
   */
  look(): void {
    this.contexts.settle();
    this.#repair.run();
    for (const process of this.#carriers.search()) {
      if (process.ended === undefined && this.#kernel.has(process.identity.pid)) {
        this.#publish(process);
      }
    }
  }

  /** Milliseconds until look() has something to do; undefined when there is nothing. */
  get lookDue(): number | undefined {
    const all = [this.contexts.due, this.#carriers.due, this.#repair.due];
    const due = all.filter((one) => one !== undefined);
    return due.length > 0 ? Math.min(...due) : undefined;
  }

  /** The mapping list a sample of `layout` was unwound by; the process's own when it is not known. */
  layout(layout: number, identity: Identity): Layout | undefined {
    const process = this.tracker.find(identity);
    const known = this.#layouts.get(layout);
    // A child whose fork was lost: the kernel side has unwound it by its parent's list.
    if (!process) return this.#isLive ? known : undefined;
    // Numbers are this run's own: in a replay the same one may mean another process.
    const isOwn = known && (known.process === process || process.layout === layout);
    return { process, mappings: isOwn ? known.mappings : process.mappings };
  }

  /** The binary of a mapping, opened if need be; undefined when it cannot be used. */
  binary(process: Process, mapped: Mapped<MappedThing>): Binary | undefined {
    const { what } = mapped;
    if (what === 'anonymous') return undefined;
    if (what.unusable?.transient === false) return undefined;
    const known = what.opened && this.#binaries.get(what.opened.id);
    const open = () => this.#open(process, what, mapped.raw);
    const binary = known ?? this.#budget.spend(process, open);
    if (!binary || binary.failure !== undefined) return undefined;
    binary.mappedBy(process);
    return binary;
  }

  #open(process: Process, executable: Executable, raw: RawMapping): Binary | undefined {
    const opened = executable.opened ?? executable.open(process.identity.pid, raw, this.#files);
    if ('reason' in opened) return undefined;
    let binary = this.#binaries.get(opened.id);
    if (!binary) {
      binary = new Binary(opened, this.#shared, this.#owners.of(process), this.#clock);
      this.#binaries.set(opened.id, binary);
    }
    return binary;
  }

  /** Called when a flush begins: samples of later ones may need what there is from now on. */
  mark(): Mark {
    return { now: this.#now, layouts: this.#layouts.usedBy(this.tracker.all()) };
  }

  /** Called after a flush: processes and layouts that no later sample can name are dropped. */
  forget(begun: Mark): void {
    this.#dropFailed();
    this.#shared.goPages.release();
    this.contexts.forget(this.tracker.forget(begun.now));
    this.#layouts.keep(begun.layouts, this.#layouts.usedBy(this.tracker.all()));
    for (const id of this.#files.sweep(this.tracker.all())) {
      const binary = this.#binaries.get(id);
      if (binary) this.#close(binary);
    }
  }

  /** Closes all files; nothing can be named after it. */
  close(): void {
    this.#files.close();
  }

  stats(): ResolverStats {
    const problems = { ...this.#pastProblems };
    addProblems(problems, this.tracker.problems);
    addProblems(problems, this.#files.problems);
    addProblems(problems, this.#budget.problems);
    addProblems(problems, this.contexts.problems);
    addProblems(problems, this.#carriers.problems);
    addProblems(problems, this.#kernel.problems);
    addProblems(problems, this.#store.problems);
    addProblems(problems, new Map([['process_over_budget', this.costs.pauses]]));
    for (const binary of this.#binaries.values()) addProblems(problems, binary.problems);
    return {
      processes: this.tracker.size,
      binaries: this.#binaries.size,
      tableBytes: this.#store.usedBytes,
      problems,
      sidebandLost: this.#sidebandLost,
    };
  }

  #close(binary: Binary): void {
    addProblems(this.#pastProblems, binary.problems);
    binary.close();
    this.#binaries.delete(binary.opened.id);
  }

  /**
   * Closes the binaries that cannot be read any more, and tells the kernel to name them no
   * longer. Whoever maps one asks for it again, as it is now. False when there are none.
   */
  #dropFailed(): boolean {
    if (this.#failed.length === 0) return false;
    const failed = new Map(this.#failed.splice(0).map((binary) => [binary.opened, binary]));
    for (const process of this.tracker.all()) {
      for (const { what } of process.mappings) {
        const opened = what === 'anonymous' ? undefined : what.opened;
        const reason = opened && failed.get(opened)?.failure;
        if (what === 'anonymous' || !opened || reason === undefined) continue;
        what.fail(opened, { reason, message: what.path, transient: reason !== 'parser_failed' });
        process.stale = true;
        if (this.#kernel.has(process.identity.pid)) this.#changed.add(process);
      }
    }
    for (const [opened, binary] of failed) {
      this.#files.discard(opened, binary.failure ?? 'closed');
      this.#close(binary);
    }
    return true;
  }

  #publishChanged(): void {
    this.#dropFailed();
    for (const process of this.#changed) {
      if (process.ended === undefined) this.#spend(process, () => this.#publish(process));
    }
    this.#changed.clear();
  }

  /** What each takes is on the account of the process that it is about. */
  #applyAll(events: readonly BatchEvent[], records: DataView): void {
    let begun = this.#cpuTime();
    for (const event of events) {
      this.#now = monotonicTime(event.time);
      const process = this.#apply(event, records);
      const ended = this.#cpuTime();
      const weight = event.kind === 'deferred' ? 1 : NEWS_WEIGHT;
      if (process) this.costs.owe(process, ((ended - begun) * weight) / 1e6);
      begun = ended;
    }
  }

  /** @returns whom it is about, as far as is known */
  #apply(event: BatchEvent, records: DataView): Process | undefined {
    switch (event.kind) {
      case 'image':
        return this.#beginExec(event.pid);
      case 'mapping':
        return this.#map(event.pid, event.mapping);
      case 'exec': {
        this.#kernel.forget(event.identity.pid);
        const before = this.tracker.running(event.identity.pid);
        const process = this.tracker.exec(event.identity);
        this.costs.inherit(process, before);
        if (before && before !== process) this.contexts.replaced(before, event.time);
        this.contexts.begun(process);
        return process;
      }
      case 'exit':
        this.#kernel.forget(event.identity.pid);
        return this.tracker.exit(event.identity, this.#now);
      case 'fork': {
        const child = this.tracker.fork(event.identity, event.parent);
        const parent = this.tracker.find(event.parent);
        this.costs.inherit(child, parent);
        this.contexts.forked(child, parent);
        this.#kernel.inherit(event.identity, event.parent.pid, event.time);
        return child;
      }
      case 'context': {
        const process = this.tracker.find(event.identity);
        if (process) this.contexts.published(process);
        return process;
      }
      case 'deferred':
        return this.#unwinder.unwind(records, event.at, event.identity, this.#now);
    }
  }

  /** Of who is left alone the new program's mappings are read from /proc, should it come to that. */
  #beginExec(pid: HostPid): Process | undefined {
    const running = this.tracker.running(pid);
    if (!running || this.costs.pauseMs(running) === 0) {
      this.tracker.beginExec(pid);
      return running;
    }
    this.tracker.skipExec(pid);
    this.#giveUp(running);
    return running;
  }

  #map(pid: HostPid, mapping: RawMapping): Process | undefined {
    const running = this.tracker.running(pid);
    if (running && this.costs.pauseMs(running) > 0 && !this.tracker.isBeginning(pid)) {
      this.#giveUp(running);
      return running;
    }
    const process = this.tracker.map(pid, mapping);
    // The kernel learns of it once it knows the process at all.
    if (process && this.#kernel.has(pid)) this.#changed.add(process);
    return running;
  }

  /** The CPU time of `work` is on the account of a process. */
  #spend(process: Process, work: () => void): void {
    const before = this.#cpuTime();
    work();
    this.costs.owe(process, (this.#cpuTime() - before) / 1e6);
  }

  /** It maps so much that it is not worth following for a while: what was known is not true any more. */
  #giveUp(process: Process): void {
    if (!process.complete) return;
    this.tracker.giveUp(process);
    if (this.#kernel.has(process.identity.pid)) this.#changed.add(process);
  }

  #number(process: Process): void {
    this.#layouts.number(process);
    this.#changed.add(process);
  }

  #publish(process: Process): void {
    if (process.complete && (process.layout === 0 || process.stale)) this.#number(process);
    const placement = this.#publisher.publish(process, this.#copiesFrom(process));
    if (placement === 'no_room') this.#unplaced.push(process);
    if (placement !== 'too_many') return;
    // Until it is tried again its samples are not worth a copy of the stack each.
    this.costs.fail(process);
    this.#publisher.leaveAlone(process, this.#copiesFrom(process));
  }

  /** Monotonic nanoseconds, 0 = now. */
  #copiesFrom(process: Process): number {
    const pauseMs = this.costs.pauseMs(process);
    return pauseMs > 0 ? this.#monotonicNow() + pauseMs * 1e6 : 0;
  }
}
