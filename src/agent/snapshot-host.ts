/** Hosts that note what the machine said, and that say it again. */
import type { FileAccess, FileState } from '../elf/file-access.ts';
import type { OpenedRoot, ProcessHost } from '../process/host.ts';
import { parseMaps, type RawMapping } from '../process/maps.ts';
import {
  type BootTime,
  bootTime,
  type HostPid,
  type NamespacePid,
  namespacePid,
} from '../units/units.ts';
import type { MapsSnapshot, Snapshot } from './messages.ts';

/** Start of a process that was gone. */
const GONE = bootTime(0n);

/** Passes on to a live host and reports every answer that a replay needs. */
export class RecordingHost implements ProcessHost {
  readonly #live: ProcessHost;
  readonly #report: (snapshot: Snapshot) => void;
  readonly #started = new Map<HostPid, BootTime>();

  get files(): FileAccess {
    return this.#live.files;
  }

  constructor(live: ProcessHost, report: (snapshot: Snapshot) => void) {
    this.#live = live;
    this.#report = report;
  }

  startTime(pid: HostPid): BootTime | undefined {
    const started = this.#live.startTime(pid);
    if (started === undefined) this.#report({ kind: 'maps', pid, text: '', started: GONE });
    else this.#started.set(pid, started);
    return started;
  }

  readMaps(pid: HostPid): string {
    let text: string;
    try {
      text = this.#live.readMaps(pid);
    } catch (cause) {
      // Without it the replay would take a later answer for this one.
      this.#report({ kind: 'maps', pid, text: '', started: GONE });
      throw cause;
    }
    this.#report({ kind: 'maps', pid, text, started: this.#started.get(pid) ?? GONE });
    return text;
  }

  openMapped(pid: HostPid, mapping: RawMapping): number {
    return this.#live.openMapped(pid, mapping);
  }

  stateOf(pid: HostPid, mapping: RawMapping): FileState | undefined {
    return this.#live.stateOf(pid, mapping);
  }

  openInRoot(pid: HostPid, path: string): number {
    return this.#live.openInRoot(pid, path);
  }

  openRoot(pid: HostPid): OpenedRoot | undefined {
    return this.#live.openRoot(pid);
  }

  openBelow(root: number, path: string): number {
    return this.#live.openBelow(root, path);
  }

  openOnHost(path: string): number {
    return this.#live.openOnHost(path);
  }

  readMemory(pid: HostPid, address: number, length: number): Uint8Array {
    return this.#live.readMemory(pid, address, length);
  }

  readVdso(pid: HostPid, address: number, length: number): Uint8Array {
    return this.#live.readVdso(pid, address, length);
  }

  innermostPid(pid: HostPid): NamespacePid {
    return this.#live.innermostPid(pid);
  }

  userIds(pid: HostPid): readonly number[] | undefined {
    return this.#live.userIds(pid);
  }
}

/**
 * Answers from a recording. Files are opened by path: they must still be what
 * they were. The vDSO is taken from this process.
 */
export class ReplayHost implements ProcessHost {
  readonly #live: ProcessHost;
  readonly #answers = new Map<number, MapsSnapshot[]>();

  get files(): FileAccess {
    return this.#live.files;
  }

  constructor(live: ProcessHost, snapshots: readonly Snapshot[]) {
    this.#live = live;
    for (const snapshot of snapshots) {
      if (snapshot.kind !== 'maps') continue;
      const answers = this.#answers.get(snapshot.pid);
      if (answers) answers.push(snapshot);
      else this.#answers.set(snapshot.pid, [snapshot]);
    }
  }

  startTime(pid: HostPid): BootTime | undefined {
    const next = this.#answers.get(pid)?.[0];
    if (!next) return undefined;
    if (next.started === GONE) {
      this.#answers.get(pid)?.shift();
      return undefined;
    }
    return next.started;
  }

  readMaps(pid: HostPid): string {
    const next = this.#answers.get(pid)?.shift();
    if (!next) throw new Error(`the recording has no mappings of process ${pid}`);
    return next.text;
  }

  openMapped(_pid: HostPid, mapping: RawMapping): number {
    return this.#live.openMapped(process.pid as HostPid, mapping);
  }

  stateOf(_pid: HostPid, mapping: RawMapping): FileState | undefined {
    return this.#live.stateOf(process.pid as HostPid, mapping);
  }

  openInRoot(pid: HostPid, path: string): number {
    throw new Error(`replay does not read ${path} of process ${pid}`);
  }

  /** Its pid may be another's by now. */
  openRoot(): undefined {
    return undefined;
  }

  openBelow(root: number, path: string): number {
    return this.#live.openBelow(root, path);
  }

  openOnHost(path: string): number {
    return this.#live.openOnHost(path);
  }

  readMemory(): Uint8Array {
    throw new Error('a recording has no memory of processes');
  }

  /** It is the same in all processes of a kernel. */
  readVdso(_pid: HostPid, _address: number, length: number): Uint8Array {
    const own = process.pid as HostPid;
    const { mappings } = parseMaps(this.#live.readMaps(own));
    const vdso = mappings.find(({ path }) => path === '[vdso]');
    if (!vdso) throw new Error('this process has no vDSO');
    return this.#live.readVdso(own, vdso.start, Math.min(length, vdso.end - vdso.start));
  }

  innermostPid(pid: HostPid): NamespacePid {
    return namespacePid(pid);
  }

  userIds(): undefined {
    return undefined;
  }
}
