/** How the bytes of a file are got at: directly, or so that a dead file system holds nobody up. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

/** What a file was when it was looked at. */
export interface FileState {
  readonly isRegular: boolean;
  readonly size: number;
  readonly device: bigint;
  readonly inode: bigint;
  /** Nanoseconds since 1970 by the file system's clock: whoever writes sets it to what he likes. */
  readonly modifiedNs: bigint;
  /** The same of contents, name or rights: nobody can set it. */
  readonly changedNs: bigint;
  readonly owner: number;
  /** Type and permissions, as stat(2) has them. */
  readonly mode: number;
  /** How many names it has; 0 when it was removed. */
  readonly names: number;
}

export interface FileAccess {
  /** @throws Error */
  state(fd: number): FileState;
  /** Bytes read; fewer than `into` has room for only at the end of the file. @throws Error */
  read(fd: number, into: Uint8Array, position: number): number;
  /** Another descriptor of the same file or directory. @throws Error */
  reopen(fd: number): number;
  close(fd: number): void;
}

/** For files of our own, and for tests. */
export const directAccess: FileAccess = {
  state(fd) {
    const stat = fstatSync(fd, { bigint: true });
    return {
      isRegular: stat.isFile(),
      size: Number(stat.size),
      device: stat.dev,
      inode: stat.ino,
      modifiedNs: stat.mtimeNs,
      changedNs: stat.ctimeNs,
      owner: Number(stat.uid),
      mode: Number(stat.mode),
      names: Number(stat.nlink),
    };
  },
  read(fd, into, position) {
    let done = 0;
    while (done < into.length) {
      const count = readSync(fd, into, done, into.length - done, position + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  },
  reopen: (fd) => openSync(`/proc/self/fd/${fd}`, constants.O_RDONLY),
  close: closeSync,
};

/** A call was not over in time, or one before it on the same file system is not yet. */
export class DeadFileSystem extends Error {
  override readonly name = 'DeadFileSystem';
  /** `file_wait_refused`: whoever it belongs to has been waited for too long. */
  readonly reason: 'file_system_dead' | 'file_wait_refused';

  constructor(
    message: string,
    {
      reason = 'file_system_dead',
      ...options
    }: ErrorOptions & { readonly reason?: DeadFileSystem['reason'] } = {},
  ) {
    super(message, options);
    this.reason = reason;
  }
}
