/** By what a file is known again. */
import type { FileState } from './file-access.ts';

export interface FileIdentity {
  readonly state: FileState;
  /** A hash of its head and its tail. */
  readonly edges: string;
  /** Then the head tells builds apart, elsewhere not: equal ends were seen of different programs. */
  readonly hasBuildId: boolean;
}

/** Whether nothing was written, removed or renamed between two looks. */
export const hasSameTimes = (a: FileState, b: FileState): boolean =>
  a.size === b.size && a.modifiedNs === b.modifiedNs && a.changedNs === b.changedNs;

/**
 * Whether the contents are the same, as far as can be told without reading them. A
 * package manager that removes the old file changes its ctime; touch(1) its mtime too.
 */
export function isSameFile(a: FileIdentity, b: FileIdentity): boolean {
  if (a.state.device !== b.state.device || a.state.inode !== b.state.inode) return false;
  if (hasSameTimes(a.state, b.state)) return true;
  if (a.state.size !== b.state.size || a.edges !== b.edges) return false;
  return a.hasBuildId || a.state.modifiedNs === b.state.modifiedNs;
}
