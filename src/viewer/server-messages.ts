/** What the agent's main thread and the one that serves the page say to each other. */
import type { Verdict } from '../telemetry/health.ts';
import type { ConnectionDrops, ViewerOptions } from './server.ts';

/** What the main thread knows without being asked. */
export interface Heartbeat {
  readonly version: number;
  readonly live: Verdict;
  readonly ready: Verdict;
}

/** Of the thread, at its start. */
export interface ServerSettings
  extends Pick<ViewerOptions, 'listen' | 'token' | 'openMetrics' | 'page'> {
  readonly heartbeat: Heartbeat;
}

/** What is asked of the main thread. */
export type Question =
  | { readonly about: 'history'; readonly address: string }
  | { readonly about: 'status' }
  | { readonly about: 'metrics'; readonly drops: ConnectionDrops };

export type ToServer =
  | { readonly type: 'heartbeat'; readonly heartbeat: Heartbeat }
  /** Of the history a PackedAnswer, of the status what it is, of the metrics their text. */
  | { readonly type: 'answer'; readonly id: number; readonly answer: unknown }
  | {
      readonly type: 'failed';
      readonly id: number;
      readonly error: Error;
      /** Somebody can answer it later. */
      readonly isLater: boolean;
    };

export type FromServer =
  | { readonly type: 'listening'; readonly port: number; readonly url: string }
  | { readonly type: 'ask'; readonly id: number; readonly question: Question }
  /** A request failed, or connections cannot be accepted. */
  | { readonly type: 'error'; readonly error: Error };
