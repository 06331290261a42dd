/** Why requests never arrived. Requests, not profiles: a large profile is several. */

export const DROP_REASONS = [
  /** The oldest gave way: the queue is at its limit of bytes. */
  'queue_full',
  /** It waited longer than the queue's limit of age. */
  'too_old',
  /** No room on the disk, and none left in memory. */
  'disk_full',
  /** The disk takes no writes any more, and there was no room left in memory. */
  'read_only',
  /** As above, by any other error of the disk. */
  'disk_error',
  /** On disk, but not as it was written. */
  'damaged',
  /** The peer refused it for good. */
  'refused',
  /** The peer found it too large, and it cannot be split. */
  'too_large',
  /** Not delivered within retry.max_elapsed. */
  'retries_exhausted',
  /** The profile could not be encoded. */
  'encoding',
  /** It came after close(). */
  'closed',
  /** It was in memory only when the agent stopped. */
  'shutdown',
] as const;

export type DropReason = (typeof DROP_REASONS)[number];

export class DropCounts {
  readonly #counts = new Map<DropReason, number>();

  add(reason: DropReason, count = 1): void {
    if (count > 0) this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + count);
  }

  /** Only reasons that occurred. */
  toRecord(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }
}
