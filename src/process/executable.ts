/** A file that is mapped somewhere: opened when first needed, again when it was closed meanwhile. */
import type { FileState } from '../elf/file-access.ts';
import { type FileIdentity, hasSameTimes, isSameFile } from '../elf/file-identity.ts';
import { FileSource } from '../elf/file-source.ts';
import type { HostPid } from '../units/units.ts';
import type { RawMapping } from './maps.ts';
import type { Opened, OpenFiles, Unusable } from './open-files.ts';

export class Executable {
  readonly path: string;
  #state: Opened | Unusable | undefined;
  /** Of the file when it was first opened: as its processes have mapped it. */
  #identity: FileIdentity | undefined;
  /** As of which it is known to be current. */
  #epoch = 0;
  #failures = 0;
  #calls = 0;

  constructor(path: string) {
    this.path = path;
  }

  get opened(): Opened | undefined {
    return this.#state && 'image' in this.#state && !this.#state.closed ? this.#state : undefined;
  }

  get unusable(): Unusable | undefined {
    return this.#state && 'reason' in this.#state ? this.#state : undefined;
  }

  /**
   * Whether a process that maps the file now maps what was opened; otherwise it has
   * another program under the same name and inode, or one that could not be used.
   * @param epoch a number for what has happened until now: one look is enough for all of it
   * @param look at the file, where no open one can be asked
   */
  isCurrent(epoch: number, look: () => FileState | undefined): boolean {
    if (this.#epoch === epoch || this.#state === undefined) return true;
    this.#epoch = epoch;
    const { opened } = this;
    if (!opened) return false;
    const known = this.#identity;
    // The vDSO.
    if (!known) return true;
    const { source } = opened;
    if (source instanceof FileSource && isOwn(opened, known)) return source.isUnchanged();
    const now = look();
    return now !== undefined && isSameInode(now, known.state) && hasSameTimes(now, known.state);
  }

  /**
   * Opens through any process that maps it. Where one had vanished another may
   * succeed: tried again at the 2nd, 4th, 8th … call.
   */
  open(pid: HostPid, mapping: RawMapping, files: OpenFiles): Opened | Unusable {
    const { opened, unusable } = this;
    if (opened) return opened;
    if (unusable) {
      if (!unusable.transient) return unusable;
      this.#calls++;
      if (this.#calls < 2 ** this.#failures) return unusable;
    } else {
      this.#failures = 0;
      this.#calls = 1;
    }
    const { outcome, identity } = files.open(pid, mapping);
    const isOther = identity && this.#identity && !isSameFile(identity, this.#identity);
    this.#identity ??= identity;
    const state = isOther ? changed(this.path) : outcome;
    if (isOther) files.count(changed(this.path).reason);
    if ('reason' in state) this.#failures++;
    this.#state = state;
    return state;
  }

  /** What was opened cannot be read any more; another file of the same contents may still be. */
  fail(opened: Opened, unusable: Unusable): void {
    if (this.#state !== opened || !this.#identity || !isOwn(opened, this.#identity)) return;
    this.#failures++;
    this.#state = unusable;
  }
}

/** Pages that a process has changed or locked are the old ones, the others the new ones: nobody knows which. */
const changed = (path: string): Unusable => ({
  reason: 'file_changed',
  message: `${path} was written to after it was mapped`,
  transient: false,
});

/** Another file of the same contents may have been opened before, and stand for it. */
const isOwn = ({ source }: Opened, { state }: FileIdentity): boolean =>
  source instanceof FileSource && isSameInode(source.state, state);

const isSameInode = (a: FileState, b: FileState): boolean =>
  a.device === b.device && a.inode === b.inode;
