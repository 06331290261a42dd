/** Follows processes through exec, fork, exit and new mappings. */
import type { HostPid, MonotonicTime, ProcessAddress } from '../units/units.ts';
import { Executable } from './executable.ts';
import type { ProcessHost } from './host.ts';
import { insertMapping, type Mapped } from './mapping-list.ts';
import { parseMaps, type RawMapping } from './maps.ts';
import { selectLines } from './maps-selection.ts';
import {
  type Identity,
  type MappedThing,
  type MappingList,
  type Process,
  sameIdentity,
  startsAt,
} from './process.ts';

/** Between two readings of the same mappings because an address was in none. */
const REFRESH_NS = 1e9;
/** For each that many lines; to read and publish them takes 2 ms, which is 0.2 % of a CPU. */
const REFRESHED_LINES = 1_024;
/** Generations of processes without exec that are looked through for mappings. */
const MAX_ANCESTORS = 8;
/** Files seen and forgotten again: the least recently mapped go first. */
const MAX_EXECUTABLES = 16_384;
/** Images between exec's first mapping and its end: one per CPU, were it not for lost records. */
const MAX_IMAGES = 1024;
/** exec itself maps the program, its loader and the vDSO; more mean that its record never came. */
const MAX_IMAGE_MAPPINGS = 64;
/**
 * Executable mappings that are kept of one process, as many as the kernel side takes of one.
 * Chromium has some hundred, a program that nobody wrote to be run 40,000.
 */
const MAX_MAPPINGS = 16_384;
/** Addresses of samples outside of them, by which they are chosen at the next reading. */
const MAX_MISSED = 256;
/** End of a process that something else has replaced, we cannot say when. */
const SOME_TIME = Number.MAX_SAFE_INTEGER;

export class ProcessTracker {
  readonly #host: ProcessHost;
  /** The living, by pid. */
  readonly #processes = new Map<HostPid, Process>();
  /** Mappings of images that are being set up by exec, by pid. */
  readonly #images = new Map<HostPid, MappingList>();
  /** Ended or replaced, by pid, until two calls of forget() have passed. */
  readonly #past = new Map<HostPid, Process[]>();
  readonly #executables = new Map<string, Executable>();
  readonly #problems = new Map<string, number>();
  /** Processes whose mappings may miss some. */
  #doubted = new WeakSet<Process>();
  /** Of processes with too many mappings: addresses of samples that were in none of those kept. */
  readonly #missed = new WeakMap<Process, Set<ProcessAddress>>();
  #forgottenBefore = 0;
  /** Counts what may have changed a file, see Executable.isCurrent. */
  #epoch = 1;

  constructor(host: ProcessHost) {
    this.#host = host;
  }

  /** Called before events are told: files may have changed since the last ones. */
  beginBatch(): void {
    this.#epoch++;
  }

  get size(): number {
    return this.#processes.size;
  }

  /** Reasons why mappings could not be had, counted. */
  get problems(): ReadonlyMap<string, number> {
    return this.#problems;
  }

