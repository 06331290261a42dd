/**
 * Opened binaries: one for all processes that map the same content, closed when
 * nobody has mapped it for a while. Identity is the file (device, inode, change
 * time); files of equal content count as one, if their build ids say that they may be.
 */
import { BlockCache } from '../elf/block-cache.ts';
import { isFileFailure } from '../elf/failure.ts';
import { DeadFileSystem } from '../elf/file-access.ts';
import type { FileIdentity } from '../elf/file-identity.ts';
import { FileSource } from '../elf/file-source.ts';
import { ElfImage } from '../elf/image.ts';
import { type ByteSource, MemorySource, ParseError } from '../elf/source.ts';
import type { HostPid } from '../units/units.ts';
import { FileShares, fileOwner } from './file-shares.ts';
import type { ProcessHost } from './host.ts';
import type { RawMapping } from './maps.ts';
import type { Process } from './process.ts';
import { SameContents } from './same-contents.ts';
import { keyOf, WorkNote } from './work-note.ts';

/** An opened and parsed binary. */
export interface Opened {
  /** Unique in this run of the agent. */
  readonly id: number;
  readonly path: string;
  readonly image: ElfImage;
  readonly source: ByteSource;
  /** Runs what uses the file: should that end the thread, it is known which file it was. */
  readonly noted: <Result>(work: () => Result) => Result;
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

export interface Outcome {
  readonly outcome: Opened | Unusable;
  /** Of the file that was asked for; undefined when it could not be read, and for the vDSO. */
  readonly identity: FileIdentity | undefined;
}

interface Entry {
  readonly opened: { -readonly [Key in keyof Opened]: Opened[Key] };
  readonly contentKey: string;
  /** Of the process that it was opened for first. */
  readonly owner: string;
  /** When it was last found mapped, or opened. */
  lastMapped: number;
}

export interface OpenFilesLimits {
  /** Binaries kept open, above which those go first that nobody maps. */
  readonly keptOpen: number;
  /** Never more: descriptors and tables run out for everybody else. */
  readonly mostOpen: number;
  /** Bytes of text of one owner's: a third of what the kernel has directories for. */
  readonly mostOwnText: number;
  /** How long an unmapped binary is kept for the next process that runs it. */
  readonly keptMs: number;
  /** Time between two looks at who maps what. */
  readonly sweepMs: number;
}

const LIMITS: OpenFilesLimits = {
  keptOpen: 1024,
  mostOpen: 4096,
  mostOwnText: 2 ** 32,
  keptMs: 180_000,
  sweepMs: 30_000,
};

/** Of `mostOpen`, for the files of one owner. */
const OWN_SHARE = 1 / 2;
/** Files whose outcome is remembered; forgetting one costs parsing it again. */
const MAX_KNOWN = 8192;
/** Open files of one build id, or one size without one, that a new one is compared to. */
const MAX_COMPARED = 8;
/** Two pages are usual; a hostile process may map anything under that name. */
const MAX_VDSO_BYTES = 64 * 1024;
/** Of 16 KiB, for all binaries together. */
const CACHED_BLOCKS = 64;

export class OpenFiles {
  readonly #host: ProcessHost;
  readonly #limits: OpenFilesLimits;
  readonly #clock: () => number;
  readonly #note: WorkNote;
  readonly #cache = new BlockCache(CACHED_BLOCKS);
  readonly #byFile = new Map<string, Outcome>();
  /** Newest first. */
  readonly #byContent = new Map<string, readonly Entry[]>();
  readonly #contents: SameContents;
  readonly #shares: FileShares;
  readonly #byId = new Map<number, Entry>();
  readonly #problems = new Map<string, number>();
  #nextId = 1;
  #swept = 0;

