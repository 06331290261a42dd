/**
 * Debug files from debuginfod servers (elfutils, "debuginfod(8)", Web API):
 * one try per build id, in the background, into the cache. Whoever asks never
 * waits.
 */
import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { FileSource } from '../elf/file-source.ts';
import { ElfImage } from '../elf/image.ts';
import type { DebugCache, Part } from './debug-cache.ts';
import type { Downloads } from './debug-search.ts';
import { type FetchLimits, type FetchOutcome, fetchFile } from './http-fetch.ts';

export interface DebuginfodLimits extends FetchLimits {
  readonly parallel: number;
  /** Build ids that wait; more are asked for another time. */
  readonly queued: number;
  /** How long it is believed that no server has a file. */
  readonly missingMs: number;
  /** How long nothing is tried again that failed; a server that fails repeatedly is left alone as long. */
  readonly failedMs: number;
  /** Failures in a row after which a server is left alone. */
  readonly failures: number;
}

export const DEBUGINFOD_LIMITS: DebuginfodLimits = {
  bytes: 2 ** 30,
  redirects: 5,
  connectMs: 5_000,
  // A server may have to unpack an archive first.
  idleMs: 60_000,
  totalMs: 600_000,
  parallel: 2,
  queued: 256,
  missingMs: 3_600_000,
  failedMs: 300_000,
  failures: 3,
};

const BUILD_ID = /^(?:[0-9a-f]{2}){4,64}$/;
const NO_SPACE = 'debuginfod_no_space';
const MAX_SERVERS = 16;
/** Build ids with problems that nobody has come for. */
const MAX_UNTOLD = 1024;

/**
 * The servers to ask, in order.
 * @param listed as in the configuration
 * @param variable `$DEBUGINFOD_URLS`: separated by spaces; elfutils also has words that are no servers in it
 */
export function debuginfodServers(listed: readonly string[], variable: string | undefined): URL[] {
  const servers = new Map<string, URL>();
  for (const text of [...listed, ...(variable ?? '').split(/\s+/)]) {
    const url = URL.parse(text.endsWith('/') ? text : `${text}/`);
    if (url?.protocol === 'http:' || url?.protocol === 'https:') servers.set(url.href, url);
  }
  return [...servers.values()].slice(0, MAX_SERVERS);
}

interface Server {
  readonly url: URL;
  /** Of its mark in the cache. */
  readonly name: string;
  failures: number;
}

export class Debuginfod implements Downloads {
  readonly #servers: readonly Server[];
  readonly #cache: DebugCache;
  readonly #onSettled: (buildId: string) => void;
  readonly #limits: DebuginfodLimits;
  readonly #clock: () => number;
  readonly #problems = new Map<string, string[]>();
  readonly #queue: string[] = [];
  readonly #running = new Set<string>();
  /** Whether it is known that files are not kept. */
  #isWarned: boolean;
  readonly #closing = new AbortController();

