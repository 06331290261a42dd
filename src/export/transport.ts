/** What a destination is to the queue and the sender; OTLP, Pyroscope and files implement it. */
import type { Profile } from '../profile/model.ts';
import type { Failure } from './fault.ts';

export type Outcome =
  /** Partial success when `rejected` > 0 (in the peer's own unit): never sent again. */
  | { readonly kind: 'delivered'; readonly rejected: number; readonly message: string }
  /** Worth another attempt, not before `afterMs` from now when the peer said so; with a fault, when it is mended. */
  | ({ readonly kind: 'retry'; readonly afterMs?: number } & Failure)
  /** This request can never be taken: dropped and counted. */
  | { readonly kind: 'refused'; readonly reason: string; readonly message: string }
  /** Split and sent again, dropped when it cannot be split. */
  | { readonly kind: 'too_large'; readonly message: string };

export interface Transport {
  /** Never rejects: network errors are outcomes. */
  send(request: Uint8Array, signal: AbortSignal): Promise<Outcome>;
  /** A file that the last attempt was made with (certificate, token) is another one now; undefined = it has none. */
  readonly hasNewFiles?: () => boolean;
  close(): void;
}

/** One configured destination. */
export interface Destination {
  /** Unique among the destinations; the queue's folder is named after it. */
  readonly name: string;
  readonly kind: 'otlp' | 'pyroscope' | 'files';
  /** Where requests really go, for people: a whole URL, host:port or a folder, without credentials. */
  readonly address: string;
  /**
   * A profile as requests, each within the destination's limits, each with its
   * own start time and profile_id; the same bytes for the same profile.
   */
  encode(profile: Profile): Iterable<Uint8Array>;
  /** Parts, in order, of a request that the peer found too large; undefined = cannot be split. */
  split(request: Uint8Array): readonly Uint8Array[] | undefined;
  readonly transport: Transport;
}
