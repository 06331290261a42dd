/** What the agent's main thread and the one that keeps the history say to each other. */
import type { OutgoingHttpHeaders } from 'node:http';
import type { Profile } from '../profile/model.ts';
import type { StoreOptions } from './store.ts';

export type Limits = Pick<StoreOptions, 'maxBytes' | 'retentionMs'>;

export type ToHistory =
  | { readonly type: 'add'; readonly profile: Profile }
  | { readonly type: 'limit'; readonly limits: Limits }
  | { readonly type: 'ask'; readonly id: number; readonly address: string };

export type FromHistory =
  /** A profile has been taken in. */
  | { readonly type: 'added' }
  | {
      readonly type: 'answer';
      readonly id: number;
      readonly answer: PackedAnswer;
    }
  /** The question is answered by nobody: a mistake of ours. */
  | { readonly type: 'failed'; readonly id: number; readonly reason: string };

/** An answer whose body is bytes, compressed where that helps. */
export interface PackedAnswer {
  readonly status: number;
  readonly type: string;
  readonly headers: OutgoingHttpHeaders;
  readonly body: Uint8Array<ArrayBuffer>;
  /** The body is gzip of what is meant. */
  readonly isPacked: boolean;
}
