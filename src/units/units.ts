/**
 * Units and identities as types. A branded number is a plain number at run
 * time and cannot take another one's place at compile time.
 */

declare const brand: unique symbol;
type Branded<Base, Name extends string> = Base & { readonly [brand]: Name };

/** A span of time in nanoseconds. */
export type Nanoseconds = Branded<number, 'Nanoseconds'>;
/** CLOCK_MONOTONIC in nanoseconds since boot: to measure by; off by 2 ns after 104 days of uptime, 8 ns after 2 years. */
export type MonotonicTime = Branded<number, 'MonotonicTime'>;
/**
 * A process's start in nanoseconds of CLOCK_BOOTTIME. Part of an identity, which the kernel
 * side compares bit by bit: never a double, which is exact for 104 days only.
 */
export type BootTime = Branded<bigint, 'BootTime'>;
/** Number of a file in its file system; XFS and overlays use all 64 bits. */
export type InodeNumber = Branded<bigint, 'InodeNumber'>;
/** Hash of what a file is known by; 48 bits. */
export type FileKey = Branded<number, 'FileKey'>;
/** Wall-clock nanoseconds since 1970. */
export type UnixTime = Branded<bigint, 'UnixTime'>;
/** Process id in the initial pid namespace. */
export type HostPid = Branded<number, 'HostPid'>;
/** Process id as the process itself sees it. */
export type NamespacePid = Branded<number, 'NamespacePid'>;
/** Byte position in a file. */
export type FileOffset = Branded<number, 'FileOffset'>;
/** Address as the ELF file states it, before it is placed in a process. */
export type VirtualAddress = Branded<number, 'VirtualAddress'>;
/** Address in a running process; below 2^47 (2^56 with 5-level paging is cut to exact 2^53). */
export type ProcessAddress = Branded<number, 'ProcessAddress'>;
/** Offset from the lowest executable virtual address of a file; below 2^32. */
export type TextOffset = Branded<number, 'TextOffset'>;
/** Kernel address without its upper 12 bits, which are all ones. Exact in a number. */
export type KernelAddress = Branded<number, 'KernelAddress'>;
/** A count of bytes. */
export type Bytes = Branded<number, 'Bytes'>;

export const fileKey = (value: number): FileKey => value as FileKey;
export const nanoseconds = (value: number): Nanoseconds => value as Nanoseconds;
export const monotonicTime = (value: number): MonotonicTime => value as MonotonicTime;
export const bootTime = (value: bigint): BootTime => value as BootTime;
export const inodeNumber = (value: bigint): InodeNumber => value as InodeNumber;
export const unixTime = (value: bigint): UnixTime => value as UnixTime;
export const hostPid = (value: number): HostPid => value as HostPid;
export const namespacePid = (value: number): NamespacePid => value as NamespacePid;
export const fileOffset = (value: number): FileOffset => value as FileOffset;
export const virtualAddress = (value: number): VirtualAddress => value as VirtualAddress;
export const processAddress = (value: number): ProcessAddress => value as ProcessAddress;
export const textOffset = (value: number): TextOffset => value as TextOffset;
export const kernelAddress = (value: number): KernelAddress => value as KernelAddress;
export const bytes = (value: number): Bytes => value as Bytes;
