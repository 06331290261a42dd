/**
 * Where a profile goes: a file that appears whole or not at all, or a stream.
 * Opened before sampling, so that an unwritable path is known at once.
 */
import { constants } from 'node:fs';
import {
  access,
  type FileHandle,
  open,
  realpath,
  rename,
  stat,
  statfs,
  unlink,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Terminal } from './command.ts';
import { CommandError, errorCode, reasonOf } from './errors.ts';

/** A profile tells names of programs of others: it is its owner's, unless told otherwise. */
const PRIVATE = 0o600;

type Pieces = Iterable<Uint8Array | string>;

export interface Output {
  /** For messages. */
  readonly name: string;
  /**
   * @returns bytes written
   * @throws CommandError; nothing half-written stays behind
   */
  write(pieces: Pieces): Promise<number>;
  /** Gives up: removes what was begun. */
  abandon(): Promise<void>;
}

async function writeAll(handle: FileHandle, pieces: Pieces): Promise<number> {
  let size = 0;
  try {
    for (const piece of pieces) {
      const data = typeof piece === 'string' ? Buffer.from(piece) : piece;
      await handle.writeFile(data);
      size += data.length;
    }
  } finally {
    await handle.close();
  }
  return size;
}

/** Takes only the system's refusals; an encoder's mistake must not look like one. */
function cannotWrite(path: string, error: unknown): unknown {
  if (errorCode(error) === '') return error;
  return new CommandError(`cannot write ${path}: ${reasonOf(error)}`, { cause: error });
}

/** A device or pipe such as /dev/null: written in place, there is nothing to rename. */
async function openSpecial(path: string): Promise<Output> {
  try {
    await access(path, constants.W_OK);
  } catch (error) {
    throw cannotWrite(path, error);
  }
  return {
    name: path,
    async write(pieces) {
      try {
        // Opened late: opening a FIFO waits for its reader.
        return await writeAll(await open(path, 'w'), pieces);
      } catch (error) {
        throw cannotWrite(path, error);
      }
    },
    async abandon() {},
  };
}

/** @param name as the user wrote it */
async function openRegular(path: string, name: string, mode: number): Promise<Output> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  const remove = () => unlink(temporary).catch(() => undefined);
  let handle: FileHandle;
  try {
    // Exclusive: in a folder that others can write to, a planted link is not followed.
    handle = await open(temporary, 'wx', PRIVATE);
  } catch (error) {
    throw cannotWrite(name, error);
  }
  try {
    // Whatever the umask says.
    if (mode !== PRIVATE) await handle.chmod(mode);
    await giveBack(handle, dirname(path));
    // A file system without a free block fails only at the write, after all the sampling.
    const space = await statfs(dirname(path));
    if (space.blocks > 0 && space.bavail === 0)
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
  } catch (error) {
    await handle.close();
    await remove();
    throw cannotWrite(name, error);
  }
  return {
    name,
    async write(pieces) {
      try {
        const size = await writeAll(handle, pieces);
        await rename(temporary, path);
        return size;
      } catch (error) {
        await remove();
        throw cannotWrite(name, error);
      }
    },
    async abandon() {
      await handle.close().catch(() => undefined);
      await remove();
    },
  };
}

/**
 * To the folder's owner when that is who called sudo, who could read it all the same: else
 * `sudo flametap record` would leave a file that `go tool pprof` cannot open.
 */
async function giveBack(handle: FileHandle, folder: string): Promise<void> {
  const { SUDO_UID: uid = '', SUDO_GID: gid = '' } = process.env;
  if (process.geteuid?.() !== 0 || !/^[1-9]\d{0,9}$/.test(uid) || !/^\d{1,10}$/.test(gid)) return;
  if ((await stat(folder)).uid === Number(uid)) await handle.chown(Number(uid), Number(gid));
}

/**
 * @param mode of the file, whatever one of that name had
 * @throws CommandError when the path cannot be written, as far as can be known now
 */
export async function openOutput(path: string, mode = PRIVATE): Promise<Output> {
  try {
    const found = await stat(path);
    if (found.isDirectory()) throw Object.assign(new Error('directory'), { code: 'EISDIR' });
    if (!found.isFile()) return await openSpecial(path);
    // Through a link, the file it points to is replaced, not the link.
    return await openRegular(await realpath(path), path, mode);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    if (errorCode(error) !== 'ENOENT') throw cannotWrite(path, error);
    return openRegular(path, path, mode);
  }
}

/** `-`: standard output. */
export function streamOutput(stream: Terminal): Output {
  return {
    name: 'standard output',
    async write(pieces) {
      let size = 0;
      try {
        for (const piece of pieces) {
          const data = typeof piece === 'string' ? Buffer.from(piece) : piece;
          await stream.write(data);
          size += data.length;
        }
        return size;
      } catch (error) {
        throw cannotWrite('standard output', error);
      }
    },
    async abandon() {},
  };
}
