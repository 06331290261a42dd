/** Where the debug information of a file comes from, and what belongs to it. */
import type { ByteSource } from '../source.ts';

/** Uncompressed sections by name: '.debug_info', in split files '.debug_info.dwo'. */
export interface DebugSections {
  section(name: string): ByteSource | undefined;
}

/** Other files that the debug information refers to; each is asked for at most once per unit. */
export interface DebugCompanions {
  /** The file of .gnu_debugaltlink (dwz) or .debug_sup. */
  supplement(): DebugSections | undefined;
  /** The .dwo of a skeleton unit. */
  split(unit: SplitUnit): DebugSections | undefined;
  /** The .dwp beside the binary. */
  package(): DebugSections | undefined;
}

export interface SplitUnit {
  readonly name: string;
  readonly compilationDirectory: string;
  /** 0 when the skeleton has none. */
  readonly id: bigint;
}
