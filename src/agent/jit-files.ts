/** Finds and opens what a run time writes about its code, and nothing else. */
import { constants, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import type { FileState } from '../elf/file-access.ts';
import type { ProcessHost } from '../process/host.ts';
import { type Process, startsAt } from '../process/process.ts';

export interface OpenCodeFile {
  readonly fd: number;
  /** Equal for the same file. */
  readonly identity: string;
}

/** By perf's convention a run time maps a page of its dump executable, to be found by it. */
const DUMP_FILE = /\/jit-\d+\.dump(?: \(deleted\))?$/;

/** Undefined when there is none, or none that can be read. */
export function openDump(host: ProcessHost, process: Process): OpenCodeFile | undefined {
  const { identity, mappings } = process;
  const mapped = mappings.find(({ raw }) => DUMP_FILE.test(raw.path));
  if (!mapped) return undefined;
  try {
    return opened(host, host.openMapped(identity.pid, mapped.raw));
  } catch {
    return undefined;
  }
}

/**
 * @param userIds of the process as long as it was there; undefined when it never was
 * @returns `foreign` for a file that somebody else may have put there: `/tmp` is writable for all
 */
export function openMap(
  host: ProcessHost,
  process: Process,
  userIds: readonly number[] | undefined,
): OpenCodeFile | 'foreign' | undefined {
  const fd = mapDescriptor(host, process);
  if (fd === undefined) return undefined;
  try {
    if (isOwn(host.files.state(fd), userIds ?? [ownUserId()])) return opened(host, fd);
  } catch {
    host.files.close(fd);
    return undefined;
  }
  host.files.close(fd);
  return 'foreign';
}

/** Whether the file still has a name: another one could have taken it. */
export function isNamed(host: ProcessHost, { fd }: OpenCodeFile): boolean {
  try {
    return host.files.state(fd).names > 0;
  } catch {
    // Its file system does not answer: nor would it for another one.
    return true;
  }
}

function mapDescriptor(host: ProcessHost, { identity }: Process): number | undefined {
  const { pid } = identity;
  try {
    const fd = host.openInRoot(pid, `/tmp/perf-${host.innermostPid(pid)}.map`);
    if (startsAt(identity, host.startTime(pid))) return fd;
    // Of another process that has the pid now.
    host.files.close(fd);
    return undefined;
  } catch {
    // Most JIT processes write none; looked for again at the next flush. Of one
    // that has ended the file may still be there, if it lived on the host.
    return host.startTime(pid) === undefined ? openLeftover(host, pid) : undefined;
  }
}

/**
 * A link may lead to a file that only root can read, and a mount in a user namespace too: of
 * root's own files only those that everybody may read are nobody's secret.
 */
function isOwn({ owner, mode }: FileState, userIds: readonly number[]): boolean {
  return userIds.includes(owner) || (owner === 0 && (mode & constants.S_IROTH) !== 0);
}

const ownUserId = (): number => process.geteuid?.() ?? 0;

function opened(host: ProcessHost, fd: number): OpenCodeFile {
  const { device, inode } = host.files.state(fd);
  return { fd, identity: `${device}:${inode}` };
}

function openLeftover(host: ProcessHost, pid: number): number | undefined {
  const name = `perf-${pid}.map`;
  try {
    const fd = host.openOnHost(`/tmp/${name}`);
    // A link could point anywhere: /tmp is writable for all.
    if (basename(readlinkSync(`/proc/self/fd/${fd}`)) === name) return fd;
    host.files.close(fd);
  } catch {
    // None was written.
  }
  return undefined;
}
