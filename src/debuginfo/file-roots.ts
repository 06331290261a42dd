/** Where a process's files may be: in its own root, and on the host. */
import { closeSync, constants, fstatSync, openSync, realpathSync, statSync } from 'node:fs';
import type { ProcessHost } from '../process/host.ts';
import type { HostPid } from '../units/units.ts';

/** An ELF header takes 64 bytes. Files of /proc, whose opening or reading can have effects, have size 0. */
const MIN_SIZE = 64;
/** Names in a stranger's file shall not make us open these. */
const PSEUDO_FILES = /^\/(?:proc|sys|dev)(?:\/|$)/;

export interface FoundFile {
  /** Whoever gets it closes it. */
  readonly fd: number;
  /** Inside the root that it was found in. */
  readonly path: string;
  /** Equal for the same file, whatever way it was found. */
  readonly identity: string;
}

export class FileRoots {
  readonly #host: Pick<ProcessHost, 'openInRoot'>;
  readonly #pid: HostPid | undefined;

  /** @param pid undefined when the process is gone: only the host is looked at. */
  constructor(host: Pick<ProcessHost, 'openInRoot'>, pid: HostPid | undefined) {
    this.#host = host;
    this.#pid = pid;
  }

  /**
   * Those of the files that there are: first in the process's own root, then
   * on the host, each place in the order of `paths`.
   */
  *find(paths: readonly string[]): Generator<FoundFile> {
    if (this.#pid !== undefined) {
      const pid = this.#pid;
      for (const path of paths) yield* found(path, () => this.#host.openInRoot(pid, path));
    }
    for (const path of paths) yield* found(path, () => openOnHost(path));
  }

  /** Whether there is any of the files. */
  has(paths: readonly string[]): boolean {
    for (const { fd } of this.find(paths)) {
      closeSync(fd);
      return true;
    }
    return false;
  }
}

function* found(path: string, open: () => number): Generator<FoundFile> {
  if (!path.startsWith('/') || path.includes('\0')) return;
  let fd: number;
  try {
    fd = open();
  } catch {
    // No such file there, or the process is gone.
    return;
  }
  const stat = fstatSync(fd);
  const { dev, ino, size } = stat;
  if (stat.isFile() && size >= MIN_SIZE) yield { fd, path, identity: `${dev}:${ino}` };
  else closeSync(fd);
}

function openOnHost(path: string): number {
  const real = realpathSync(path);
  const stat = statSync(real);
  if (PSEUDO_FILES.test(real) || !stat.isFile()) throw new Error(`${path} is not a usual file`);
  const fd = openSync(real, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw new Error(`${path} is not a usual file`);
}
