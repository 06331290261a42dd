/** What the tracker asks of the machine; replay answers from a recording. */
import { readFileSync, readlinkSync } from 'node:fs';
import type { Addon } from '../capture/addon.ts';
import { DeadFileSystem, type FileAccess, type FileState } from '../elf/file-access.ts';
import {
  type BootTime,
  bootTime,
  type HostPid,
  type NamespacePid,
  namespacePid,
} from '../units/units.ts';
import { BoundedFiles } from './bounded-files.ts';
import type { RawMapping } from './maps.ts';
import { MapsReader } from './maps-reader.ts';
import { TICK_NS } from './process.ts';
import { ownClockOffsets } from './time-namespace.ts';
import type { WaitLimits } from './wait-budget.ts';
import { WorkNote } from './work-note.ts';

/**
 * Whatever asks a file system or a process takes no longer than a limit, after which it
 * fails with DeadFileSystem. Descriptors are read and closed through `files`.
 */
export interface ProcessHost {
  readonly files: FileAccess;
  /** Of the thread that asks. */
  readonly note?: WorkNote;
  /** The executable lines of `/proc/PID/maps`. @throws Error when the process is gone or out of reach. */
  readMaps(pid: HostPid): string;
  /** Start of the process, rounded down to the clock tick; undefined when gone. */
  startTime(pid: HostPid): BootTime | undefined;
  /** Descriptor of the regular file behind a mapping. @throws Error with what was tried. */
  openMapped(pid: HostPid, mapping: RawMapping): number;
  /** What that file is now; undefined when it cannot be opened. */
  stateOf(pid: HostPid, mapping: RawMapping): FileState | undefined;
  /** Descriptor of a regular file by path inside the process's root. @throws Error */
  openInRoot(pid: HostPid, path: string): number;
  /** The process's root directory; undefined when it is ours, or out of reach. */
  openRoot(pid: HostPid): OpenedRoot | undefined;
  /** Descriptor of a regular file by path inside a root that is open. @throws Error, EINVAL for other files */
  openBelow(root: number, path: string): number;
  /** The same by path on the host. @throws Error, EINVAL for other files and what lies in /dev, /proc or /sys */
  openOnHost(path: string): number;
  /**
   * Bytes of process memory, as far as its pages are there: another page is brought by
   * whoever has it, and a FUSE server or a handler of userfaultfd may never do so. Swapped
   * ones are left out too. @throws Error
   */
  readMemory(pid: HostPid, address: number, length: number): Uint8Array;
  /** Bytes of the vDSO, all pages of which the kernel has. @throws Error */
  readVdso(pid: HostPid, address: number, length: number): Uint8Array;
  /** The process's own idea of its pid, for files that are named after it. */
  innermostPid(pid: HostPid): NamespacePid;
  /** Real, effective, saved and file system user id; undefined when the process is gone. */
  userIds(pid: HostPid): readonly number[] | undefined;
}

export interface OpenedRoot {
  /** Good for as long as it is open, also when the process is gone; the caller closes it. */
  readonly fd: number;
  /** Equal for the same directory in the same mount namespace. */
  readonly identity: string;
  /** Where it is in our own root; `/` when it lies outside, as a container's does. */
  readonly path: string;
}

/** For which it is remembered whose a process is: to ask for each file takes as long as to open it. */
const USERS_MS = 1_000;
/** Processes, of which it is remembered. */
const MAX_USERS = 1_024;

/** Longest environment that is read; usual ones have 1 to 8 KiB. */
const ENVIRONMENT_BYTES = 256 << 10;

/** Names in a stranger's file shall not make us open these. */
const PSEUDO_FILES = /^\/(?:proc|sys|dev)(?:\/|$)/;

export class LiveHost implements ProcessHost {
  readonly files: BoundedFiles;
  readonly note: WorkNote;
  readonly #clockOffsets = ownClockOffsets();
  readonly #maps = new MapsReader();
  readonly #clock: () => number;
  /** Names of their users. */
  readonly #users = new Map<HostPid, string>();
  #usersSince = 0;
  #ownRoot: string | undefined;

