/** Where the files of processes may be: in their own roots, and on the host. */
import { DeadFileSystem, type FileAccess } from '../elf/file-access.ts';
import type { ProcessHost } from '../process/host.ts';

/** An ELF header takes 64 bytes. Files of /proc, whose opening or reading can have effects, have size 0. */
const MIN_SIZE = 64;

export interface FoundFile {
  /** Whoever gets it closes it. */
  readonly fd: number;
  /** Inside the root that it was found in. */
  readonly path: string;
  /** Equal for the same file, whatever way it was found. */
  readonly identity: string;
  /** Another one when it was changed: whoever does that cannot set the time of it. */
  readonly version: string;
}

/** What is needed of the machine. */
export type DebugFiles = Pick<ProcessHost, 'openBelow' | 'openOnHost' | 'files'>;

/** Called with the reason for a counter. */
type Refuse = (reason: string) => void;

/** Owner of what only administrators, and those who build images, put there. */
const ROOT = 0;

export class FileRoots {
  /** Descriptors of the roots, best first; whoever sets them closes them. Without any only the host is looked at. */
  roots: readonly number[];
  readonly #host: DebugFiles;
  readonly #owner: number | undefined;

  /**
   * @param owner Of the binary. In a mount namespace of their own any user can put files anywhere: those of
   *   others than root and the owner would name what everybody runs. Undefined: anybody's are taken.
   */
  constructor(host: DebugFiles, roots: readonly number[], owner?: number) {
    this.#host = host;
    this.roots = roots;
    this.#owner = owner;
  }

  /** By which what was found is read and closed. */
  get files(): FileAccess {
    return this.#host.files;
  }

  /**
   * Those of the files that there are: first in the processes' own roots, then
   * on the host, each place in the order of `paths`.
   * @param refuse told of what is there and cannot be a debug file
   */
  *find(paths: readonly string[], refuse: Refuse = () => undefined): Generator<FoundFile> {
    for (const root of this.roots) {
      for (const path of paths) {
        yield* this.#found(path, () => this.#host.openBelow(root, path), refuse);
      }
    }
    for (const path of paths) yield* this.#found(path, () => this.#host.openOnHost(path), refuse);
  }

  /** Whether there is anything by one of the names: a search says whether it is of use. */
  has(paths: readonly string[]): boolean {
    let isRefused = false;
    const refuse = () => {
      isRefused = true;
    };
    for (const { fd } of this.find(paths, refuse)) {
      this.files.close(fd);
      return true;
    }
    return isRefused;
  }

  *#found(path: string, open: () => number, refuse: Refuse): Generator<FoundFile> {
    if (!path.startsWith('/') || path.includes('\0')) return;
    let fd: number | undefined;
    try {
      fd = open();
      const { isRegular, device, inode, size, changedNs, owner } = this.files.state(fd);
      if (owner !== ROOT && owner !== (this.#owner ?? owner)) refuse('debug_file_of_another_user');
      else if (!isRegular) refuse('debug_file_not_regular');
      else if (size < MIN_SIZE) refuse('debug_file_too_short');
      else {
        const identity = `${device}:${inode}`;
        yield { fd, path, identity, version: `${identity}:${size}:${changedNs}` };
        return;
      }
    } catch (cause) {
      // Otherwise there is no such file.
      if (cause instanceof DeadFileSystem) refuse(cause.reason);
      else if ((cause as NodeJS.ErrnoException).code === 'EINVAL') refuse('debug_file_not_regular');
    }
    if (fd !== undefined) this.files.close(fd);
  }
}
