/**
 * Files, and memory of processes, that cannot hold this thread up: what a dead server
 * of a file system does not answer is waited for once, with a limit, and then left
 * alone until it has come to its end.
 */
import type { NativeBoundedCalls } from '../capture/addon.ts';
import { DeadFileSystem, type FileAccess, type FileState } from '../elf/file-access.ts';
import type { HostPid } from '../units/units.ts';
import { TOKEN_MS, WAIT_LIMITS, WaitBudget } from './wait-budget.ts';

/** After the first time that something hung; twice as long each time that it did so again. */
const FIRST_PAUSE_MS = 5_000;
const LONGEST_PAUSE_MS = 300_000;
/** Of what has hung once; the oldest is forgotten. */
const MAX_REMEMBERED = 256;

/** Of the addon: `call` is the number of one that hangs. */
type Failure = NodeJS.ErrnoException & { readonly call?: number };

/** Something that has hung. */
interface Hung {
  /** Undefined when the call could not even be made, because too many hang. */
  readonly call: number | undefined;
  readonly until: number;
  readonly pauseMs: number;
}

/** What a call stands or falls with, and at whose expense it is waited for. */
interface Asked {
  readonly keys: readonly string[];
  /** A process of his; undefined for the host. */
  readonly owner: HostPid | undefined;
}

/** Of root, who may have the agent wait as long as all together may. */
const ROOT = 'user 0';
/** Another thread's descriptor. */
const UNKNOWN: Asked = { keys: [], owner: undefined };

/** S_IFMT and S_IFREG of stat(2). */
const TYPE_OF_FILE = 0o170000;
const REGULAR = 0o100000;

export class BoundedFiles implements FileAccess {
  readonly #calls: NativeBoundedCalls;
  readonly #clock: () => number;
  readonly #userOf: (pid: HostPid) => string;
  readonly #budget: WaitBudget;
  readonly #asked = new Map<number, Asked>();
  readonly #hung = new Map<string, Hung>();
  /** Descriptors that would have hung when they were closed. */
  #unclosed: number[] = [];

  /**
   * @param userOf whom a process belongs to
   * @param clock milliseconds that never go back
   */
  constructor(
    calls: NativeBoundedCalls,
    userOf: (pid: HostPid) => string,
    clock: () => number = () => performance.now(),
    limits = WAIT_LIMITS,
  ) {
    this.#calls = calls;
    this.#userOf = userOf;
    this.#clock = clock;
    this.#budget = new WaitBudget((call) => calls.isOver(call), clock, limits);
  }

  /**
   * A regular file. @param key equal for what hangs together, as the device of a mapping
   * @param owner a process whose owner's time it takes; undefined for the host's own
   * @throws Error, DeadFileSystem
   */
  open(path: string, key: string, owner: HostPid | undefined): number {
    return this.#open({ keys: [key], owner }, () => this.#calls.open(path, 'regular'));
  }

  /** By path inside the root of a process. @throws Error, DeadFileSystem */
  openInRoot(pid: HostPid, path: string, key: string): number {
    const root = this.openDirectory(`/proc/${pid}/root`, key, pid);
    try {
      return this.openBelow(root, path, key);
    } finally {
      this.close(root);
    }
  }

  /** By path below a directory that is open. @throws Error, EINVAL for other files, DeadFileSystem */
  openBelow(root: number, path: string, key: string): number {
    const { owner } = this.#asked.get(root) ?? UNKNOWN;
    return this.#open({ keys: [key], owner }, () => this.#calls.open(path, 'regular', root));
  }

  /** A place in the file system, without the right to read there. @throws Error, DeadFileSystem */
  openDirectory(path: string, key: string, owner: HostPid | undefined): number {
    const asked = { keys: [key], owner };
    return this.#guard(asked, () => this.#keep(this.#calls.open(path, 'directory'), asked));
  }

