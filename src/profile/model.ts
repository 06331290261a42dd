/**
 * The profile as plain data: what aggregation produces and every encoder,
 * store and view reads. Tables are interned: equal things have equal indices.
 */
import type { BootTime, Nanoseconds, UnixTime } from '../units/units.ts';

/**
 * Who runs a frame's code, by OpenTelemetry's `profile.frame.type` values, plus
 * `jit` (code generated at run time whose language is not known) and `marker`
 * (not code: says why a stack is not whole).
 */
export type FrameType =
  | 'native'
  | 'kernel'
  | 'go'
  | 'rust'
  | 'v8js'
  | 'jvm'
  | 'cpython'
  | 'jit'
  | 'marker';

/** A mapped binary. Index 0 of `Profile.mappings` is "none". */
export interface Mapping {
  /** First address of its code, as `Location.address` counts; 0 with end 0 = not known. */
  readonly start: number;
  /** After its last. */
  readonly end: number;
  /** Of the byte at `start`. */
  readonly fileOffset: number;
  /** Path as the process sees it, or `[kernel]`, `[vdso]`, `[anon]`. */
  readonly file: string;
  /** GNU build id, lower-case hex, '' when the file has none. */
  readonly buildId: string;
  /** Go build id, '' when the file has none. */
  readonly goBuildId: string;
  /** OpenTelemetry's id of any file (see src/elf/htlhash.ts); '' or not there = no file, or not read. */
  readonly htlHash?: string;
}

/** One function activation at one location; several when calls were inlined. */
export interface Line {
  /** Index into `Profile.functions`. */
  readonly function: number;
  /** 1-based, 0 = not known. */
  readonly line: number;
  readonly column: number;
}

export interface FunctionName {
  /** As shown: demangled, whole. */
  readonly name: string;
  /** For narrow places: without parameters, template arguments folded; `name` where there are none. */
  readonly shortName: string;
  /** As the linker knows it. */
  readonly systemName: string;
  /** Source file, '' = not known. */
  readonly file: string;
  /** First line of the function, 0 = not known. */
  readonly startLine: number;
  /** `name` says where the function is (`module+0x1234`) or why it has no name: it counts as unnamed. */
  readonly unnamed: boolean;
}

export interface Location {
  /** Index into `Profile.mappings`. */
  readonly mapping: number;
  /** ELF virtual address for files, process or kernel address (low 52 bits) otherwise; 0 = not known, or not told (address-layout.ts). */
  readonly address: number;
  readonly type: FrameType;
  /** Innermost inlined call first, the enclosing function last; empty = no name found. */
  readonly lines: readonly Line[];
}

export interface Process {
  /** Host pid. */
  readonly pid: number;
  /** Comm of the thread-group leader, cleaned to valid text. */
  readonly name: string;
  /** Path of the executable, '' = not known. */
  readonly executable: string;
  /** With `execId` tells instances of one pid apart; 0 = not known. */
  readonly startNs: BootTime;
  readonly execId: number;
  /** What it states of itself as OpenTelemetry's resource attributes (`service.name`, …), sorted by key; not there = nothing. */
  readonly resource?: readonly Label[];
}

/** What became of every sample; all counts are samples unless said otherwise. */
export interface Tally {
  /** Ticks in scope, with those that never reached the sampler where they are known. taken = exported + sum of lost. */
  readonly taken: number;
  /** Samples that are in the profile. */
  readonly exported: number;
  /** Samples that are not, by reason. */
  readonly lost: Readonly<Record<string, number>>;
  /** Exported samples whose user stack does not reach its root, by reason. */
  readonly truncated: Readonly<Record<string, number>>;
  /** Exported samples that were unwound in user space, by the reason why. */
  readonly deferred: Readonly<Record<string, number>>;
  /** Exported samples that lack labels they should have, by reason. */
  readonly labelsLost: Readonly<Record<string, number>>;
  /** Frames (weighted by samples) with and without a name. */
  readonly framesNamed: number;
  readonly framesUnnamed: number;
  /** Process events (exec, exit, fork, mapping) lost, by reason. */
  readonly eventsLost: Readonly<Record<string, number>>;
  /** What was refused of the files that names and unwinding rules come from, by reason; no samples. */
  readonly problems: Readonly<Record<string, number>>;
  /** What was unusual about the time of the profile, in milliseconds, by reason: CPU time without samples, suspension, the clock set. */
  readonly timingMs: Readonly<Record<string, number>>;
}

/**
 * Samples as columns; row i of every column belongs to sample i. Rows are
 * unique in (process, thread, stack, labels).
 */
export interface SampleColumns {
  readonly length: number;
  /** Index into `Profile.processes`. */
  readonly process: Uint32Array;
  /** Index into `Profile.threads`; 0 = '' when threads are not told apart. */
  readonly thread: Uint32Array;
  /** Index into `Profile.stacks`. */
  readonly stack: Uint32Array;
  readonly count: Uint32Array;
  /** Index into `Profile.labelSets`; 0 = no labels. */
  readonly labels: Uint32Array;
}

/** Keys of the labels of requests, whose values are lower-case hex. */
export const TRACE_ID = 'trace_id';
export const SPAN_ID = 'span_id';

/** Of goroutines: see goroutine-labels.ts. Of requests: TRACE_ID and SPAN_ID. */
export interface Label {
  readonly key: string;
  readonly value: string;
}

export interface Profile {
  readonly startTime: UnixTime;
  readonly duration: Nanoseconds;
  /** CPU time that one sample stands for. */
  readonly period: Nanoseconds;
  readonly mappings: readonly Mapping[];
  readonly functions: readonly FunctionName[];
  readonly locations: readonly Location[];
  /** Location indices, leaf first (kernel frames before user frames); a marker comes last. */
  readonly stacks: readonly Uint32Array[];
  readonly processes: readonly Process[];
  /** Thread names; [0] = ''. */
  readonly threads: readonly string[];
  /** [0] = no labels. */
  readonly labelSets: readonly (readonly Label[])[];
  readonly samples: SampleColumns;
  readonly tally: Tally;
  /** Host the profile was taken on, '' = not known. */
  readonly host: string;
}
