/**
 * A folder that holds the newest profiles, within a number of bytes and an age.
 * Whatever else is in it is left alone and does not count.
 */
import { chmod, lstat, mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type FileFormat, fileName, isTemporary, startOf, temporaryName } from './file-name.ts';

export interface FolderLimits {
  /** Of the files; those who may read them may also look into a folder that is made for them. */
  readonly mode?: number;
  /** Of all files of ours together; Infinity = none. */
  readonly maxBytes: number;
  /** Since the start of a profile; Infinity = none. */
  readonly maxAgeMs: number;
}

/** No profile larger than the folder may ever be. */
export class TooLargeError extends Error {
  override readonly name = 'TooLargeError';
}

interface KeptFile {
  readonly name: string;
  readonly startMs: number;
  readonly bytes: number;
}

/** Profiles tell the names of programs and where their code lies. */
export const PRIVATE = 0o600;

/** Writing takes seconds; what is older was left by an agent that was killed. */
const ABANDONED_MS = 600_000;
const MAX_REPETITIONS = 1000;

export class ProfileFolder {
  readonly #directory: string;
  readonly #limits: FolderLimits;
  readonly #now: () => number;
  readonly #mode: number;
  /** One file after the other, so that two cannot take the same name or room. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param now milliseconds since 1970 */
  constructor(directory: string, limits: FolderLimits, now: () => number) {
    this.#directory = directory;
    this.#limits = limits;
    this.#now = now;
    this.#mode = limits.mode ?? PRIVATE;
  }

  /**
   * Once it resolves, the file is whole and on the disk, also after a power cut.
   * A file with the same content and start stays as it is.
   * @throws TooLargeError, or the system's error
   */
  add(content: Uint8Array, startMs: number, format: FileFormat): Promise<void> {
    const added = this.#last.then(() => this.#add(content, startMs, format));
    this.#last = added.catch(() => undefined);
    return added;
  }

  async #add(content: Uint8Array, startMs: number, format: FileFormat): Promise<void> {
    if (content.length > this.#limits.maxBytes)
      throw new TooLargeError(
        `${content.length} bytes, but the folder may hold ${this.#limits.maxBytes}`,
      );
    await makeFolder(this.#directory, this.#mode);
    const name = await this.#freeName(content, startMs, format);
    if (name !== undefined) {
      await this.#makeRoom(content.length);
      await this.#write(name, content);
    }
    await syncFolder(this.#directory);
  }

  /** Undefined when the file is already there. */
  async #freeName(
    content: Uint8Array,
    startMs: number,
    format: FileFormat,
  ): Promise<string | undefined> {
    for (let repetition = 0; repetition < MAX_REPETITIONS; repetition++) {
      const name = fileName(startMs, format, repetition);
      const found = await sizeOf(join(this.#directory, name));
      if (found === undefined) return name;
      if (found !== content.length) continue;
      const known = await readFile(join(this.#directory, name));
      if (known.equals(content)) return undefined;
    }
    throw new Error(`${MAX_REPETITIONS} files of one start`);
  }

  /** Removes the oldest. */
  async #makeRoom(bytes: number): Promise<void> {
    const { maxBytes, maxAgeMs } = this.#limits;
    const files = await this.#files();
    let total = files.reduce((sum, file) => sum + file.bytes, bytes);
    for (const { name, startMs, bytes: size } of files) {
      if (total <= maxBytes && this.#now() - startMs <= maxAgeMs) return;
      await removeFile(join(this.#directory, name));
      total -= size;
    }
  }

  /** Ours, oldest first; leftovers of killed agents are removed on the way. */
  async #files(): Promise<readonly KeptFile[]> {
    const files: KeptFile[] = [];
    for (const entry of await readdir(this.#directory, { withFileTypes: true })) {
      const { name } = entry;
      const startMs = startOf(name);
      if (!entry.isFile() || (startMs === undefined && !isTemporary(name))) continue;
      const found = await statOf(join(this.#directory, name));
      if (found === undefined) continue;
      if (startMs !== undefined) files.push({ name, startMs, bytes: found.size });
      else if (this.#now() - found.mtimeMs > ABANDONED_MS)
        await removeFile(join(this.#directory, name));
    }
    return files.sort((a, b) => a.startMs - b.startMs || (a.name < b.name ? -1 : 1));
  }

  async #write(name: string, content: Uint8Array): Promise<void> {
    const temporary = join(this.#directory, temporaryName(name, process.pid));
    // Left by a killed agent with the same pid, as in a container.
    await removeFile(temporary);
    // Exclusive: in a folder that others can write to, a planted link is not followed.
    const handle = await open(temporary, 'wx', PRIVATE);
    try {
      try {
        // Whatever the umask says.
        if (this.#mode !== PRIVATE) await handle.chmod(this.#mode);
        await handle.writeFile(content);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, join(this.#directory, name));
    } catch (error) {
      await removeFile(temporary).catch(() => undefined);
      throw error;
    }
  }
}

/**
 * With those above it, each on the disk when it returns; what is there already stays as it is. Node's own
 * `recursive` never ends where nothing can be made, as in /proc.
 * @param mode of the files: a folder is entered by those who may read them
 */
export async function makeFolder(path: string, mode = PRIVATE): Promise<void> {
  try {
    await makeOne(path, mode);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeFolder(dirname(path), mode);
    await makeOne(path, mode);
  }
}

async function makeOne(path: string, mode: number): Promise<void> {
  await mkdir(path, 0o700);
  if (mode !== PRIVATE) await chmod(path, 0o700 | ((mode & 0o444) >> 2) | (mode & 0o077));
  await syncFolder(dirname(path));
}

/** Makes a rename in the folder last. */
async function syncFolder(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function statOf(path: string): Promise<{ size: number; mtimeMs: number } | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await statOf(path))?.size;
}

async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
