/**
 * The folder of one queue: the few calls to the file system that a queue makes.
 * Tests put another in its place, which stops after any of them.
 */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { loadAddon } from '../capture/addon.ts';

/** Names are of files in the folder. Every call may throw an errno error. */
export interface QueueFolder {
  /** For messages. */
  readonly path: string;
  list(): string[];
  /** A new file. @throws EEXIST */
  create(name: string): number;
  /** For reading and writing; made when it is not there. */
  open(name: string): number;
  size(file: number): number;
  /** @returns how many bytes were read, fewer than asked for at the end only */
  read(file: number, into: Uint8Array, position: number): number;
  /** @returns how many bytes were written, fewer than given when the disk fills up */
  write(file: number, bytes: Uint8Array, position: number): number;
  truncate(file: number, size: number): void;
  remove(name: string): void;
  /** Returns when what was written is on the disk. */
  sync(file: number): void;
  /** Returns when files made and removed are so on the disk. */
  syncNames(): void;
  /** As sync() and syncNames(), without waiting: for those who must not be held up. */
  syncLater(file: number, done: (error?: Error) => void): void;
  syncNamesLater(done: (error?: Error) => void): void;
  closeFile(file: number): void;
  /** Gives the folder to others. */
  close(): void;
}

/** The folder cannot be used; the message says why, for people. */
export class FolderRefused extends Error {}

const LOCK = 'lock';
const WRITABLE_BY_OTHERS = 0o022;
const WORLD_WRITABLE = 0o002;
const STICKY = 0o1000;

/** A file name made of any destination's name: no separators, not hidden. */
export function folderName(destination: string): string {
  const safe = encodeURIComponent(destination).replace(/^\./, '%2E').slice(0, 200);
  return safe === '' ? '%' : safe;
}

/**
 * Makes the folder where it is not there, and takes it for this process alone.
 * @throws FolderRefused
 */
export function openQueueFolder(path: string): QueueFolder {
  let descriptor = -1;
  try {
    makeFolder(path);
    const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
    descriptor = openSync(path, flags);
    refuseForeign(path, descriptor);
    return new DiskFolder(path, descriptor);
  } catch (cause) {
    if (descriptor >= 0) closeSync(descriptor);
    if (cause instanceof FolderRefused) throw cause;
    throw new FolderRefused(`cannot use ${path}: ${(cause as Error).message}`, { cause });
  }
}

/** Not by the option `recursive`, which tries for ever where mkdir(2) says ENOENT, as in /proc. */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
    syncFolder(dirname(path));
  } catch (cause) {
    // Another agent may have been faster.
    if (!existsSync(path)) throw cause;
  }
}

/** What is synced into a folder is lost with the folder, unless that is on the disk, too. */
function syncFolder(path: string): void {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Who can write to a queue can make us send anything, or fill the backend with old profiles. */
function refuseForeign(path: string, descriptor: number): void {
  const own = process.geteuid!();
  const { uid, mode } = fstatSync(descriptor);
  if (uid !== own) throw new FolderRefused(`${path} belongs to user ${uid}, not to ${own}`);
  if ((mode & WRITABLE_BY_OTHERS) !== 0) throw new FolderRefused(`others can write to ${path}`);
  const parent = dirname(path);
  const { uid: parentUid, mode: parentMode } = statSync(parent);
  if (parentUid !== own && parentUid !== 0) {
    throw new FolderRefused(`${parent} belongs to user ${parentUid}, who can replace ${path}`);
  }
  // By group is usual for volumes in Kubernetes, which belong to root.
  if ((parentMode & WORLD_WRITABLE) !== 0 && (parentMode & STICKY) === 0) {
    throw new FolderRefused(`anybody can write to ${parent} and replace ${path}`);
  }
}

class DiskFolder implements QueueFolder {
  readonly path: string;
  readonly #descriptor: number;
  readonly #lock: number;

  /** @throws FolderRefused when another process has it */
  constructor(path: string, descriptor: number) {
    this.path = path;
    this.#descriptor = descriptor;
    this.#lock = this.open(LOCK);
    try {
      if (!loadAddon().lockFile(this.#lock)) throw new FolderRefused(this.#holder());
      this.truncate(this.#lock, 0);
      this.write(this.#lock, Buffer.from(`${process.pid}\n`), 0);
    } catch (cause) {
      closeSync(this.#lock);
      throw cause;
    }
  }

  list(): string[] {
    return readdirSync(this.#at('')).filter((name) => name !== LOCK);
  }

  create(name: string): number {
    const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    return openSync(this.#at(name), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  }

  open(name: string): number {
    const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
    const file = openSync(this.#at(name), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
    if (fstatSync(file).isFile()) return file;
    closeSync(file);
    throw new Error(`${join(this.path, name)} is not a regular file`);
  }

  size(file: number): number {
    return fstatSync(file).size;
  }

  read(file: number, into: Uint8Array, position: number): number {
    let done = 0;
    while (done < into.length) {
      const count = readSync(file, into, done, into.length - done, position + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  write(file: number, bytes: Uint8Array, position: number): number {
    return writeSync(file, bytes, 0, bytes.length, position);
  }

  truncate(file: number, size: number): void {
    ftruncateSync(file, size);
  }

  remove(name: string): void {
    unlinkSync(this.#at(name));
  }

  sync(file: number): void {
    fsyncSync(file);
  }

  syncNames(): void {
    fsyncSync(this.#descriptor);
  }

  syncLater(file: number, done: (error?: Error) => void): void {
    fsync(file, (error) => done(error ?? undefined));
  }

  syncNamesLater(done: (error?: Error) => void): void {
    this.syncLater(this.#descriptor, done);
  }

  closeFile(file: number): void {
    closeSync(file);
  }

  close(): void {
    closeSync(this.#lock);
    closeSync(this.#descriptor);
  }

  /** Through the descriptor: whoever moves or replaces the folder does not lead us elsewhere. */
  #at(name: string): string {
    return `/proc/self/fd/${this.#descriptor}/${name}`;
  }

  #holder(): string {
    const pid = /^\d+/.exec(readFileSync(this.#at(LOCK), 'latin1'))?.[0];
    const who = pid === undefined ? 'another agent' : `another agent (process ${pid})`;
    return `${this.path} is in use by ${who}`;
  }
}