  /**
   * @param waits how long files may be waited for
   * @param clock by which that is charged, milliseconds
   */
  constructor(
    addon: Addon,
    note = new WorkNote(),
    waits?: WaitLimits,
    clock: () => number = () => performance.now(),
  ) {
    this.note = note;
    this.#clock = clock;
    this.files = new BoundedFiles(
      new addon.BoundedCalls(),
      (pid) => this.#userOf(pid),
      clock,
      waits,
    );
  }

  readMaps(pid: HostPid): string {
    return this.#readMaps(pid, true);
  }

  /** All lines. @throws Error when the process is gone or out of reach. */
  readAllMaps(pid: HostPid): string {
    return this.#readMaps(pid, false);
  }

  startTime(pid: HostPid): BootTime | undefined {
    try {
      return bootTime(BigInt(statFields(pid)[19]!) * TICK_NS - this.#clockOffsets.boot);
    } catch {
      return undefined;
    }
  }

  openMapped(pid: HostPid, mapping: RawMapping): number {
    const range = `${mapping.start.toString(16)}-${mapping.end.toString(16)}`;
    const device = `device ${mapping.device}`;
    const failures: string[] = [];
    const attempts: (() => number)[] = [
      // The very file, also when it was deleted, replaced or lies in another mount namespace.
      () => this.files.open(`/proc/${pid}/map_files/${range}`, device, pid),
      () => this.files.openInRoot(pid, mapping.path, device),
      // The process is gone, its binary perhaps not.
      () => this.files.open(mapping.path, device, pid),
    ];
    for (const attempt of attempts) {
      try {
        const fd = attempt();
        if (this.files.state(fd).inode === mapping.inode) return fd;
        this.files.close(fd);
        failures.push('another file is there now');
      } catch (cause) {
        if (cause instanceof DeadFileSystem) throw cause;
        failures.push((cause as Error).message);
      }
    }
    throw new Error(`cannot open ${mapping.path}: ${failures.join('; ')}`);
  }

  stateOf(pid: HostPid, mapping: RawMapping): FileState | undefined {
    try {
      const fd = this.openMapped(pid, mapping);
      try {
        return this.files.state(fd);
      } finally {
        this.files.close(fd);
      }
    } catch {
      return undefined;
    }
  }

  openInRoot(pid: HostPid, path: string): number {
    return this.files.openInRoot(pid, path, mountsOf(pid));
  }

  openRoot(pid: HostPid): OpenedRoot | undefined {
    try {
      this.#ownRoot ??= this.#closed(this.#root('self')).identity;
      const root = this.#root(pid);
      return root.identity === this.#ownRoot ? void this.#closed(root) : root;
    } catch {
      // The process is gone, or belongs to somebody else.
      return undefined;
    }
  }

  openBelow(root: number, path: string): number {
    return this.files.openBelow(root, path, mountOf(root));
  }

  openOnHost(path: string): number {
    const fd = this.files.open(path, 'host', undefined);
    if (!PSEUDO_FILES.test(readlinkSync(`/proc/self/fd/${fd}`))) return fd;
    this.files.close(fd);
    throw Object.assign(new Error(`${path} is not a usual file`), { code: 'EINVAL' });
  }

  readMemory(pid: HostPid, address: number, length: number): Uint8Array {
    // A process that takes the page away right now holds us up, but not for long.
    const resident = this.#residentBytes(pid, address, length);
    return resident === 0 ? new Uint8Array() : this.readVdso(pid, address, resident);
  }

  readVdso(pid: HostPid, address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, this.files.readMemory(pid, address, bytes));
  }

  /**
   * The environment that the process was started with, as far as its pages are there and
   * anybody would read: one character per byte (latin1), variables end with a zero. Not
   * from `/proc/PID/environ`, which waits for pages: a process may have put there what
   * never comes. @throws Error when the process is gone or out of reach
   */
  readEnvironment(pid: HostPid): string {
    const [start, end] = statFields(pid).slice(47, 49).map(Number);
    if (!(start! > 0 && end! >= start!)) throw new Error(`no environment of process ${pid}`);
    const length = Math.min(end! - start!, ENVIRONMENT_BYTES);
    const bytes = this.readMemory(pid, start!, length);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  }

