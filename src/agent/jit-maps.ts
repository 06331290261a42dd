/** `/tmp/perf-PID.map` of the processes whose JIT code was sampled, read on as they grow. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { ProcessHost } from '../process/host.ts';
import type { Identity } from '../process/process.ts';
import type { JitSymbol } from '../symbolize/jit-name.ts';
import { PerfMap } from '../symbolize/perf-map.ts';
import type { ProcessAddress } from '../units/units.ts';

interface Followed {
  readonly map: PerfMap;
  /** Where the last read ended. */
  read: number;
  /** Flush in which it was last looked at. */
  flush: number;
  /** Undefined until the file was found. */
  fd: number | undefined;
}

/** Bytes taken in at one flush: a map of a gigabyte must not stop everything else. */
const MAX_READ = 8 << 20;
const CHUNK = 256 * 1024;
/** Flushes without a sample after which a map is forgotten. */
const KEPT_FLUSHES = 30;

export class JitMaps {
  readonly #host: ProcessHost;
  readonly #followed = new Map<string, Followed>();
  readonly #chunk = new Uint8Array(CHUNK);
  #flush = 0;

  constructor(host: ProcessHost) {
    this.#host = host;
  }

  /** Begins a flush: each map is read on once in it. */
  refresh(): void {
    this.#flush++;
    for (const [key, followed] of this.#followed) {
      if (this.#flush - followed.flush > KEPT_FLUSHES) this.#close(key, followed);
    }
  }

  lookup(identity: Identity, address: ProcessAddress): JitSymbol | undefined {
    const followed = this.#of(identity);
    if (followed.flush !== this.#flush) {
      followed.flush = this.#flush;
      this.#open(identity, followed);
      this.#read(followed);
    }
    return followed.map.lookup(address);
  }

  #of({ pid, startNs, execId }: Identity): Followed {
    const key = `${pid}:${startNs}:${execId}`;
    let followed = this.#followed.get(key);
    if (!followed) {
      followed = { map: new PerfMap(), read: 0, flush: this.#flush - 1, fd: undefined };
      this.#followed.set(key, followed);
      this.#open({ pid, startNs, execId }, followed);
    }
    return followed;
  }

  #open({ pid }: Identity, followed: Followed): void {
    if (followed.fd !== undefined) return;
    try {
      followed.fd = this.#host.openInRoot(pid, `/tmp/perf-${this.#host.innermostPid(pid)}.map`);
    } catch {
      // Most JIT processes write none; looked for again at the next flush. Of one
      // that has ended the file may still be there, if it lived on the host.
      if (this.#host.startTime(pid) === undefined) followed.fd = openLeftover(pid);
    }
  }

  /** What the file system refuses is looked for again at the next flush. */
  #read(followed: Followed): void {
    if (followed.fd === undefined) return;
    try {
      this.#append(followed, followed.fd);
    } catch {
      closeSync(followed.fd);
      followed.fd = undefined;
    }
  }

  #append(followed: Followed, fd: number): void {
    const end = Math.min(fstatSync(fd).size, followed.read + MAX_READ);
    while (followed.read < end) {
      const length = Math.min(CHUNK, end - followed.read);
      const count = readSync(fd, this.#chunk, 0, length, followed.read);
      if (count === 0) break;
      followed.map.append(this.#chunk.subarray(0, count));
      followed.read += count;
    }
  }

  #close(key: string, followed: Followed): void {
    if (followed.fd !== undefined) closeSync(followed.fd);
    this.#followed.delete(key);
  }
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
