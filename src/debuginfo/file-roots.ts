/** Where the files of processes may be: in their own roots, and on the host. */
import { closeSync, constants, fstatSync, openSync, realpathSync, statSync } from 'node:fs';

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

/**
 * Descriptor of a regular file by path inside an open root directory, which no
 * link leaves. Throws an Error with code EINVAL for what is no regular file.
 */
type OpenBelow = (root: number, path: string) => number;

/** Called with the reason for a counter. */
type Refuse = (reason: string) => void;

export class FileRoots {
  /** Descriptors of the roots, best first; whoever sets them closes them. Without any only the host is looked at. */
  roots: readonly number[];
  readonly #openBelow: OpenBelow;

  constructor(openBelow: OpenBelow, roots: readonly number[]) {
    this.#openBelow = openBelow;
    this.roots = roots;
  }

  /**
   * Those of the files that there are: first in the processes' own roots, then
   * on the host, each place in the order of `paths`.
   * @param refuse told of what is there and cannot be a debug file
   */
  *find(paths: readonly string[], refuse: Refuse = () => undefined): Generator<FoundFile> {
    for (const root of this.roots) {
      for (const path of paths) yield* found(path, () => this.#openBelow(root, path), refuse);
    }
    for (const path of paths) yield* found(path, () => openOnHost(path), refuse);
  }

  /** Whether there is anything by one of the names: a search says whether it is of use. */
  has(paths: readonly string[]): boolean {
    let isRefused = false;
    const refuse = () => {
      isRefused = true;
    };
    for (const { fd } of this.find(paths, refuse)) {
      closeSync(fd);
      return true;
    }
    return isRefused;
  }
}

function* found(path: string, open: () => number, refuse: Refuse): Generator<FoundFile> {
  if (!path.startsWith('/') || path.includes('\0')) return;
  let fd: number;
  try {
    fd = open();
  } catch (cause) {
    // Otherwise there is no such file.
    if ((cause as NodeJS.ErrnoException).code === 'EINVAL') refuse('debug_file_not_regular');
    return;
  }
  const stat = fstatSync(fd, { bigint: true });
  const { dev, ino, size } = stat;
  if (stat.isFile() && size >= MIN_SIZE) {
    yield { fd, path, identity: `${dev}:${ino}` };
    return;
  }
  closeSync(fd);
  refuse(stat.isFile() ? 'debug_file_too_short' : 'debug_file_not_regular');
}

function openOnHost(path: string): number {
  const real = realpathSync(path);
  const stat = statSync(real);
  if (PSEUDO_FILES.test(real) || !stat.isFile()) throw irregular(path);
  const fd = openSync(real, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw irregular(path);
}

/** As for a root's files. */
function irregular(path: string): Error {
  return Object.assign(new Error(`${path} is not a usual file`), { code: 'EINVAL' });
}
