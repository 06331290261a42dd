/** Finds and opens what a run time writes about its code, and nothing else. */
import { closeSync, constants, fstatSync, openSync, type Stats } from 'node:fs';
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
    return opened(host.openMapped(identity.pid, mapped.raw));
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
  const stats = fstatSync(fd);
  if (isOwn(stats, userIds ?? [ownUserId()])) return opened(fd);
  closeSync(fd);
  return 'foreign';
}

/** Whether the file still has a name: another one could have taken it. */
export const isNamed = ({ fd }: OpenCodeFile): boolean => fstatSync(fd).nlink > 0;

function mapDescriptor(host: ProcessHost, { identity }: Process): number | undefined {
  const { pid } = identity;
  try {
    const fd = host.openInRoot(pid, `/tmp/perf-${host.innermostPid(pid)}.map`);
    if (startsAt(identity, host.startTime(pid))) return fd;
    // Of another process that has the pid now.
    closeSync(fd);
    return undefined;
  } catch {
    // Most JIT processes write none; looked for again at the next flush. Of one
    // that has ended the file may still be there, if it lived on the host.
    return host.startTime(pid) === undefined ? openLeftover(pid) : undefined;
  }
}

/**
 * A link may lead to a file that only root can read, and a mount in a user namespace too: of
 * root's own files only those that everybody may read are nobody's secret.
 */
function isOwn({ uid, mode }: Stats, userIds: readonly number[]): boolean {
  return userIds.includes(uid) || (uid === 0 && (mode & constants.S_IROTH) !== 0);
}

const ownUserId = (): number => process.geteuid?.() ?? 0;

function opened(fd: number): OpenCodeFile {
  // 64 bits each: in a double two files could look like one.
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return { fd, identity: `${dev}:${ino}` };
}

function openLeftover(pid: number): number | undefined {
  try {
    // A link could point anywhere: /tmp is writable for all.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const fd = openSync(`/tmp/perf-${pid}.map`, flags);
    if (fstatSync(fd).isFile()) return fd;
    closeSync(fd);
  } catch {
    // None was written.
  }
  return undefined;
}