  innermostPid(pid: HostPid): NamespacePid {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'latin1');
      const ids = /^NStgid:\s*(.*)$/m.exec(status)?.[1]?.split(/\s+/) ?? [];
      return namespacePid(Number(ids.at(-1) ?? pid));
    } catch {
      return namespacePid(pid);
    }
  }

  userIds(pid: HostPid): readonly number[] | undefined {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'latin1');
      return /^Uid:\s*(.*)$/m.exec(status)?.[1]?.split(/\s+/).map(Number);
    } catch {
      return undefined;
    }
  }

  /** As of a moment ago. */
  #userOf(pid: HostPid): string {
    const now = this.#clock();
    if (now - this.#usersSince >= USERS_MS || this.#users.size >= MAX_USERS) {
      this.#users.clear();
      this.#usersSince = now;
    }
    let user = this.#users.get(pid);
    if (user === undefined) {
      user = `user ${this.userIds(pid)?.[0]}`;
      this.#users.set(pid, user);
    }
    return user;
  }

  #root(pid: HostPid | 'self'): OpenedRoot {
    const mounts = mountsOf(pid);
    const fd = this.files.openDirectory(
      `/proc/${pid}/root`,
      mounts,
      pid === 'self' ? undefined : pid,
    );
    try {
      const { device, inode } = this.files.state(fd);
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return { fd, identity: `${mounts}:${device}:${inode}`, path };
    } catch (cause) {
      this.files.close(fd);
      throw cause;
    }
  }

  #readMaps(pid: HostPid, isExecutableOnly: boolean): string {
    const fd = this.files.openOf(pid, 'maps');
    try {
      return this.#maps.read(
        (into, position) => this.files.read(fd, into, position),
        isExecutableOnly,
      );
    } finally {
      this.files.close(fd);
    }
  }

  #closed(root: OpenedRoot): OpenedRoot {
    this.files.close(root.fd);
    return root;
  }

  #readPagemap(pid: HostPid, entries: Uint8Array, position: number): number {
    const fd = this.files.openOf(pid, 'pagemap');
    try {
      return this.files.read(fd, entries, position);
    } finally {
      this.files.close(fd);
    }
  }

  /** How many of the bytes lie in pages that are there. @throws Error when the process is gone or out of reach */
  #residentBytes(pid: HostPid, address: number, length: number): number {
    const first = Math.floor(address / PAGE_BYTES);
    const pages = Math.ceil((address + length) / PAGE_BYTES) - first;
    const entries = new Uint8Array(pages * PAGEMAP_ENTRY);
    const known = this.#readPagemap(pid, entries, first * PAGEMAP_ENTRY);
    for (let page = 0; page < pages; page++) {
      const at = page * PAGEMAP_ENTRY + PAGEMAP_ENTRY - 1;
      if (at < known && (entries[at]! & PRESENT) !== 0) continue;
      return Math.max(0, (first + page) * PAGE_BYTES - address);
    }
    return length;
  }
}

/** Of `/proc/PID/stat`, from the third on: the comm in parentheses may itself hold spaces and parentheses. */
function statFields(pid: HostPid): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** What the paths of a process are looked up in. @throws Error */
const mountsOf = (pid: HostPid | 'self'): string => readlinkSync(`/proc/${pid}/ns/mnt`);

/** Equal for all directories of one mount, whoever has opened them. */
function mountOf(fd: number): string {
  const information = readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1');
  return /^mnt_id:\s*(\d+)$/m.exec(information)?.[0] ?? `directory ${fd}`;
}

const PAGE_BYTES = 4096;
/** `/proc/PID/pagemap` has 8 bytes per page; bit 63 says that it is there (proc(5)). */
const PAGEMAP_ENTRY = 8;
const PRESENT = 0x80;
