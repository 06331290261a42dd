/**
 * Opened binaries: one for all processes that map the same content, closed when
 * nobody has mapped it for a while. Identity is the file (device, inode, change
 * time); files with equal build id, size and text layout count as one.
 */
import { createHash } from 'node:crypto';
import { closeSync, fstatSync } from 'node:fs';
import { BlockCache } from '../elf/block-cache.ts';
import { FileSource } from '../elf/file-source.ts';
import { ElfImage } from '../elf/image.ts';
import { type ByteSource, MemorySource, ParseError } from '../elf/source.ts';
import type { HostPid } from '../units/units.ts';
import type { ProcessHost } from './host.ts';
import type { RawMapping } from './maps.ts';
import type { Process } from './process.ts';

/** An opened and parsed binary. */
export interface Opened {
  /** Unique in this run of the agent. */
  readonly id: number;
  readonly path: string;
  readonly image: ElfImage;
  readonly source: ByteSource;
  /** Set by OpenFiles: it may not be read any more. */
  readonly closed?: boolean;
}

/** Why a binary cannot be used; the name is a counter. */
export interface Unusable {
  readonly reason: string;
  readonly message: string;
  /** Another try, or through another process, may succeed. */
  readonly transient: boolean;
}

interface Entry {
  readonly opened: { -readonly [Key in keyof Opened]: Opened[Key] };
  readonly contentKey: string;
  /** When it was last found mapped, or opened. */
  lastMapped: number;
}

export interface OpenFilesLimits {
  /** Binaries kept open, above which those go first that nobody maps. */
  readonly keptOpen: number;
  /** Never more: descriptors and tables run out for everybody else. */
  readonly mostOpen: number;
  /** How long an unmapped binary is kept for the next process that runs it. */
  readonly keptMs: number;
  /** Time between two looks at who maps what. */
  readonly sweepMs: number;
}

const LIMITS: OpenFilesLimits = {
  keptOpen: 1024,
  mostOpen: 4096,
  keptMs: 180_000,
  sweepMs: 30_000,
};

/** Files whose outcome is remembered; forgetting one costs parsing it again. */
const MAX_KNOWN = 8192;
/** Two pages are usual; a hostile process may map anything under that name. */
const MAX_VDSO_BYTES = 64 * 1024;
/** Of 16 KiB, for all binaries together. */
const CACHED_BLOCKS = 64;

export class OpenFiles {
  readonly #host: ProcessHost;
  readonly #limits: OpenFilesLimits;
  readonly #clock: () => number;
  readonly #cache = new BlockCache(CACHED_BLOCKS);
  readonly #byFile = new Map<string, Opened | Unusable>();
  readonly #byContent = new Map<string, Entry>();
  readonly #byId = new Map<number, Entry>();
  #nextId = 1;
  #swept = 0;

  /** @param clock milliseconds that never go back */
  constructor(host: ProcessHost, limits = LIMITS, clock: () => number = () => performance.now()) {
    this.#host = host;
    this.#limits = limits;
    this.#clock = clock;
    this.#swept = clock();
  }

  /** Binaries open now. */
  get size(): number {
    return this.#byId.size;
  }

  open(pid: HostPid, mapping: RawMapping): Opened | Unusable {
    if (this.size >= this.#limits.mostOpen) {
      return failed('too_many_open', `${this.size} binaries are open`);
    }
    return mapping.path === '[vdso]' ? this.#openVdso(pid, mapping) : this.#openFile(pid, mapping);
  }

