/** A cgroup as the kernel's sampler filters by it. */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { systemReason } from '../units/system-reason.ts';

export interface CgroupScope {
  /** Inode of its folder in the unified hierarchy. */
  readonly id: bigint;
  /** Folders between it and the hierarchy's root; the root is 0. */
  readonly level: number;
}

/** Where the unified hierarchy is mounted, from the text of `/proc/self/mountinfo`. */
export function unifiedMounts(mountinfo: string): string[] {
  return mountinfo.split('\n').flatMap((line) => {
    // "... mount-point options ... - type source options"; spaces are escaped as \040.
    const [before, after] = line.split(' - ', 2);
    if (!after?.startsWith('cgroup2 ')) return [];
    const point = before?.split(' ')[4];
    return point ? [point.replaceAll('\\040', ' ')] : [];
  });
}

/** @throws Error when `path` is not a folder of the unified hierarchy; says where that is */
export function cgroupScope(path: string): CgroupScope {
  const mounts = unifiedMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
  let real: string;
  try {
    real = realpathSync(path);
  } catch (cause) {
    throw new Error(
      `there is no cgroup ${path} (${systemReason(cause)}); systemd-cgls shows which there are`,
      { cause },
    );
  }
  const mount = mounts
    .filter((point) => real === point || real.startsWith(`${point}/`))
    .sort((a, b) => b.length - a.length)[0];
  if (mount === undefined) {
    const known = mounts.length > 0 ? `it is at ${mounts.join(', ')}` : 'none is mounted here';
    throw new Error(`${path} is no folder of the unified cgroup hierarchy (v2); ${known}`);
  }
  const level = real.slice(mount.length).split('/').filter(Boolean).length;
  return { id: statSync(real, { bigint: true }).ino, level };
}
