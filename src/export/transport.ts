/** What a destination is to the queue and the sender; OTLP, Pyroscope and files implement it. */
import type { Profile } from '../profile/model.ts';

export type Outcome =
  /** Partial success when `rejected` > 0 (in the peer's own unit): never sent again. */
  | { readonly kind: 'delivered'; readonly rejected: number; readonly message: string }
  /** Worth another attempt, not before `afterMs` from now when the peer said so. */
  | { readonly kind: 'retry'; readonly reason: string; readonly afterMs?: number }
  /** For good: dropped and counted. */
  | { readonly kind: 'refused'; readonly reason: string; readonly message: string }
  /** Split and sent again, dropped when it cannot be split. */
  | { readonly kind: 'too_large'; readonly message: string };

export interface Transport {
  /** Never rejects: network errors are outcomes. */
  send(request: Uint8Array, signal: AbortSignal): Promise<Outcome>;
  close(): void;
}

/** One configured destination. */
export interface Destination {
  /** Unique among the destinations; the queue's folder is named after it. */
  readonly name: string;
  readonly kind: 'otlp' | 'pyroscope' | 'files';
  /**
   * A profile as requests, each within the destination's limits, each with its
   * own start time and profile_id; the same bytes for the same profile.
   */
  encode(profile: Profile): Iterable<Uint8Array>;
  /** Parts, in order, of a request that the peer found too large; undefined = cannot be split. */
  split(request: Uint8Array): readonly Uint8Array[] | undefined;
  readonly transport: Transport;
}