  /**
   * Closes binaries that none of `processes` maps: those that were mapped long
   * ago, and the longest unmapped ones while too many are open. Cheap when
   * called often.
   * @returns ids of the closed ones; whatever was derived from them goes too
   */
  sweep(processes: Iterable<Process>): number[] {
    const now = this.#clock();
    const { keptOpen, keptMs, sweepMs } = this.#limits;
    const isCrowded = this.size > keptOpen;
    // Crowded with mapped ones it stays crowded: not looked at each time either.
    if (now - this.#swept < (isCrowded ? sweepMs / 30 : sweepMs)) return [];
    this.#swept = now;
    this.#mark(processes, now);
    const unmapped = [...this.#byId.values()].filter((entry) => entry.lastMapped < now);
    unmapped.sort((a, b) => a.lastMapped - b.lastMapped);
    const tooMany = this.size - keptOpen;
    const gone = unmapped.filter((entry, i) => i < tooMany || now - entry.lastMapped >= keptMs);
    if (gone.length > 0) this.#close(gone);
    return gone.map(({ opened }) => opened.id);
  }

  /** Closes all: Node does not close for a thread that ends what the addon has opened. */
  close(): void {
    this.#close([...this.#byId.values()]);
  }

  #mark(processes: Iterable<Process>, now: number): void {
    // Forked processes share their lists.
    const seen = new Set<unknown>();
    for (const { mappings } of processes) {
      if (seen.has(mappings)) continue;
      seen.add(mappings);
      for (const { what } of mappings) {
        if (what === 'anonymous' || !what.opened) continue;
        const entry = this.#byId.get(what.opened.id);
        if (entry) entry.lastMapped = now;
      }
    }
  }

  #close(entries: readonly Entry[]): void {
    for (const { opened, contentKey } of entries) {
      opened.closed = true;
      this.#byId.delete(opened.id);
      this.#byContent.delete(contentKey);
      if (opened.source instanceof FileSource) opened.source.close();
    }
    for (const [key, known] of this.#byFile) {
      if ('image' in known && known.closed) this.#byFile.delete(key);
    }
  }

  #openFile(pid: HostPid, mapping: RawMapping): Opened | Unusable {
    let fd: number;
    try {
      fd = this.#host.openMapped(pid, mapping);
    } catch (cause) {
      return failed('open_failed', (cause as Error).message);
    }
    let key: string;
    let source: FileSource;
    try {
      const stat = fstatSync(fd, { bigint: true });
      key = `${stat.dev}:${stat.ino}:${stat.ctimeNs}:${stat.size}`;
      source = new FileSource(fd, this.#cache);
    } catch (cause) {
      closeSync(fd);
      return failed('open_failed', `${mapping.path}: ${(cause as Error).message}`);
    }
    const known = this.#byFile.get(key);
    if (known) {
      source.close();
      return known;
    }
    const opened = this.#parse(mapping.path, source);
    this.#remember(key, opened);
    if ('reason' in opened || opened.source !== source) source.close();
    return opened;
  }

  #openVdso(pid: HostPid, mapping: RawMapping): Opened | Unusable {
    try {
      const length = Math.min(mapping.end - mapping.start, MAX_VDSO_BYTES);
      const bytes = this.#host.readVdso(pid, mapping.start, length);
      return this.#parse('[vdso]', new MemorySource(bytes.slice()));
    } catch (cause) {
      return failed('open_failed', (cause as Error).message);
    }
  }

  #parse(path: string, source: ByteSource): Opened | Unusable {
    try {
      const image = ElfImage.parse(source);
      const id = this.#nextId++;
      const key = contentKey(image, source) ?? `${id}`;
      const same = this.#byContent.get(key);
      if (same) return same.opened;
      const entry = {
        opened: { id, path, image, source },
        contentKey: key,
        lastMapped: this.#clock(),
      };
      this.#byContent.set(key, entry);
      this.#byId.set(id, entry);
      return entry.opened;
    } catch (cause) {
      if (!(cause instanceof ParseError)) throw cause;
      return { reason: cause.reason, message: `${path}: ${cause.message}`, transient: false };
    }
  }

  #remember(key: string, outcome: Opened | Unusable): void {
    if (this.#byFile.size >= MAX_KNOWN) {
      const [oldest] = this.#byFile.keys();
      this.#byFile.delete(oldest!);
    }
    this.#byFile.set(key, outcome);
  }
}

function failed(reason: string, message: string): Unusable {
  return { reason, message, transient: true };
}

/** Above this a file without build id is taken for itself only. */
const MAX_HASHED_BYTES = 1 << 30;
const HASH_CHUNK = 1 << 20;

/**
 * Equal for equal content; undefined when that would take too long to know. The
 * build id is the linker's hash; size and layout stand beside it, so that a
 * stripped file and its original stay two. Files without one are hashed whole:
 * first and last pages alone were seen to be equal in different programs.
 */
function contentKey(image: ElfImage, source: ByteSource): string | undefined {
  const shape = `${source.size}:${image.textBase}:${image.textSize}`;
  if (image.buildId) return `${image.buildId}:${shape}`;
  if (source.size > MAX_HASHED_BYTES) return undefined;
  const hash = createHash('sha1');
  for (let at = 0; at < source.size; at += HASH_CHUNK) {
    hash.update(source.read(at, Math.min(HASH_CHUNK, source.size - at)));
  }
  return `${hash.digest('hex')}:${shape}`;
}
