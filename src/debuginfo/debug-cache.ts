/**
 * Downloaded debug files on disk, by build id, below a limit; and what is known
 * not to be had. Several agents may share a folder. Nothing here fails a
 * search: without a usable folder the files are kept without names as long as
 * the cache is open.
 */
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  futimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
  utimesSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { O_TMPFILE, spoolFile } from './spool.ts';

export interface CacheLimits {
  /** Files that are being filled included, those without a name of other agents excepted. */
  readonly bytes: number;
  /** Without a folder: these take room on a disk where nobody can see them. */
  readonly unnamedBytes: number;
  /** What is not to be had, by name. */
  readonly marks: number;
}

export const CACHE_LIMITS: CacheLimits = { bytes: 2 ** 30, unnamedBytes: 256 << 20, marks: 4096 };
const FILE = '.debug';
const MARK = '.until';
const PART = '.part';
/** Nobody downloads for that long. */
const STALE_PART_MS = 3_600_000;
/** A mark further in the future was set by a clock that was wrong. */
const MAX_MARK_MS = 24 * 3_600_000;
/** Room is made in steps: a share of the limit. */
const STEP_SHARE = 1 / 64;
const WRITABLE_BY_OTHERS = 0o022;

/** A file that is being filled. */
export interface Part {
  readonly fd: number;
  /** Undefined when it has no name: nothing is left of it when the agent, or its thread, ends. */
  readonly path: string | undefined;
}

/** linkat(2) of an unnamed file to a path that is free. @throws Error */
export type LinkFile = (fd: number, path: string) => void;

/** `$XDG_CACHE_HOME/flametap/debuginfo`, or where that is when it is not set. */
export function defaultCacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const { XDG_CACHE_HOME: base, HOME: home } = environment;
  if (base !== undefined && isAbsolute(base)) return join(base, 'flametap/debuginfo');
  return join(
    home !== undefined && isAbsolute(home) ? home : homedir(),
    '.cache/flametap/debuginfo',
  );
}

export class DebugCache {
  /** Why the folder is not used, '' when it is. */
  readonly warning: string;
  readonly #limits: CacheLimits;
  readonly #clock: () => number;
  readonly #folder: number | undefined;
  readonly #unnamed = new Map<string, number>();
  readonly #marks = new Map<string, number>();
  readonly #linkFile: LinkFile;
  /** With their sizes. */
  readonly #parts = new Map<Part, number>();
  /** As much as parts may grow to before room is made again. */
  #room = 0;

  /** @param clock milliseconds of the calendar, as files have them */
  constructor(
    folder: string,
    linkFile: LinkFile,
    limits = CACHE_LIMITS,
    clock: () => number = Date.now,
  ) {
    this.#linkFile = linkFile;
    this.#limits = limits;
    this.#clock = clock;
    const opened = openFolder(folder);
    this.#folder = typeof opened === 'number' ? opened : undefined;
    this.warning = typeof opened === 'number' ? '' : opened;
    this.#evict();
  }

  /** The largest file that has room. */
  get maxFileBytes(): number {
    return this.#folder === undefined ? this.#limits.unnamedBytes : this.#limits.bytes;
  }