  /** @param clock milliseconds that never go back */
  constructor(
    host: ProcessHost,
    limits = LIMITS,
    clock: () => number = () => performance.now(),
    note = new WorkNote(),
  ) {
    this.#note = note;
    this.#host = host;
    this.#limits = limits;
    this.#clock = clock;
    this.#contents = new SameContents(clock);
    this.#shares = new FileShares({
      files: Math.floor(limits.mostOpen * OWN_SHARE),
      text: limits.mostOwnText,
    });
    this.#swept = clock();
  }

  /** Binaries open now. */
  get size(): number {
    return this.#byId.size;
  }

  /** Why files could not be used, counted. */
  get problems(): ReadonlyMap<string, number> {
    return this.#problems;
  }

  count(reason: string): void {
    this.#problems.set(reason, (this.#problems.get(reason) ?? 0) + 1);
  }

  open(pid: HostPid, mapping: RawMapping): Outcome {
    const opened = this.#open(pid, mapping);
    if ('reason' in opened.outcome) this.count(opened.outcome.reason);
    return opened;
  }

  /** One that cannot be read any more: whoever maps it asks for it anew. */
  discard(opened: Opened, reason: string): void {
    this.count(reason);
    const entry = this.#byId.get(opened.id);
    if (entry) this.#close([entry]);
  }

  #open(pid: HostPid, mapping: RawMapping): Outcome {
    if (this.size >= this.#limits.mostOpen) {
      return unidentified(failed('too_many_open', `${this.size} binaries are open`));
    }
    return mapping.path === '[vdso]'
      ? unidentified(this.#openVdso(pid, mapping))
      : this.#openFile(pid, mapping);
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
    for (const entry of entries) {
      const { opened, contentKey: key } = entry;
      if (opened.closed) continue;
      opened.closed = true;
      this.#byId.delete(opened.id);
      this.#shares.release(entry.owner, opened.image.textSize);
      const others = this.#byContent.get(key)?.filter((each) => each !== entry) ?? [];
      if (others.length > 0) this.#byContent.set(key, others);
      else this.#byContent.delete(key);
      if (opened.source instanceof FileSource) opened.source.close();
    }
    for (const [key, known] of this.#byFile) {
      if ('image' in known.outcome && known.outcome.closed) this.#byFile.delete(key);
    }
  }

  #openFile(pid: HostPid, mapping: RawMapping): Outcome {
    let fd: number;
    try {
      fd = this.#host.openMapped(pid, mapping);
    } catch (cause) {
      const reason = cause instanceof DeadFileSystem ? cause.reason : 'open_failed';
      return unidentified(failed(reason, (cause as Error).message));
    }
    let source: FileSource;
    try {
      source = new FileSource(fd, this.#cache, this.#host.files);
    } catch (cause) {
      this.#host.files.close(fd);
      return unidentified(unreadable(mapping.path, cause));
    }
    const { device, inode, changedNs, modifiedNs, size } = source.state;
    const key = `${device}:${inode}:${changedNs}:${modifiedNs}:${size}`;
    const known = this.#byFile.get(key);
    let opened = known?.outcome;
    let identity = known?.identity;
    if (opened === undefined) {
      const fileKey = keyOf(source.state);
      if (this.#note.isRefused(fileKey)) {
        source.close();
        return unidentified(failed('file_crashed_resolver', `${mapping.path} is left alone`));
      }
      const noted: Opened['noted'] = (work) => this.#note.during(fileKey, work);
      opened = noted(() => this.#parse(pid, mapping, source, noted));
      identity = identityOf(source);
      const isFinal = 'image' in opened || !opened.transient;
      if (isFinal) this.#remember(key, { outcome: opened, identity });
    }
    if ('reason' in opened || opened.source !== source) source.close();
    return { outcome: opened, identity };
  }

  #openVdso(pid: HostPid, mapping: RawMapping): Opened | Unusable {
    try {
      const length = Math.min(mapping.end - mapping.start, MAX_VDSO_BYTES);
      const bytes = this.#host.readVdso(pid, mapping.start, length);
      return this.#parse(pid, mapping, new MemorySource(bytes.slice()), (work) => work());
    } catch (cause) {
      return failed('open_failed', (cause as Error).message);
    }
  }

  #parse(
    pid: HostPid,
    mapping: RawMapping,
    source: ByteSource,
    noted: Opened['noted'],
  ): Opened | Unusable {
    const { path } = mapping;
    try {
      const image = ElfImage.parse(source);
      if (source instanceof FileSource) source.identify(image.buildId !== '');
      const key = contentKey(image, source);
      const entries = this.#byContent.get(key) ?? [];
      const same = entries.find((entry) => this.#isSame(source, entry));
      if (same) return same.opened;
      const owner = fileOwner(this.#host.userIds(pid)?.[0], mapping);
      if (!this.#shares.take(owner, image.textSize)) {
        return failed('too_many_open_of_owner', `${path}: too many or too large ones of ${owner}`);
      }
      const id = this.#nextId++;
      const opened = { id, path, image, source, noted };
      const entry = { opened, contentKey: key, owner, lastMapped: this.#clock() };
      this.#byContent.set(key, [entry, ...entries].slice(0, MAX_COMPARED));
      this.#byId.set(id, entry);
      return opened;
    } catch (cause) {
      return unreadable(path, cause);
    }
  }

  #isSame(source: ByteSource, { opened }: Entry): boolean {
    // Its file may have been written to.
    if (opened.source instanceof FileSource && !opened.source.isUnchanged()) return false;
    // A build id is what the linker, or whoever wrote the file, says. Were it believed, any user could run
    // a program with that of another one, whose names and rules would then be the first's.
    const isSame = this.#contents.areEqual(source, opened.source);
    if (isSame === undefined) this.count('not_compared');
    return isSame ?? false;
  }

  #remember(key: string, outcome: Outcome): void {
    if (this.#byFile.size >= MAX_KNOWN) {
      const [oldest] = this.#byFile.keys();
      this.#byFile.delete(oldest!);
    }
    this.#byFile.set(key, outcome);
  }
}

const unidentified = (outcome: Opened | Unusable): Outcome => ({ outcome, identity: undefined });

function identityOf(source: FileSource): FileIdentity | undefined {
  try {
    return source.identify(false);
  } catch (cause) {
    if (cause instanceof ParseError) return undefined;
    throw cause;
  }
}

/** What a file that cannot be read counts as. */
function unreadable(path: string, cause: unknown): Unusable {
  const message = `${path}: ${(cause as Error).message}`;
  // No memory for what it claims, or a mistake of ours: it is this file's loss alone.
  if (!(cause instanceof ParseError)) return { reason: 'parser_failed', message, transient: false };
  return { reason: cause.reason, message, transient: isFileFailure(cause) };
}

function failed(reason: string, message: string): Unusable {
  return { reason, message, transient: true };
}

/**
 * Equal for files that are worth comparing: a stripped file and its original are not, nor are those of
 * two owners, since whose debug files count depends on the owner.
 */
function contentKey(image: ElfImage, source: ByteSource): string {
  const owner = source instanceof FileSource ? source.state.owner : 0;
  return `${owner}:${image.buildId}:${source.size}:${image.textBase}:${image.textSize}`;
}
