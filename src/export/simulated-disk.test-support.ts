/** A disk in memory that fills up, breaks, and stops at any write as a killed agent or a loss of power would. */
import type { QueueFolder } from './queue-folder.ts';

/** Where the simulated agent died; whatever it does afterwards has no effect. */
export class Died extends Error {}

interface File {
  data: Buffer;
  /** What fsync(2) was told of. */
  durable: Buffer;
}

const BLOCK = 16;

export class SimulatedDisk {
  names = new Map<string, File>();
  durableNames = new Map<string, File>();
  /** errno name that every change fails with. */
  failure: string | undefined;
  capacity = Number.POSITIVE_INFINITY;
  /** Changes until the agent dies. */
  fuse = Number.POSITIVE_INFINITY;
  /** Of the write that it dies in, how much arrives: 0 to 1. */
  torn = 0;
  changes = 0;
  syncs = 0;
  #generation = 0;

  /** The next agent; the one before can do nothing any more. */
  mount(): QueueFolder {
    this.fuse = Number.POSITIVE_INFINITY;
    return new SimulatedFolder(this, ++this.#generation);
  }

  /** What was not fsynced is there, or not, or in part. @param random in [0, 1) */
  losePower(random: () => number): void {
    // Names are journalled: they are changed in order, up to some point.
    if (random() < 0.5) this.names = new Map(this.durableNames);
    this.durableNames = new Map(this.names);
    for (const file of this.names.values()) {
      const { data, durable } = file;
      const size =
        random() < 0.5
          ? data.length
          : Math.min(durable.length, data.length) +
            Math.floor(random() * Math.max(0, data.length - durable.length));
      const kept = Buffer.alloc(size);
      durable.copy(kept);
      for (let at = 0; at < size; at += BLOCK) {
        if (random() < 0.7) data.copy(kept, at, at, Math.min(at + BLOCK, size));
      }
      file.data = kept;
      file.durable = Buffer.from(kept);
    }
  }

  get used(): number {
    return [...this.names.values()].reduce((sum, { data }) => sum + data.length, 0);
  }

  isAlive(generation: number): boolean {
    return generation === this.#generation && this.fuse > 0;
  }

  /** Before each change; true when the agent dies in it. */
  change(): boolean {
    this.changes++;
    this.fuse--;
    return this.fuse <= 0;
  }
}

class SimulatedFolder implements QueueFolder {
  readonly path = 'simulated';
  readonly #disk: SimulatedDisk;
  readonly #generation: number;
  readonly #open = new Map<number, File>();
  #descriptors = 100;

  constructor(disk: SimulatedDisk, generation: number) {
    this.#disk = disk;
    this.#generation = generation;
  }

  list(): string[] {
    this.#alive();
    return [...this.#disk.names.keys()];
  }

  create(name: string): number {
    if (this.#disk.names.has(name)) throw errno('EEXIST');
    this.#change();
    return this.#add(name);
  }

  open(name: string): number {
    this.#alive();
    const file = this.#disk.names.get(name);
    if (file !== undefined) return this.#describe(file);
    this.#change();
    return this.#add(name);
  }

  size(file: number): number {
    return this.#file(file).data.length;
  }

  read(file: number, into: Uint8Array, position: number): number {
    const { data } = this.#file(file);
    const found = data.subarray(position, position + into.length);
    into.set(found);
    return found.length;
  }

  write(file: number, bytes: Uint8Array, position: number): number {
    const target = this.#file(file);
    const dies = this.#disk.change();
    if (this.#disk.failure !== undefined && !dies) throw errno(this.#disk.failure);
    const room = this.#disk.capacity - (this.#disk.used - target.data.length) - position;
    let count = Math.max(0, Math.min(bytes.length, room));
    if (dies) count = Math.floor(count * this.#disk.torn);
    const data = Buffer.alloc(Math.max(target.data.length, count > 0 ? position + count : 0));
    target.data.copy(data);
    data.set(bytes.subarray(0, count), position);
    target.data = data;
    if (dies) throw new Died();
    if (count === 0) throw errno('ENOSPC');
    return count;
  }

  truncate(file: number, size: number): void {
    this.#change();
    const target = this.#file(file, true);
    target.data = Buffer.from(target.data.subarray(0, size));
  }

  remove(name: string): void {
    this.#change();
    if (!this.#disk.names.delete(name)) throw errno('ENOENT');
  }

  sync(file: number): void {
    this.#change();
    this.#disk.syncs++;
    const target = this.#file(file, true);
    target.durable = Buffer.from(target.data);
  }

  syncNames(): void {
    this.#change();
    this.#disk.syncs++;
    this.#disk.durableNames = new Map(this.#disk.names);
  }

  syncLater(file: number, done: (error?: Error) => void): void {
    this.#later(() => this.sync(file), done);
  }

  syncNamesLater(done: (error?: Error) => void): void {
    this.#later(() => this.syncNames(), done);
  }

  closeFile(file: number): void {
    this.#open.delete(file);
  }

  close(): void {}

  #later(work: () => void, done: (error?: Error) => void): void {
    setImmediate(() => {
      try {
        work();
      } catch (cause) {
        done(cause as Error);
        return;
      }
      done();
    });
  }

  #alive(): void {
    if (!this.#disk.isAlive(this.#generation)) throw new Died();
  }

  #change(): void {
    this.#alive();
    if (this.#disk.change()) throw new Died();
    if (this.#disk.failure !== undefined) throw errno(this.#disk.failure);
  }

  #add(name: string): number {
    const file = { data: Buffer.alloc(0), durable: Buffer.alloc(0) };
    this.#disk.names.set(name, file);
    return this.#describe(file);
  }

  #describe(file: File): number {
    this.#open.set(++this.#descriptors, file);
    return this.#descriptors;
  }

  #file(descriptor: number, isDying = false): File {
    if (!isDying) this.#alive();
    const file = this.#open.get(descriptor);
    if (file === undefined) throw errno('EBADF');
    return file;
  }
}

function errno(code: string): Error {
  return Object.assign(new Error(code), { code });
}
