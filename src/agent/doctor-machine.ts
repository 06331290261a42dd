/** What the doctor can learn of a machine, so that tests can describe another one. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

export interface Machine {
  readonly platform: string;
  readonly architecture: string;
  /** `v24.21.0` */
  readonly nodeVersion: string;
  /** Folder of this installation. */
  readonly installation: string;
  /** @returns text of a file, undefined when it is absent or not readable */
  read(path: string): string | undefined;
  /** @returns bytes of a file, undefined when it is absent or not readable */
  readBytes(path: string): Uint8Array | undefined;
  exists(path: string): boolean;
  /** @returns target of a symbolic link, undefined when it cannot be read */
  link(path: string): string | undefined;
  /** @returns names in a folder, empty when it cannot be read */
  list(path: string): readonly string[];
  /** Really samples for a moment. @returns '' when that works, else what went wrong */
  trySampling(): Promise<string>;
}

function attempt<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/**
 * @param installation folder of this installation
 * @param trySampling see Machine
 * @param root folder that stands for `/`: a test's picture of another machine
 */
export function thisMachine(
  installation: string,
  trySampling: () => Promise<string>,
  root = '/',
): Machine {
  return {
    platform: process.platform,
    architecture: process.arch,
    nodeVersion: process.version,
    installation,
    read: (path) => attempt(() => readFileSync(join(root, path), 'utf8')),
    readBytes: (path) => attempt(() => readFileSync(join(root, path))),
    exists: (path) => existsSync(join(root, path)),
    link: (path) => attempt(() => readlinkSync(join(root, path))),
    list: (path) => attempt(() => readdirSync(join(root, path))) ?? [],
    trySampling,
  };
}

/** @returns a number that stands alone in a file, undefined when there is none */
export function readNumber(machine: Machine, path: string): number | undefined {
  const text = machine.read(path)?.trim();
  return text !== undefined && /^-?\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** @returns [major, minor] of the running kernel, [0, 0] when it is not known */
export function kernelVersion(machine: Machine): readonly [number, number] {
  const match = /^(\d{1,4})\.(\d{1,4})/.exec(machine.read('/proc/sys/kernel/osrelease') ?? '');
  return match ? [Number(match[1]), Number(match[2])] : [0, 0];
}

export function kernelAtLeast(machine: Machine, major: number, minor: number): boolean {
  const [ours, oursMinor] = kernelVersion(machine);
  return ours > major || (ours === major && oursMinor >= minor);
}

/** Bit numbers of include/uapi/linux/capability.h. */
const CAPABILITIES = {
  DAC_READ_SEARCH: 2,
  SYS_PTRACE: 19,
  SYS_ADMIN: 21,
  SYS_RESOURCE: 24,
  SYSLOG: 34,
  PERFMON: 38,
  BPF: 39,
  CHECKPOINT_RESTORE: 40,
} as const;
export type Capability = keyof typeof CAPABILITIES;

/** @returns whether this process holds the capability now */
export function holds(machine: Machine, capability: Capability): boolean {
  const status = machine.read('/proc/self/status') ?? '';
  const effective = /^CapEff:\s*([0-9a-f]{1,16})$/m.exec(status)?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> BigInt(CAPABILITIES[capability])) & 1n) === 1n;
}