  /** Another descriptor of the same regular file, or of the same directory. */
  reopen(fd: number): number {
    const asked = this.#asked.get(fd) ?? UNKNOWN;
    return this.#guard(asked, () => {
      const again = this.#again(`/proc/self/fd/${fd}`);
      if (asked !== UNKNOWN) return this.#keep(again, asked);
      return this.#keep(again, { ...asked, keys: [this.#device(again)] });
    });
  }

  state(fd: number): FileState {
    const words = this.#guard(this.#asked.get(fd) ?? UNKNOWN, () => this.#calls.state(fd));
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
    const asked = this.#asked.get(fd) ?? UNKNOWN;
    return this.#guard(asked, () => this.#calls.read(fd, into, position));
  }

  /** A file of `/proc/PID`. @throws Error, DeadFileSystem */
  openOf(pid: HostPid, name: string): number {
    const asked = { keys: [`process ${pid}`], owner: pid };
    return this.#guard(asked, () =>
      this.#keep(this.#calls.open(`/proc/${pid}/${name}`, 'process'), asked),
    );
  }

  /** @throws Error, DeadFileSystem */
  readMemory(pid: HostPid, address: number, into: Uint8Array): number {
    const asked = { keys: [`process ${pid}`], owner: pid };
    return this.#guard(asked, () => this.#calls.readMemory(pid, address, into));
  }

  /** Nanoseconds that calls have taken on other threads than the one that made them. */
  get cpuTime(): number {
    return this.#calls.cpuTime();
  }

  close(fd: number): void {
    if (this.#unclosed.length > 0) this.#closeRest();
    this.#close(fd);
  }

  #close(fd: number): void {
    const asked = this.#asked.get(fd) ?? UNKNOWN;
    if (asked.keys.some((key) => this.#isHung(key))) {
      this.#unclosed.push(fd);
      return;
    }
    try {
      // Nobody is better off with a file that stays open: there is always a little time.
      this.#call(asked, TOKEN_MS, () => this.#calls.close(fd));
    } catch (cause) {
      if (!this.#note(asked.keys, cause)) throw cause;
      // Not even begun; otherwise it goes on by itself.
      if ((cause as NodeJS.ErrnoException).code === 'EBUSY') {
        this.#unclosed.push(fd);
        return;
      }
    }
    this.#asked.delete(fd);
  }

  #closeRest(): void {
    for (const fd of this.#unclosed.splice(0)) this.#close(fd);
  }

  #open(asked: Asked, open: () => number): number {
    return this.#guard(asked, () => {
      const fd = open();
      // An overlay's files, and those of btrfs, say another device than their mappings.
      const keys = [...new Set([...asked.keys, this.#device(fd)])];
      return this.#keep(fd, { ...asked, keys });
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

  #keep(fd: number, asked: Asked): number {
    this.#asked.set(fd, asked);
    return fd;
  }

  #guard<Result>(asked: Asked, call: () => Result): Result {
    const hung = asked.keys.find((key) => this.#isHung(key));
    if (hung !== undefined) throw new DeadFileSystem(`${hung} does not answer`);
    try {
      return this.#call(asked, 0, call);
    } catch (cause) {
      if (cause instanceof DeadFileSystem || !this.#note(asked.keys, cause)) throw cause;
      throw new DeadFileSystem((cause as Error).message, { cause });
    }
  }

  /** @param atLeastMs whatever the owner has left. @throws Error, DeadFileSystem when he has nothing left */
  #call<Result>({ keys, owner }: Asked, atLeastMs: number, call: () => Result): Result {
    const ownerName = () => {
      const user = owner === undefined ? ROOT : this.#userOf(owner);
      // What hangs of root's is not the fault of all else that is root's.
      return user === ROOT ? `${user} ${keys[0]}` : user;
    };
    const limit = Math.max(this.#budget.limitFor(ownerName), atLeastMs);
    this.#calls.limit = limit;
    const begun = this.#clock();
    let hanging: number | undefined;
    try {
      return call();
    } catch (cause) {
      const { code, call: number } = cause as Failure;
      hanging = number;
      // What is in memory was read all the same.
      if (limit > 0 || code !== 'EBUSY') throw cause;
      const message = `${keys[0]} is not waited for: its owner's have cost too much time`;
      throw new DeadFileSystem(message, { cause, reason: 'file_wait_refused' });
    } finally {
      this.#budget.charge(ownerName, this.#clock() - begun, hanging);
    }
  }

  /** False when the failure is of another kind. */
  #note(keys: readonly string[], cause: unknown): boolean {
    const { code, call } = cause as Failure;
    // A server that is asked over the network may give up with ETIMEDOUT itself.
    if (call === undefined && code !== 'EBUSY') return false;
    const now = this.#clock();
    for (const key of keys) {
      const before = this.#hung.get(key)?.pauseMs;
      const longer = !before ? FIRST_PAUSE_MS : before * 2;
      // With so little time it may be well: it is asked again as soon as it has answered.
      const pauseMs = this.#calls.limit <= TOKEN_MS ? (before ?? 0) : longer;
      this.#hung.delete(key);
      this.#hung.set(key, {
        call,
        until: this.#calls.limit <= TOKEN_MS ? now : now + Math.min(pauseMs, LONGEST_PAUSE_MS),
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
