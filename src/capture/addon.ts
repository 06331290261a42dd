/** The one module that loads the native addon, and its types. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** Options of a `NativeSampler`. */
export interface NativeSamplerOptions {
  /** Path of the compiled BPF object. */
  readonly object: string;
  /** Possible CPUs: each gets a ring when it is first watched. */
  readonly cpus: number;
  /** Bytes of each ring, a power of two of at least a page. */
  readonly ringBytes: number;
  /** Read-only variables of the object by name, as their bytes. */
  readonly config: Readonly<Record<string, Uint8Array>>;
  /** Sizes of maps by name. */
  readonly entries: Readonly<Record<string, number>>;
}

export interface RunStats {
  readonly program: string;
  readonly runs: number;
  readonly nanoseconds: number;
}

/**
 * The loaded BPF object. Errors carry `code` (errno name) and, when loading
 * failed, the end of the verifier's log in their message.
 */
export interface NativeSampler {
  /** Attaches a program that not every kernel can have. */
  attach(program: string): void;
  /** Samples a CPU and reports its new mappings. */
  watch(cpu: number, hz: number): void;
  unwatch(cpu: number): void;
  /**
   * [enabled, counted], nanoseconds since `watch()`: how long the kernel has kept the CPU's
   * event, and the part of it in which its timer ran. Undefined when the event is in error.
   */
  eventTimes(cpu: number): BigUint64Array | undefined;
  /** Whole records (bpf/record.h), each padded to 8 bytes; returns bytes written. */
  drain(into: Uint8Array): number;
  /** Whole perf records of new mappings; returns bytes written. */
  drainSideband(into: Uint8Array): number;
  /** Sums over CPUs in the order of `COUNTERS`. */
  counters(): Float64Array;
  mapDescriptor(name: string): number;
  /** Makes the kernel count run time, until it is disabled or as long as this object lives. */
  enableRunStats(): void;
  disableRunStats(): void;
  runStats(): RunStats[];
  /** Bytes that the kernel holds for maps and rings. */
  mapMemory(): number;
  /** Calls back when a ring has passed its watermark or a sample was deferred. */
  onReadable(callback: () => void): void;
  close(): void;
}

/**
 * System calls that a dead file system or a stuck process could hold up for ever:
 * none takes longer than a limit. One that does fails with `code` ETIMEDOUT and goes
 * on by itself; `call` of the error is its number. Descriptors that nobody has closed
 * are closed when the thread ends.
 */
export interface NativeBoundedCalls {
  /** Milliseconds of the next call; with 0 it fails with EBUSY unless it needs no helper. */
  limit: number;
  /**
   * A regular file, none of the kernel's own file systems; a place in the file system
   * without the right to read there (O_PATH); a file of /proc.
   * @param root a directory that is open: the path lies below it, and links are kept inside.
   *   Of regular files only
   */
  open(path: string, kind: 'regular' | 'directory' | 'process', root?: number): number;
  /**
   * Device, inode, times of change and of modification (nanoseconds), size, owner, mode, names;
   * without asking a server that has said it before.
   */
  state(fd: number): BigUint64Array;
  /** Bytes read, fewer only at the end of the file. */
  read(fd: number, into: Uint8Array, position: number): number;
  /** Bytes read from the memory of another process. */
  readMemory(pid: number, address: number, into: Uint8Array): number;
  close(fd: number): void;
  /** Whether a call that was not waited for has come to its end. */
  isOver(call: number): boolean;
  /** Nanoseconds that helper threads have taken for calls, which this thread has not. */
  cpuTime(): number;
}

export interface Addon {
  Sampler: new (options: NativeSamplerOptions) => NativeSampler;
  /** [monotonic, real, boot, monotonic again] in nanoseconds, read one after the other. */
  clocks(): BigUint64Array;
  BoundedCalls: new () => NativeBoundedCalls;
  mapUpdate(fd: number, key: Uint8Array, value: Uint8Array): void;
  /** False when there was no such key. */
  mapDelete(fd: number, key: Uint8Array): boolean;
  /** Removes every element of a hash map. */
  mapClear(fd: number): void;
  /** Keys and values of a hash map in turns, as they are now, in no order. */
  mapEntries(fd: number): Uint8Array;
  /** Writes into an array map that user space may map. */
  arrayWrite(fd: number, byteOffset: number, data: Uint8Array): void;
  /** Ends the process after that time, whatever its threads are at. */
  exitWithin(milliseconds: number, code: number): void;
  /** False when another process has the lock; it lasts until the descriptor is closed. */
  lockFile(fd: number): boolean;
  /** Gives an unnamed file a name that is free. */
  linkFile(fd: number, path: string): void;
  /** Demangled C++, Rust or D name; undefined when it is none. */
  demangle(name: string): string | undefined;
  /** Gives memory back to the system that the C library keeps for later; about 1 ms. */
  releaseMemory(): void;
}

/** Where the build puts the addon and the BPF object. */
export interface NativeFiles {
  readonly addon: string;
  readonly object: string;
}

/** Finds the build folder from a source file and from the bundle: both are one level below the root or two. */
export function nativeFiles(): NativeFiles {
  // By the ending: the checkout itself may lie below a folder called src.
  const root = import.meta.url.endsWith('.ts') ? '../../build/' : '../build/';
  const folder = fileURLToPath(new URL(root, import.meta.url));
  return { addon: `${folder}flametap.node`, object: `${folder}flametap.bpf.o` };
}

/** @throws Error when the addon was not built for this machine. */
export function loadAddon(path: string = nativeFiles().addon): Addon {
  try {
    return createRequire(import.meta.url)(path) as Addon;
  } catch (cause) {
    throw new Error(`cannot load the native addon ${path}; build it with: npm run build`, {
      cause,
    });
  }
}