  /**
   * The instance of a sample: known, or read from /proc now.
   * @param mayRead whether a known one may be read again
   */
  lookup(identity: Identity, mayRead: (process: Process) => boolean = () => true): Process {
    const known = this.find(identity);
    if (known) {
      const isAlive = known.ended === undefined;
      const isUnsure = !known.complete || this.#doubted.has(known);
      if (isAlive && isUnsure && mayRead(known)) this.#read(known);
      if (!known.complete) this.#adopt(known);
      return known;
    }
    const process = newProcess(identity);
    const current = this.#processes.get(identity.pid);
    const isLate = current !== undefined && isBefore(identity, current.identity);
    const mayBeRead = !isLate && mayRead(process);
    if (isLate || (mayBeRead ? this.#read(process) === 'gone' : !this.#isThere(process))) {
      // Its end was forgotten already, or never told: nothing will end it again.
      this.#retire(process);
    } else {
      this.#replace(process);
      if (process.complete) this.#images.delete(identity.pid);
    }
    return process;
  }

  /**
   * Reads the mappings again because an address was in none of them. False when
   * that was done a moment ago: wild addresses are not worth more.
   */
  refresh(process: Process, now: MonotonicTime, address?: ProcessAddress): boolean {
    if (address !== undefined) this.#miss(process, address);
    const pause = REFRESH_NS * Math.max(1, process.lines / REFRESHED_LINES);
    if (process.ended !== undefined || now - process.readAt < pause) return false;
    process.readAt = now;
    return this.#read(process) === 'read';
  }

  /** Whoever has the pid now, as far as is known. */
  running(pid: HostPid): Process | undefined {
    return this.#processes.get(pid);
  }

  /** The instance if it is known, the past ones of this interval included. */
  find(identity: Identity): Process | undefined {
    const known = this.#processes.get(identity.pid);
    if (known && sameIdentity(known.identity, identity)) return known;
    return this.#past
      .get(identity.pid)
      ?.findLast((process) => sameIdentity(process.identity, identity));
  }

  /**
   * A new image begins in `pid`. The kernel maps its segments next and reports
   * exec() when all is done: until then they are collected beside the old ones.
   * Where exec() never comes (other pids are sampled, a lost record) they go again.
   */
  beginExec(pid: HostPid): void {
    this.#images.delete(pid);
    if (this.#images.size >= MAX_IMAGES) {
      const [oldest] = this.#images.keys();
      this.#images.delete(oldest!);
    }
    this.#images.set(pid, []);
  }

  /** As beginExec(), of a program whose mappings are not collected: read at a lookup() that may. */
  skipExec(pid: HostPid): void {
    this.#images.delete(pid);
  }

  exec(identity: Identity): Process {
    const image = this.#images.get(identity.pid);
    this.#images.delete(identity.pid);
    const known = this.#processes.get(identity.pid);
    const process = known && sameIdentity(known.identity, identity) ? known : newProcess(identity);
    if (process !== known) this.#replace(process);
    // What /proc said of it was read later than this, and has more.
    if (image && !process.complete) {
      process.mappings = image;
      process.complete = true;
      process.stale = true;
    }
    return process;
  }

  fork(child: Identity, parent: Identity): Process {
    const known = this.find(child);
    // A sample of the child may have been faster than the news of it.
    if (known?.complete) return known;
    const process = known ?? newProcess(child);
    const from = this.find(parent);
    if (from?.complete) {
      process.complete = true;
      process.mappings = from.mappings;
      process.layout = from.layout;
      process.stale = from.stale;
      process.readAt = from.readAt;
      process.lines = from.lines;
      if (this.#doubted.has(from)) this.#doubted.add(process);
    }
    if (!process.complete) process.parent = parent;
    if (!known) this.#replace(process);
    return process;
  }

  exit(identity: Identity, time: MonotonicTime): Process | undefined {
    this.#images.delete(identity.pid);
    const process = this.#processes.get(identity.pid);
    if (!process || !sameIdentity(process.identity, identity)) return undefined;
    this.#processes.delete(identity.pid);
    this.#retire(process, time);
    return process;
  }

  /** A new executable mapping of a process that runs now. */
  map(pid: HostPid, raw: RawMapping): Process | undefined {
    const image = this.#images.get(pid);
    if (image && image.length < MAX_IMAGE_MAPPINGS) {
      this.#images.set(pid, insertMapping(image, this.#mapped(pid, raw)));
      return undefined;
    }
    if (image) this.#images.delete(pid);
    const process = this.#processes.get(pid);
    if (!process?.complete) return undefined;
    const added = this.#mapped(pid, raw);
    const next = insertMapping(process.mappings, added);
    if (next === process.mappings) return undefined;
    process.mappings = next.length > MAX_MAPPINGS ? next.filter((one) => one !== added) : next;
    if (next.length > MAX_MAPPINGS) this.#overflow(process);
    process.stale = true;
    return process;
  }

  /** Whether exec is at work there: its new mappings are not those of running(). */
  isBeginning(pid: HostPid): boolean {
    return this.#images.has(pid);
  }

  /** What is mapped there is not followed any longer; read again at a lookup() that may. */
  giveUp(process: Process): void {
    process.mappings = [];
    process.complete = false;
    process.stale = true;
    process.parent = undefined;
  }

  /** Records of mappings were lost: images that are being set up may miss some. */
  distrustImages(): void {
    this.#images.clear();
  }

  /**
   * Records of mappings were lost: what is known of every process may miss some,
   * and is read from /proc at its next lookup().
   */
  distrust(): void {
    this.distrustImages();
    for (const process of this.#processes.values()) this.#doubted.add(process);
  }

  /** Those that are alive as far as is known. */
  living(): Process[] {
    return [...this.#processes.values()];
  }

  /** Records of exits may have been lost. @returns whether the process has ended, as it turns out now */
  hasEnded(process: Process): boolean {
    const { pid } = process.identity;
    if (this.#processes.get(pid) !== process) return false;
    if (startsAt(process.identity, this.#host.startTime(pid))) return false;
    this.#processes.delete(pid);
    this.#images.delete(pid);
    this.#retire(process);
    return true;
  }

  /**
   * Forgets processes that ended before the last call but one: samples of the
   * interval in which they ended have been named by then, and those that were
   * still on their way when it was cut off.
   */
  forget(before: MonotonicTime): Process[] {
    const gone: Process[] = [];
    for (const [pid, processes] of this.#past) {
      const kept = processes.filter((process) => {
        if (process.ended === SOME_TIME) process.ended = before;
        const isKept = process.ended! >= this.#forgottenBefore;
        if (!isKept) gone.push(process);
        return isKept;
      });
      if (kept.length === 0) this.#past.delete(pid);
      else this.#past.set(pid, kept);
    }
    this.#forgottenBefore = before;
    return gone;
  }

  /** The living, and the past ones of this interval and the one before. */
  *all(): IterableIterator<Process> {
    yield* this.#processes.values();
    for (const processes of this.#past.values()) yield* processes;
  }

  #replace(process: Process): void {
    const old = this.#processes.get(process.identity.pid);
    if (old) this.#retire(old);
    this.#processes.set(process.identity.pid, process);
  }

  #retire(process: Process, time: number = SOME_TIME): void {
    process.ended ??= time;
    const { pid } = process.identity;
    const past = this.#past.get(pid);
    if (past) past.push(process);
    else this.#past.set(pid, [process]);
  }

  /**
   * A forked child that ended before its mappings could be read had those of
   * its parent, as long as it did not exec.
   */
  #adopt(process: Process, depth = 0): void {
    const { parent } = process;
    if (!parent || depth > MAX_ANCESTORS) return;
    process.parent = undefined;
    const from = this.find(parent) ?? this.lookup(parent);
    if (!from.complete && from.ended === undefined) this.#read(from);
    if (!from.complete) this.#adopt(from, depth + 1);
    if (!from.complete) return;
    process.mappings = from.mappings;
    process.complete = true;
    process.stale = true;
  }

  #isThere({ identity }: Process): boolean {
    if (startsAt(identity, this.#host.startTime(identity.pid))) return true;
    this.#count('process_gone');
    return false;
  }

  #read(process: Process): 'read' | 'gone' | 'unreadable' {
    if (!this.#isThere(process)) return 'gone';
    const { pid } = process.identity;
    let text: string;
    try {
      text = this.#host.readMaps(pid);
    } catch {
      this.#count('maps_unreadable');
      return 'unreadable';
    }
    const chosen = selectLines(text, MAX_MAPPINGS, this.#missed.get(process) ?? []);
    if (chosen.left > 0) this.#overflow(process);
    const { mappings, malformed } = parseMaps(chosen.text);
    if (malformed) this.#count('maps_malformed');
    process.lines = mappings.length + chosen.left;
    // Files may have changed since the last look, and before these were mapped.
    this.#epoch++;
    process.mappings = mappings.map((raw) => this.#mapped(pid, raw)) as MappingList;
    process.complete = true;
    process.stale = true;
    this.#doubted.delete(process);
    return 'read';
  }

  #overflow(process: Process): void {
    if (this.#missed.has(process)) return;
    this.#count('too_many_mappings');
    this.#missed.set(process, new Set());
  }

  #miss(process: Process, address: ProcessAddress): void {
    const missed = this.#missed.get(process);
    if (!missed) return;
    // The one that was missed last is the last.
    missed.delete(address);
    missed.add(address);
    const [oldest] = missed;
    if (missed.size > MAX_MISSED) missed.delete(oldest!);
  }

  #mapped(pid: HostPid, raw: RawMapping): Mapped<MappedThing> {
    return { start: raw.start, end: raw.end, raw, what: this.#thing(pid, raw) };
  }

  #thing(pid: HostPid, raw: RawMapping): MappedThing {
    if (raw.path === '[vdso]') return this.#executable('[vdso]', pid, raw);
    if (raw.inode === 0n || raw.path === '' || raw.path === '//anon') return 'anonymous';
    if (sharedMemory.test(raw.path)) return 'anonymous';
    return this.#executable(
      `${raw.device}:${raw.inode}:${raw.generation ?? ''}:${raw.path}`,
      pid,
      raw,
    );
  }

  #executable(key: string, pid: HostPid, raw: RawMapping): Executable {
    const known = this.#executables.get(key);
    const isCurrent = known?.isCurrent(this.#epoch, () => this.#host.stateOf(pid, raw));
    const executable = known && isCurrent ? known : new Executable(raw.path);
    // Moved to the end: the first one is the least recently mapped.
    this.#executables.delete(key);
    this.#executables.set(key, executable);
    if (this.#executables.size > MAX_EXECUTABLES) {
      const [oldest] = this.#executables.keys();
      this.#executables.delete(oldest!);
    }
    return executable;
  }

  #count(reason: string): void {
    this.#problems.set(reason, (this.#problems.get(reason) ?? 0) + 1);
  }
}

/** Memory that the kernel backs with an unlinked file of its own (mm/shmem.c, ipc/shm.c). */
const sharedMemory = /^\/(dev\/zero|SYSV[0-9a-f]{8}|anon_hugepage)( \(deleted\))?$/;

/** Whether `a` had the pid, or the program, before `b`. */
function isBefore(a: Identity, b: Identity): boolean {
  return a.startNs === b.startNs ? a.execId < b.execId : a.startNs < b.startNs;
}

function newProcess(identity: Identity): Process {
  return {
    identity,
    complete: false,
    mappings: [],
    layout: 0,
    stale: true,
    readAt: 0,
    lines: 0,
    parent: undefined,
    ended: undefined,
  };
}
