/** What the kernel side is told of a process: where its threads carry context. */

/**
 * Where a thread-local variable lies: at a fixed distance from the thread
 * pointer, or in the block of a module that the thread's table of blocks (dtv) has.
 */
export interface TlsPlace {
  readonly kind: 'none' | 'static' | 'dynamic';
  /** From the thread pointer (signed), or in the module's block. */
  readonly offset: number;
  /** Number of the module, from 1; 0 unless dynamic. */
  readonly module: number;
  /** Bytes between two entries of the table: 16 in glibc, 8 in musl. */
  readonly dtvStep: number;
}
