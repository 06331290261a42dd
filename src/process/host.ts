/** What the tracker asks of the machine; replay answers from a recording. */
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
} from 'node:fs';
import type { Addon } from '../capture/addon.ts';
import {
  type BootTime,
  bootTime,
  type HostPid,
  type NamespacePid,
  namespacePid,
} from '../units/units.ts';
import type { RawMapping } from './maps.ts';
import { MapsReader } from './maps-reader.ts';
import { TICK_NS } from './process.ts';
import { ownClockOffsets } from './time-namespace.ts';

export interface ProcessHost {
  /** The executable lines of `/proc/PID/maps`. @throws Error when the process is gone or out of reach. */
  readMaps(pid: HostPid): string;
  /** Start of the process, rounded down to the clock tick; undefined when gone. */
  startTime(pid: HostPid): BootTime | undefined;
  /** Descriptor of the regular file behind a mapping. @throws Error with what was tried. */
  openMapped(pid: HostPid, mapping: RawMapping): number;
  /** Descriptor of a regular file by path inside the process's root. @throws Error */
  openInRoot(pid: HostPid, path: string): number;
  /** The process's root directory; undefined when it is ours, or out of reach. */
  openRoot(pid: HostPid): OpenedRoot | undefined;
  /** Descriptor of a regular file by path inside a root that is open. @throws Error, EINVAL for other files */
  openBelow(root: number, path: string): number;
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

/** open(2): a place in the file system, without the right to read there. x86 and arm64 agree on the number. */
export const O_PATH = 0o10000000;

/** Longest environment that is read; usual ones have 1 to 8 KiB. */
const ENVIRONMENT_BYTES = 256 << 10;

export class LiveHost implements ProcessHost {
  readonly #addon: Addon;
  readonly #clockOffsets = ownClockOffsets();
  readonly #maps = new MapsReader();
  #ownRoot: string | undefined;
  #environment: Buffer | undefined;

  constructor(addon: Addon) {
    this.#addon = addon;
  }

  readMaps(pid: HostPid): string {
    return this.#maps.read(`/proc/${pid}/maps`, true);
  }

  /** All lines. @throws Error when the process is gone or out of reach. */
  readAllMaps(pid: HostPid): string {
    return this.#maps.read(`/proc/${pid}/maps`, false);
  }

  startTime(pid: HostPid): BootTime | undefined {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      // The comm in parentheses may itself hold spaces and parentheses.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return bootTime(BigInt(fields[19]!) * TICK_NS - this.#clockOffsets.boot);
    } catch {
      return undefined;
    }
  }

  openMapped(pid: HostPid, mapping: RawMapping): number {
    const range = `${mapping.start.toString(16)}-${mapping.end.toString(16)}`;
    const failures: string[] = [];
    const attempts: (() => number)[] = [
      // The very file, also when it was deleted, replaced or lies in another mount namespace.
      () => openRegular(`/proc/${pid}/map_files/${range}`),
      () => this.openInRoot(pid, mapping.path),
      // The process is gone, its binary perhaps not.
      () => openRegular(mapping.path),
    ];
    for (const attempt of attempts) {
      try {
        const fd = attempt();
        if (fstatSync(fd, { bigint: true }).ino === mapping.inode) return fd;
        closeSync(fd);
        failures.push('another file is there now');
      } catch (cause) {
        failures.push((cause as Error).message);
      }
    }
    throw new Error(`cannot open ${mapping.path}: ${failures.join('; ')}`);
  }

  openInRoot(pid: HostPid, path: string): number {
    const fd = this.#addon.openInRoot(pid, path);
    return keepRegular(fd);
  }

  openRoot(pid: HostPid): OpenedRoot | undefined {
    let fd: number | undefined;
    try {
      this.#ownRoot ??= rootIdentity('self', statSync('/proc/self/root', { bigint: true }));
      fd = openSync(`/proc/${pid}/root`, O_PATH | constants.O_DIRECTORY);
      const identity = rootIdentity(`${pid}`, fstatSync(fd, { bigint: true }));
      if (identity !== this.#ownRoot) {
        return { fd, identity, path: readlinkSync(`/proc/self/fd/${fd}`) };
      }
    } catch {
      // The process is gone, or belongs to somebody else.
    }
    if (fd !== undefined) closeSync(fd);
    return undefined;
  }

  openBelow(root: number, path: string): number {
    return keepRegular(this.#addon.openBelow(root, path));
  }

  readMemory(pid: HostPid, address: number, length: number): Uint8Array {
    // A process that takes the page away right now is not kept from holding us up.
    const resident = residentBytes(pid, address, length);
    return resident === 0 ? new Uint8Array() : this.readVdso(pid, address, resident);
  }

  readVdso(pid: HostPid, address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, this.#addon.readMemory(pid, address, bytes));
  }

  /**
   * Text of `/proc/PID/environ`, one character per byte (latin1), as far as anybody
   * would read. @throws Error when the process is gone or out of reach
   */
  readEnvironment(pid: HostPid): string {
    const fd = openSync(`/proc/${pid}/environ`, 'r');
    try {
      this.#environment ??= Buffer.allocUnsafe(ENVIRONMENT_BYTES);
      const length = readSync(fd, this.#environment, 0, ENVIRONMENT_BYTES, 0);
      return this.#environment.toString('latin1', 0, length);
    } finally {
      closeSync(fd);
    }
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
}

/** Opening a device or a FIFO can have effects: looked at before, and again after. */
function openRegular(path: string): number {
  if (!statSync(path).isFile()) throw new Error(`${path} is not a regular file`);
  return keepRegular(
    openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY),
  );
}

function keepRegular(fd: number): number {
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw new Error('not a regular file');
}

function rootIdentity(pid: string, { dev, ino }: { dev: bigint; ino: bigint }): string {
  return `${readlinkSync(`/proc/${pid}/ns/mnt`)}:${dev}:${ino}`;
}

const PAGE_BYTES = 4096;
/** `/proc/PID/pagemap` has 8 bytes per page; bit 63 says that it is there (proc(5)). */
const PAGEMAP_ENTRY = 8;
const PRESENT = 0x80;

/** How many of the bytes lie in pages that are there. @throws Error when the process is gone or out of reach */
function residentBytes(pid: HostPid, address: number, length: number): number {
  const first = Math.floor(address / PAGE_BYTES);
  const pages = Math.ceil((address + length) / PAGE_BYTES) - first;
  const entries = new Uint8Array(pages * PAGEMAP_ENTRY);
  const fd = openSync(`/proc/${pid}/pagemap`, constants.O_RDONLY);
  let known: number;
  try {
    known = readSync(fd, entries, 0, entries.length, first * PAGEMAP_ENTRY);
  } finally {
    closeSync(fd);
  }
  for (let page = 0; page < pages; page++) {
    const at = page * PAGEMAP_ENTRY + PAGEMAP_ENTRY - 1;
    if (at < known && (entries[at]! & PRESENT) !== 0) continue;
    return Math.max(0, (first + page) * PAGE_BYTES - address);
  }
  return length;
}
