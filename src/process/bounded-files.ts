/**
 * Files, and memory of processes, that cannot hold this thread up: what a dead server
 * of a file system does not answer is waited for once, with a limit, and then left
 * alone until it has come to its end.
 */
import type { NativeBoundedCalls } from '../capture/addon.ts';
import { DeadFileSystem, type FileAccess, type FileState } from '../elf/file-access.ts';
import type { HostPid } from '../units/units.ts';

/** Longer than a disk takes that is there, on a machine with ten times the work that it can do. */
export const CALL_LIMIT_MS = 2_000;
/** After the first time that something hung; twice as long each time that it did so again. */
const FIRST_PAUSE_MS = 5_000;
const LONGEST_PAUSE_MS = 300_000;
/** Of what has hung once; the oldest is forgotten. */
const MAX_REMEMBERED = 256;

/** Something that has hung. */
interface Hung {
  /** Undefined when the call could not even be made, because too many hang. */
  readonly call: number | undefined;
  readonly until: number;
  readonly pauseMs: number;
}

/** S_IFMT and S_IFREG of stat(2). */
const TYPE_OF_FILE = 0o170000;
const REGULAR = 0o100000;

export class BoundedFiles implements FileAccess {
  readonly #calls: NativeBoundedCalls;
  readonly #clock: () => number;
  /** By descriptor: what it stands or falls with. */
  readonly #keys = new Map<number, readonly string[]>();
  readonly #hung = new Map<string, Hung>();
  /** Descriptors that would have hung when they were closed. */
  #unclosed: number[] = [];

  /** @param clock milliseconds that never go back */
  constructor(calls: NativeBoundedCalls, clock: () => number = () => performance.now()) {
    this.#calls = calls;
    this.#clock = clock;
  }

  /**
   * A regular file. @param key equal for what hangs together, as the device of a mapping
   * @throws Error, DeadFileSystem
   */
  open(path: string, key: string): number {
    return this.#open(key, () => this.#calls.open(path, 'regular'));
  }

  /** By path inside the root of a process. @throws Error, DeadFileSystem */
  openInRoot(pid: HostPid, path: string, key: string): number {
    const root = this.openDirectory(`/proc/${pid}/root`, key);
    try {
      return this.openBelow(root, path, key);
    } finally {
      this.close(root);
    }
  }

  /** By path below a directory that is open. @throws Error, EINVAL for other files, DeadFileSystem */
  openBelow(root: number, path: string, key: string): number {
    return this.#open(key, () => this.#calls.open(path, 'regular', root));
  }

  /** A place in the file system, without the right to read there. @throws Error, DeadFileSystem */
  openDirectory(path: string, key: string): number {
    return this.#guard([key], () => this.#keep(this.#calls.open(path, 'directory'), [key]));
  }

  /** Another descriptor of the same regular file, or of the same directory. */
  reopen(fd: number): number {
    const keys = this.#keys.get(fd) ?? [];
    return this.#guard(keys, () => {
      const again = this.#again(`/proc/self/fd/${fd}`);
      // Another thread's descriptor is not known here.
      return this.#keep(again, keys.length > 0 ? keys : [this.#device(again)]);
    });
  }

  state(fd: number): FileState {
    const keys = this.#keys.get(fd) ?? [];
    const words = this.#guard(keys, () => this.#calls.state(fd));
    const [device, inode, changedNs, modifiedNs, size, owner, mode, names] = words;
    return {
      isRegular: (Number(mode) & TYPE_OF_FILE) === REGULAR,
      size: Number(size),
      device: device!,
      inode: inode!,
      changedNs: changedNs!,
      modifiedNs: modifiedNs!,
      owner: Number(owner),
      mode: Number(mode),
      names: Number(names),
    };
  }

  read(fd: number, into: Uint8Array, position: number): number {
    const keys = this.#keys.get(fd) ?? [];
    return this.#guard(keys, () => this.#calls.read(fd, into, position));
  }

  /** A file of `/proc/PID`. @throws Error, DeadFileSystem */
  openOf(pid: HostPid, name: string): number {
    const keys = [`process ${pid}`];
    return this.#guard(keys, () =>
      this.#keep(this.#calls.open(`/proc/${pid}/${name}`, 'process'), keys),
    );
  }

  /** @throws Error, DeadFileSystem */
  readMemory(pid: HostPid, address: number, into: Uint8Array): number {
    return this.#guard([`process ${pid}`], () => this.#calls.readMemory(pid, address, into));
  }

  close(fd: number): void {
    if (this.#unclosed.length > 0) this.#closeRest();
    this.#close(fd);
  }

  #close(fd: number): void {
    const keys = this.#keys.get(fd) ?? [];
    if (keys.some((key) => this.#isHung(key))) {
      this.#unclosed.push(fd);
      return;
    }
    this.#keys.delete(fd);
    try {
      this.#calls.close(fd);
    } catch (cause) {
      // It goes on by itself.
      if (!this.#note(keys, cause)) throw cause;
    }
  }

  #closeRest(): void {
    for (const fd of this.#unclosed.splice(0)) this.#close(fd);
  }

  #open(key: string, open: () => number): number {
    return this.#guard([key], () => {
      const fd = open();
      // An overlay's files, and those of btrfs, say another device than their mappings.
      return this.#keep(fd, [...new Set([key, this.#device(fd)])]);
    });
  }

  #again(path: string): number {
    try {
      return this.#calls.open(path, 'regular');
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EINVAL') throw cause;
      return this.#calls.open(path, 'directory');
    }
  }

  #device(fd: number): string {
    const [device] = this.#calls.state(fd);
    return `device ${device}`;
  }

  #keep(fd: number, keys: readonly string[]): number {
    this.#keys.set(fd, keys);
    return fd;
  }

  #guard<Result>(keys: readonly string[], call: () => Result): Result {
    const hung = keys.find((key) => this.#isHung(key));
    if (hung !== undefined) throw new DeadFileSystem(`${hung} does not answer`);
    try {
      return call();
    } catch (cause) {
      if (!this.#note(keys, cause)) throw cause;
      throw new DeadFileSystem((cause as Error).message, { cause });
    }
  }

  /** False when the failure is of another kind. */
  #note(keys: readonly string[], cause: unknown): boolean {
    const { code, call } = cause as NodeJS.ErrnoException & { readonly call?: number };
    // A server that is asked over the network may give up with ETIMEDOUT itself.
    if (call === undefined && code !== 'EBUSY') return false;
    const now = this.#clock();
    for (const key of keys) {
      const before = this.#hung.get(key)?.pauseMs;
      const pauseMs = before === undefined ? FIRST_PAUSE_MS : before * 2;
      this.#hung.delete(key);
      this.#hung.set(key, {
        call,
        until: now + Math.min(pauseMs, LONGEST_PAUSE_MS),
        pauseMs: Math.min(pauseMs, LONGEST_PAUSE_MS),
      });
    }
    for (const [key, { call: other }] of this.#hung) {
      if (this.#hung.size <= MAX_REMEMBERED) break;
      if (other === undefined || this.#calls.isOver(other)) this.#hung.delete(key);
    }
    return true;
  }

  #isHung(key: string): boolean {
    const hung = this.#hung.get(key);
    if (hung === undefined) return false;
    const isOver = hung.call === undefined || this.#calls.isOver(hung.call);
    return !isOver || this.#clock() < hung.until;
  }
}
