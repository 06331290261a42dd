/** Follows processes through exec, fork, exit and new mappings. */
import type { HostPid, MonotonicTime } from '../units/units.ts';
import { Executable } from './executable.ts';
import type { ProcessHost } from './host.ts';
import { insertMapping, type Mapped } from './mapping-list.ts';
import { parseMaps, type RawMapping } from './maps.ts';
import {
  type Identity,
  type MappedThing,
  type MappingList,
  type Process,
  sameIdentity,
} from './process.ts';

/** A start time from /proc is rounded down to the clock tick of 10 ms. */
const TICK_NS = 10_000_000;
const REFRESH_NS = 1e9;
/** Files seen and forgotten again: the least recently mapped go first. */
const MAX_EXECUTABLES = 16_384;

export class ProcessTracker {
  readonly #host: ProcessHost;
  /** The living, by pid. */
  readonly #processes = new Map<HostPid, Process>();
  /** Mappings of images that are being set up by exec, by pid. */
  readonly #images = new Map<HostPid, MappingList>();
  /** Ended or replaced since the last forget(), by pid. */
  readonly #past: Process[] = [];
  readonly #executables = new Map<string, Executable>();
  readonly #problems = new Map<string, number>();

  constructor(host: ProcessHost) {
    this.#host = host;
  }

  get size(): number {
    return this.#processes.size;
  }

  /** Reasons why mappings could not be had, counted. */
  get problems(): ReadonlyMap<string, number> {
    return this.#problems;
  }

  /** The instance of a sample: known, or read from /proc now. */
  lookup(identity: Identity): Process {
    const known = this.#processes.get(identity.pid);
    if (known && sameIdentity(known.identity, identity)) {
      if (!known.complete) this.#read(known);
      return known;
    }
    const past = this.#past.findLast((process) => sameIdentity(process.identity, identity));
    if (past) return past;
    const process = newProcess(identity);
    this.#replace(process);
    this.#read(process);
    return process;
  }

  /**
   * Reads the mappings again because an address was in none of them. False when
   * that was done a moment ago: wild addresses are not worth more.
   */
  refresh(process: Process, now: MonotonicTime): boolean {
    if (process.ended !== undefined || now - process.readAt < REFRESH_NS) return false;
    process.readAt = now;
    return this.#read(process);
  }

  /** Mapping events were lost: whoever is sampled next is read anew. */
  distrust(): void {
    for (const process of this.#processes.values()) process.complete = false;
  }

  /** The instance if it is known, the past ones of this interval included. */
  find(identity: Identity): Process | undefined {
    const known = this.#processes.get(identity.pid);
    if (known && sameIdentity(known.identity, identity)) return known;
    return this.#past.findLast((process) => sameIdentity(process.identity, identity));
  }

  /**
   * A new image begins in `pid`. The kernel maps its segments next and reports
   * exec() when all is done: until then they are collected beside the old ones.
   */
  beginExec(pid: HostPid): void {
    this.#images.set(pid, []);
  }

  exec(identity: Identity): Process {
    const image = this.#images.get(identity.pid);
    this.#images.delete(identity.pid);
    const known = this.#processes.get(identity.pid);
    const process = known && sameIdentity(known.identity, identity) ? known : newProcess(identity);
    if (process !== known) this.#replace(process);
    if (image) {
      process.mappings = image;
      process.complete = true;
      process.stale = true;
    }
    return process;
  }

  fork(child: Identity, parent: Identity): void {
    const process = newProcess(child);
    const from = this.find(parent);
    if (from?.complete) {
      process.complete = true;
      process.mappings = from.mappings;
      process.layout = from.layout;
      process.stale = from.stale;
    }
    this.#replace(process);
  }

  exit(identity: Identity, time: MonotonicTime): Process | undefined {
    this.#images.delete(identity.pid);
    const process = this.#processes.get(identity.pid);
    if (!process || !sameIdentity(process.identity, identity)) return undefined;
    process.ended = time;
    this.#processes.delete(identity.pid);
    this.#past.push(process);
    return process;
  }

  /** A new executable mapping of a process that runs now. */
  map(pid: HostPid, raw: RawMapping): Process | undefined {
    const image = this.#images.get(pid);
    if (image) {
      this.#images.set(pid, insertMapping(image, this.#mapped(raw)));
      return undefined;
    }
    const process = this.#processes.get(pid);
    if (!process?.complete) return undefined;
    const next = insertMapping(process.mappings, this.#mapped(raw));
    if (next === process.mappings) return undefined;
    process.mappings = next;
    process.stale = true;
    return process;
  }

  /** Forgets processes that ended before the samples of the last interval were named. */
  forget(before: MonotonicTime): Process[] {
    const gone = this.#past.filter((process) => (process.ended ?? 0) < before);
    const kept = this.#past.filter((process) => (process.ended ?? 0) >= before);
    this.#past.length = 0;
    this.#past.push(...kept);
    return gone;
  }

  /** The living, and the past ones of this interval. */
  *all(): IterableIterator<Process> {
    yield* this.#processes.values();
    yield* this.#past;
  }

  #replace(process: Process): void {
    const old = this.#processes.get(process.identity.pid);
    if (old) {
      old.ended ??= Number.MAX_SAFE_INTEGER;
      this.#past.push(old);
    }
    this.#processes.set(process.identity.pid, process);
  }

  #read(process: Process): boolean {
    const { pid, startNs } = process.identity;
    const started = this.#host.startTime(pid);
    if (started === undefined || startNs < started || startNs >= started + TICK_NS) {
      this.#count('process_gone');
      return false;
    }
    let text: string;
    try {
      text = this.#host.readMaps(pid);
    } catch {
      this.#count('maps_unreadable');
      return false;
    }
    const { mappings, malformed } = parseMaps(text);
    if (malformed) this.#count('maps_malformed');
    process.mappings = mappings.map((raw) => this.#mapped(raw)) as MappingList;
    process.complete = true;
    process.stale = true;
    return true;
  }

  #mapped(raw: RawMapping): Mapped<MappedThing> {
    return { start: raw.start, end: raw.end, raw, what: this.#thing(raw) };
  }

  #thing(raw: RawMapping): MappedThing {
    if (raw.path === '[vdso]') return this.#executable('[vdso]', raw.path);
    if (raw.inode === 0 || raw.path === '' || raw.path === '//anon') return 'anonymous';
    return this.#executable(
      `${raw.device}:${raw.inode}:${raw.generation ?? ''}:${raw.path}`,
      raw.path,
    );
  }

  #executable(key: string, path: string): Executable {
    let executable = this.#executables.get(key);
    if (!executable) {
      executable = new Executable(path);
      if (this.#executables.size >= MAX_EXECUTABLES) {
        const [oldest] = this.#executables.keys();
        this.#executables.delete(oldest!);
      }
      this.#executables.set(key, executable);
    }
    return executable;
  }

  #count(reason: string): void {
    this.#problems.set(reason, (this.#problems.get(reason) ?? 0) + 1);
  }
}

function newProcess(identity: Identity): Process {
  return {
    identity,
    complete: false,
    mappings: [],
    layout: 0,
    stale: true,
    readAt: 0,
    ended: undefined,
  };
}
