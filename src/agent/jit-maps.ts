/**
 * What run times write about the code that they generate, read on as it grows:
 * `jit-PID.dump` where the process maps one, else `/tmp/perf-PID.map`.
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import type { ProcessHost } from '../process/host.ts';
import type { Process } from '../process/process.ts';
import type { JitSymbol } from '../symbolize/jit-name.ts';
import type { ProcessAddress } from '../units/units.ts';
import { GrowingJitDump, GrowingPerfMap, newChunk } from './growing-file.ts';

interface Followed {
  /** Flush in which it was last looked at. */
  flush: number;
  map: GrowingPerfMap | undefined;
  dump: GrowingJitDump | undefined;
}

/** Flushes without a sample after which a process's files are forgotten. */
const KEPT_FLUSHES = 30;
/** By perf's convention a run time maps a page of its dump executable, to be found by it. */
const DUMP_FILE = /\/jit-\d+\.dump(?: \(deleted\))?$/;

export class JitMaps {
  readonly #host: ProcessHost;
  readonly #followed = new Map<string, Followed>();
  readonly #chunk = newChunk();
  /** Of processes that were forgotten. */
  readonly #pastProblems = new Map<string, number>();
  #flush = 0;

  constructor(host: ProcessHost) {
    this.#host = host;
  }

  /** What was refused, by reason: `perf_map_line_malformed`, `jitdump_version` and so on. */
  get problems(): ReadonlyMap<string, number> {
    const all = new Map(this.#pastProblems);
    for (const followed of this.#followed.values()) addProblems(all, followed);
    return all;
  }

  /** Begins a flush: each file is read on once in it. */
  refresh(): void {
    this.#flush++;
    for (const [key, followed] of this.#followed) {
      if (this.#flush - followed.flush > KEPT_FLUSHES) this.#forget(key, followed);
    }
  }

  /** Closes all files. */
  close(): void {
    for (const [key, followed] of this.#followed) this.#forget(key, followed);
  }

  lookup(process: Process, address: ProcessAddress): JitSymbol | undefined {
    const followed = this.#of(process);
    if (followed.flush !== this.#flush) {
      followed.flush = this.#flush;
      this.#readOn(process, followed);
    }
    return followed.dump?.dump.lookup(address) ?? followed.map?.map.lookup(address);
  }

  #of({ identity: { pid, startNs, execId } }: Process): Followed {
    const key = `${pid}:${startNs}:${execId}`;
    let followed = this.#followed.get(key);
    if (!followed) {
      followed = { flush: this.#flush - 1, map: undefined, dump: undefined };
      this.#followed.set(key, followed);
    }
    return followed;
  }

  /** What the file system refuses is looked for again at the next flush. */
  #readOn(process: Process, followed: Followed): void {
    followed.dump ??= this.#openDump(process);
    if (followed.dump && !readOn(followed.dump)) followed.dump = undefined;
    followed.map ??= this.#openMap(process);
    if (followed.map && !readOn(followed.map)) followed.map = undefined;
  }

  #openDump({ identity, mappings }: Process): GrowingJitDump | undefined {
    const mapped = mappings.find(({ raw }) => DUMP_FILE.test(raw.path));
    if (!mapped) return undefined;
    try {
      return new GrowingJitDump(this.#host.openMapped(identity.pid, mapped.raw), this.#chunk);
    } catch {
      return undefined;
    }
  }

  #openMap({ identity: { pid } }: Process): GrowingPerfMap | undefined {
    let fd: number | undefined;
    try {
      fd = this.#host.openInRoot(pid, `/tmp/perf-${this.#host.innermostPid(pid)}.map`);
    } catch {
      // Most JIT processes write none; looked for again at the next flush. Of one
      // that has ended the file may still be there, if it lived on the host.
      if (this.#host.startTime(pid) === undefined) fd = openLeftover(pid);
    }
    return fd === undefined ? undefined : new GrowingPerfMap(fd, this.#chunk);
  }

  #forget(key: string, followed: Followed): void {
    addProblems(this.#pastProblems, followed);
    followed.map?.close();
    followed.dump?.close();
    this.#followed.delete(key);
  }
}

function readOn(file: GrowingPerfMap | GrowingJitDump): boolean {
  try {
    file.readOn();
    return true;
  } catch {
    file.close();
    return false;
  }
}

function addProblems(target: Map<string, number>, { map, dump }: Followed): void {
  const add = (prefix: string, problems: ReadonlyMap<string, number> | undefined) => {
    for (const [reason, count] of problems ?? []) {
      const name = `${prefix}_${reason}`;
      target.set(name, (target.get(name) ?? 0) + count);
    }
  };
  add('perf_map', map?.map.problems);
  add('jitdump', dump?.dump.problems);
}

function openLeftover(pid: number): number | undefined {
  try {
    // A link could point anywhere: /tmp is writable for all.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const fd = openSync(`/tmp/perf-${pid}.map`, flags);
    if (fstatSync(fd).isFile()) return fd;
    closeSync(fd);
  } catch {
    // None was written.
  }
  return undefined;
}