  /**
   * @param onSettled called when a download has ended, with a file or without:
   *   request() then has the answer
   * @param clock milliseconds of the calendar, the cache's
   */
  constructor(
    servers: readonly URL[],
    cache: DebugCache,
    onSettled: (buildId: string) => void,
    limits = DEBUGINFOD_LIMITS,
    clock: () => number = Date.now,
  ) {
    this.#servers = servers.map((url) => ({
      url,
      name: createHash('sha256').update(url.href).digest('hex').slice(0, 16),
      failures: 0,
    }));
    this.#cache = cache;
    this.#onSettled = onSettled;
    this.#isWarned = cache.warning === '';
    this.#limits = limits;
    this.#clock = clock;
  }

  get isConfigured(): boolean {
    return this.#servers.length > 0;
  }

  /** Downloads that were begun or wait for their turn. */
  get running(): number {
    return this.#running.size + this.#queue.length;
  }

  takeProblems(buildId: string): readonly string[] {
    const problems = this.#problems.get(buildId) ?? [];
    this.#problems.delete(buildId);
    if (this.#isWarned) return problems;
    this.#isWarned = true;
    return [...problems, 'debuginfod_cache_folder'];
  }

  request(buildId: string): number | 'pending' | undefined {
    if (!this.isConfigured || !BUILD_ID.test(buildId)) return undefined;
    const fd = this.#cache.open(buildId);
    if (fd !== undefined) return fd;
    if (this.#running.has(buildId) || this.#queue.includes(buildId)) return 'pending';
    if (this.#closing.signal.aborted || this.#cache.isMarked(buildId)) return undefined;
    if (!this.#servers.some((server) => this.#isUsable(server))) return undefined;
    if (this.#queue.length >= this.#limits.queued) {
      this.#problem(buildId, 'debuginfod_busy');
      return undefined;
    }
    this.#queue.push(buildId);
    this.#next();
    return 'pending';
  }

  /** Ends all downloads. The cache stays open. */
  close(): void {
    this.#queue.length = 0;
    this.#closing.abort();
  }

  #problem(buildId: string, reason: string): void {
    const known = this.#problems.get(buildId);
    if (known) known.push(reason);
    else if (this.#problems.size < MAX_UNTOLD) this.#problems.set(buildId, [reason]);
  }

  #isUsable(server: Server): boolean {
    return !this.#cache.isMarked(server.name);
  }

  #next(): void {
    while (this.#running.size < this.#limits.parallel) {
      const buildId = this.#queue.shift();
      if (buildId === undefined) return;
      this.#running.add(buildId);
      void this.#download(buildId).then(() => {
        this.#running.delete(buildId);
        if (this.#closing.signal.aborted) return;
        this.#onSettled(buildId);
        this.#next();
      });
    }
  }

  /** Ends with the file in the cache, or with a mark that it is not to be had. Never rejects. */
  async #download(buildId: string): Promise<void> {
    let hasFailed = false;
    for (const server of this.#servers) {
      if (!this.#isUsable(server)) {
        hasFailed = true;
        continue;
      }
      const outcome = await this.#try(server, buildId);
      if (outcome.kind === 'done') return;
      if (outcome.kind === 'missing') continue;
      this.#problem(buildId, outcome.reason);
      // There may be room later.
      if (outcome.kind === 'failed' || outcome.reason === NO_SPACE) hasFailed = true;
      if (this.#closing.signal.aborted) return;
    }
    const { failedMs, missingMs } = this.#limits;
    this.#cache.mark(buildId, this.#clock() + (hasFailed ? failedMs : missingMs));
  }

  async #try(server: Server, buildId: string): Promise<FetchOutcome> {
    let part: Part;
    try {
      part = this.#cache.begin();
    } catch {
      return { kind: 'refused', reason: NO_SPACE };
    }
    const url = new URL(`buildid/${buildId}/debuginfo`, server.url);
    const limits = {
      ...this.#limits,
      bytes: Math.min(this.#limits.bytes, this.#cache.maxFileBytes),
    };
    let written = 0;
    const write = (chunk: Buffer) => {
      this.#makeRoom(part, written + chunk.length);
      written += writeAll(part.fd, chunk, written);
    };
    const outcome = await fetchFile(url, limits, write, this.#closing.signal);
    this.#judge(server, outcome);
    if (outcome.kind !== 'done') {
      this.#cache.abandon(part);
      return outcome;
    }
    if (!hasBuildId(part.fd, buildId)) {
      this.#cache.abandon(part);
      return { kind: 'refused', reason: 'debuginfod_wrong_file' };
    }
    try {
      this.#cache.commit(part, buildId);
    } catch {
      return { kind: 'refused', reason: NO_SPACE };
    }
    return outcome;
  }

  /** @throws Error with the reason for a counter */
  #makeRoom(part: Part, size: number): void {
    try {
      this.#cache.grow(part, size);
    } catch (cause) {
      throw new Error(NO_SPACE, { cause });
    }
  }

  /** A server that is down costs a few tries, and then nothing for a while. */
  #judge(server: Server, outcome: FetchOutcome): void {
    if (outcome.kind !== 'failed' || this.#closing.signal.aborted) {
      server.failures = 0;
      return;
    }
    server.failures++;
    if (server.failures >= this.#limits.failures) {
      this.#cache.mark(server.name, this.#clock() + this.#limits.failedMs);
    }
  }
}

/** @throws Error with the reason for a counter */
function writeAll(fd: number, chunk: Buffer, position: number): number {
  if (position === 0 && chunk.length >= 4 && chunk.readUInt32BE() !== 0x7f454c46) {
    throw new Error('debuginfod_wrong_file');
  }
  try {
    for (let at = 0; at < chunk.length; ) {
      at += writeSync(fd, chunk, at, chunk.length - at, position + at);
    }
  } catch (cause) {
    throw new Error(NO_SPACE, { cause });
  }
  return chunk.length;
}

function hasBuildId(fd: number, buildId: string): boolean {
  try {
    return ElfImage.parse(new FileSource(fd)).buildId === buildId;
  } catch {
    // Not an ELF file, or one that nobody here can read.
    return false;
  }
}
