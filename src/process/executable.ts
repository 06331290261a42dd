/**
 * A mapped binary: opened when first needed, one for all processes that map
 * the same content. Identity is the file (device, inode, generation or change
 * time); files with equal build id, size and text layout count as one.
 */
import { createHash } from 'node:crypto';
import { fstatSync } from 'node:fs';
import { FileSource } from '../elf/file-source.ts';
import { ElfImage } from '../elf/image.ts';
import { type ByteSource, MemorySource, ParseError } from '../elf/source.ts';
import type { HostPid } from '../units/units.ts';
import type { ProcessHost } from './host.ts';
import type { RawMapping } from './maps.ts';

/** An opened and parsed binary. */
export interface Opened {
  /** Unique in this run of the agent. */
  readonly id: number;
  readonly path: string;
  readonly image: ElfImage;
  readonly source: ByteSource;
}

/** Why a binary cannot be used; the name is a counter. */
export interface Unusable {
  readonly reason: string;
  readonly message: string;
}

/** A file that is mapped somewhere, perhaps not opened yet. */
export class Executable {
  readonly path: string;
  #state: Opened | Unusable | undefined;
  #attempts = 0;

  constructor(path: string) {
    this.path = path;
  }

  get opened(): Opened | undefined {
    return this.#state && 'image' in this.#state ? this.#state : undefined;
  }

  get unusable(): Unusable | undefined {
    return this.#state && 'reason' in this.#state ? this.#state : undefined;
  }

  /** Opens through any process that maps it. A vanished process may be followed by another. */
  open(pid: HostPid, mapping: RawMapping, files: OpenFiles): Opened | Unusable {
    if (this.#state && ('image' in this.#state || this.#attempts >= MAX_ATTEMPTS)) {
      return this.#state;
    }
    this.#attempts++;
    this.#state = files.open(pid, mapping);
    if ('reason' in this.#state && this.#state.reason !== 'open_failed') {
      this.#attempts = MAX_ATTEMPTS;
    }
    return this.#state;
  }
}

const MAX_ATTEMPTS = 3;
/** Two pages are usual; a hostile process may map anything under that name. */
const MAX_VDSO_BYTES = 64 * 1024;

/** Opens binaries and knows which of them are the same. */
export class OpenFiles {
  readonly #host: ProcessHost;
  readonly #byFile = new Map<string, Opened | Unusable>();
  readonly #byContent = new Map<string, Opened>();
  #nextId = 1;

  constructor(host: ProcessHost) {
    this.#host = host;
  }

  open(pid: HostPid, mapping: RawMapping): Opened | Unusable {
    return mapping.path === '[vdso]' ? this.#openVdso(pid, mapping) : this.#openFile(pid, mapping);
  }

  #openFile(pid: HostPid, mapping: RawMapping): Opened | Unusable {
    let fd: number;
    try {
      fd = this.#host.openMapped(pid, mapping);
    } catch (cause) {
      return { reason: 'open_failed', message: (cause as Error).message };
    }
    const stat = fstatSync(fd, { bigint: true });
    const key = `${stat.dev}:${stat.ino}:${stat.ctimeNs}:${stat.size}`;
    const known = this.#byFile.get(key);
    const source = new FileSource(fd);
    if (known) {
      source.close();
      return known;
    }
    const opened = this.#parse(mapping.path, source);
    this.#byFile.set(key, opened);
    if ('reason' in opened || opened.source !== source) source.close();
    return opened;
  }

  #openVdso(pid: HostPid, mapping: RawMapping): Opened | Unusable {
    try {
      const length = Math.min(mapping.end - mapping.start, MAX_VDSO_BYTES);
      const bytes = this.#host.readMemory(pid, mapping.start, length);
      return this.#parse('[vdso]', new MemorySource(bytes.slice()));
    } catch (cause) {
      return { reason: 'open_failed', message: (cause as Error).message };
    }
  }

  #parse(path: string, source: ByteSource): Opened | Unusable {
    try {
      const image = ElfImage.parse(source);
      const key = contentKey(image, source);
      const same = this.#byContent.get(key);
      if (same) return same;
      const opened = { id: this.#nextId++, path, image, source };
      this.#byContent.set(key, opened);
      return opened;
    } catch (cause) {
      if (!(cause instanceof ParseError)) throw cause;
      return { reason: cause.reason, message: `${path}: ${cause.message}` };
    }
  }
}

/** Above this a file without build id is taken for itself only. */
const MAX_HASHED_BYTES = 1 << 30;
const HASH_CHUNK = 1 << 20;

/**
 * Equal for equal content. The build id is the linker's hash; size and layout
 * stand beside it, so that a stripped file and its original stay two. Files
 * without one are hashed whole: first and last pages alone were seen to be
 * equal in different programs.
 */
function contentKey(image: ElfImage, source: ByteSource): string {
  const shape = `${source.size}:${image.textBase}:${image.textSize}`;
  if (image.buildId) return `${image.buildId}:${shape}`;
  if (source.size > MAX_HASHED_BYTES) return `unhashed:${Math.random()}`;
  const hash = createHash('sha1');
  for (let at = 0; at < source.size; at += HASH_CHUNK) {
    hash.update(source.read(at, Math.min(HASH_CHUNK, source.size - at)));
  }
  return `${hash.digest('hex')}:${shape}`;
}