  /** A descriptor of the caller's own; undefined when the file is not there. */
  open(buildId: string): number | undefined {
    const unnamed = this.#unnamed.get(buildId);
    const path = unnamed === undefined ? this.#path(buildId + FILE) : `/proc/self/fd/${unnamed}`;
    if (path === undefined) return undefined;
    let fd: number;
    try {
      fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch {
      return undefined;
    }
    try {
      const now = this.#clock() / 1000;
      futimesSync(fd, now, now);
    } catch {
      // On a file system that became read-only it is still good to read.
    }
    return fd;
  }

  /** A file to be filled. @throws Error when there is no room */
  begin(): Part {
    const part = this.#newPart();
    this.#parts.set(part, 0);
    return part;
  }

  /** A part is to have so many bytes: others make room. @throws Error when all parts together are too large */
  grow(part: Part, size: number): void {
    const before = this.#parts.get(part) ?? 0;
    this.#parts.set(part, size);
    const total = this.#partBytes();
    const limit = this.maxFileBytes;
    if (total > limit) {
      this.#parts.set(part, before);
      throw new Error(`more than ${limit} bytes are being downloaded`);
    }
    if (total <= this.#room) return;
    this.#room = Math.min(limit, total + limit * STEP_SHARE);
    this.#evict();
  }

  /** The file is complete and good: from now on open() finds it. @throws Error when it cannot be kept */
  commit(part: Part, buildId: string): void {
    const { fd } = part;
    this.#forget(part);
    if (this.#folder === undefined) {
      this.#keepUnnamed(buildId, fd);
      return;
    }
    let { path } = part;
    try {
      if (path === undefined) {
        path = this.#path(randomUUID() + PART)!;
        this.#linkFile(fd, path);
      }
      renameSync(path, this.#path(buildId + FILE)!);
    } catch (cause) {
      if (path !== undefined) removeQuietly(path);
      throw cause;
    } finally {
      closeSync(fd);
    }
    this.#evict(buildId + FILE);
  }

  abandon(part: Part): void {
    this.#forget(part);
    closeSync(part.fd);
    if (part.path !== undefined) removeQuietly(part.path);
  }

  remove(buildId: string): void {
    const fd = this.#unnamed.get(buildId);
    if (fd !== undefined) closeSync(fd);
    this.#unnamed.delete(buildId);
    const path = this.#path(buildId + FILE);
    if (path !== undefined) removeQuietly(path);
  }

  /** Remembers that something is not to be asked for before a time. */
  mark(name: string, until: number): void {
    this.#marks.delete(name);
    this.#marks.set(name, until);
    for (const oldest of this.#marks.keys()) {
      if (this.#marks.size <= this.#limits.marks) break;
      this.#marks.delete(oldest);
    }
    const path = this.#path(name + MARK);
    if (path === undefined) return;
    try {
      closeSync(
        openSync(path, constants.O_CREAT | constants.O_WRONLY | constants.O_NOFOLLOW, 0o600),
      );
      utimesSync(path, until / 1000, until / 1000);
    } catch {
      // Then it is remembered for as long as this cache is open.
    }
  }

  isMarked(name: string): boolean {
    const now = this.#clock();
    const until = this.#marks.get(name) ?? this.#markOnDisk(name);
    return until > now && until <= now + MAX_MARK_MS;
  }

  close(): void {
    for (const fd of this.#unnamed.values()) closeSync(fd);
    this.#unnamed.clear();
    if (this.#folder !== undefined) closeSync(this.#folder);
  }

  /** Through the descriptor: whoever moves or replaces the folder does not lead us elsewhere. */
  #path(name: string): string | undefined {
    return this.#folder === undefined ? undefined : `/proc/self/fd/${this.#folder}/${name}`;
  }

  #markOnDisk(name: string): number {
    const path = this.#path(name + MARK);
    const stat = path === undefined ? undefined : statSync(path, { throwIfNoEntry: false });
    return stat?.mtimeMs ?? 0;
  }

  #newPart(): Part {
    const folder = this.#path('');
    if (folder === undefined) return { fd: spoolFile(['/var/tmp', tmpdir()], 0), path: undefined };
    try {
      return { fd: openSync(folder, O_TMPFILE | constants.O_RDWR, 0o600), path: undefined };
    } catch {
      // Not every file system can do that.
    }
    const path = folder + randomUUID() + PART;
    const flags = constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | constants.O_NOFOLLOW;
    return { fd: openSync(path, flags, 0o600), path };
  }

  #partBytes(): number {
    return [...this.#parts.values()].reduce((sum, size) => sum + size, 0);
  }

  #forget(part: Part): void {
    this.#parts.delete(part);
    this.#room = this.#partBytes();
  }

  #keepUnnamed(buildId: string, fd: number): void {
    this.remove(buildId);
    this.#unnamed.set(buildId, fd);
    this.#evict();
  }

  #evictUnnamed(): void {
    const sizes = [...this.#unnamed].map(([id, file]) => [id, fstatSync(file).size] as const);
    let total = sizes.reduce((sum, [, size]) => sum + size, this.#room);
    for (const [id, size] of sizes) {
      if (total <= this.#limits.unnamedBytes) break;
      this.remove(id);
      total -= size;
    }
  }

  #names(): string[] {
    try {
      return readdirSync(this.#path('')!);
    } catch {
      // Removed by somebody: then there is nothing to evict.
      return [];
    }
  }

  /** Those go first that nobody used for the longest time; also what agents have left that are gone. */
  #evict(newest?: string): void {
    if (this.#folder === undefined) {
      this.#evictUnnamed();
      return;
    }
    const now = this.#clock();
    const files = [];
    const marks = [];
    const ownParts = new Set([...this.#parts.keys()].map(({ path }) => path));
    let total = this.#room;
    for (const name of this.#names()) {
      const path = this.#path(name)!;
      const stat = statSync(path, { throwIfNoEntry: false });
      if (!stat?.isFile()) continue;
      const { mtimeMs: time, size } = stat;
      if (name.endsWith(FILE) && name !== newest) files.push({ path, time, size });
      else if (name.endsWith(FILE)) files.push({ path, time: Number.POSITIVE_INFINITY, size });
      else if (name.endsWith(MARK)) marks.push({ path, time });
      else if (!name.endsWith(PART) || ownParts.has(path)) continue;
      else if (time < now - STALE_PART_MS) removeQuietly(path);
      else total += size;
    }
    total += files.reduce((sum, { size }) => sum + size, 0);
    for (const { path, size } of files.sort((a, b) => a.time - b.time)) {
      if (total <= this.#limits.bytes) break;
      removeQuietly(path);
      total -= size;
    }
    marks.sort((a, b) => b.time - a.time);
    for (const [i, { path, time }] of marks.entries()) {
      if (time <= now || i >= this.#limits.marks) removeQuietly(path);
    }
  }
}

/** A descriptor of the folder, or why it is not used. */
function openFolder(folder: string): number | string {
  try {
    makeFolder(folder);
    const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
    const fd = openSync(folder, flags);
    const refusal = refusalOf(folder, fd);
    if (refusal === undefined) return fd;
    closeSync(fd);
    return refusal;
  } catch (cause) {
    return `cannot use ${folder}: ${(cause as Error).message}`;
  }
}

/** Not by the option `recursive`, which tries for ever where mkdir(2) says ENOENT, as in /proc. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder));
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (cause) {
    // Another agent may have been faster.
    if (!existsSync(folder)) throw cause;
  }
}

/** What others can write to may hold anything, and may lead our writing elsewhere. */
function refusalOf(folder: string, fd: number): string | undefined {
  const { uid, mode } = fstatSync(fd);
  const own = process.geteuid!();
  if (uid !== own) return `${folder} belongs to user ${uid}, not to ${own}`;
  if ((mode & WRITABLE_BY_OTHERS) !== 0) return `others can write to ${folder}`;
  const { uid: parentUid } = statSync(dirname(folder));
  if (parentUid !== own && parentUid !== 0)
    return `${dirname(folder)} belongs to user ${parentUid}`;
  const probe = `/proc/self/fd/${fd}/${randomUUID()}${PART}`;
  closeSync(openSync(probe, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600));
  unlinkSync(probe);
  return undefined;
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Another agent was faster, or the folder became read-only.
  }
}
