/** A destination that answers as the test says, and the exporter before it. */
import assert from 'node:assert/strict';
import type { Profile } from '../profile/model.ts';
import {
  Exporter,
  type ExporterHost,
  type ExporterSettings,
  type ExporterStats,
} from './exporter.ts';
import type { Destination, Outcome } from './transport.ts';

export const DELIVERED: Outcome = { kind: 'delivered', rejected: 0, message: '' };
export const DOWN: Outcome = { kind: 'retry', reason: 'connection refused' };

type Answer = Outcome | Promise<Outcome> | 'hangs';

/** As a profile: what encode() makes of it. */
export const profileOf = (...requests: string[]): Profile => requests as unknown as Profile;

export class Backend implements Destination {
  readonly name: string;
  readonly kind = 'otlp';
  readonly address = 'http://backend:4318/v1development/profiles';
  /** Requests that were delivered, in order, repeats included. */
  readonly received: string[] = [];
  /** Every request that was sent. */
  readonly attempts: string[] = [];
  readonly aborted: string[] = [];
  answer: (request: string) => Answer = () => DELIVERED;
  isClosed = false;

  constructor(name = 'test') {
    this.name = name;
  }

  *encode(profile: Profile): Iterable<Uint8Array> {
    for (const request of profile as unknown as string[]) {
      if (request === 'cannot be encoded') throw new Error(request);
      yield Buffer.from(request);
    }
  }

  /** Words are what cannot be split. */
  split(request: Uint8Array): readonly Uint8Array[] | undefined {
    const words = Buffer.from(request).toString().split(' ');
    if (words.length < 2) return undefined;
    const middle = words.length >> 1;
    return [words.slice(0, middle), words.slice(middle)].map((half) => Buffer.from(half.join(' ')));
  }

  readonly transport = {
    send: async (bytes: Uint8Array, signal: AbortSignal): Promise<Outcome> => {
      const request = Buffer.from(bytes).toString();
      this.attempts.push(request);
      signal.addEventListener('abort', () => this.aborted.push(request));
      const answer = this.answer(request);
      const outcome = answer === 'hangs' ? await new Promise<Outcome>(() => {}) : await answer;
      if (outcome.kind === 'delivered' && !signal.aborted) this.received.push(request);
      return outcome;
    },
    close: (): void => {
      this.isClosed = true;
    },
  };
}

export const SETTINGS: ExporterSettings = {
  queue: { directory: '/queues', maxBytes: 1 << 20, maxAgeMs: 0 },
  retry: { initialMs: 1000, maxMs: 8000, maxElapsedMs: 0 },
  breaker: { failures: 3, openMs: 10_000 },
  timeoutMs: 5000,
};

/** Waits as long as it may. */
export const LONGEST = (): number => 0.999999;

export function openExporter(
  backend: Destination,
  host: Partial<ExporterHost>,
  settings: Partial<ExporterSettings> = {},
): Exporter {
  return Exporter.open(backend, { ...SETTINGS, ...settings }, { random: LONGEST, ...host });
}

/** Whatever happened: nothing is unaccounted for. */
export function balanced(stats: ExporterStats): ExporterStats {
  const dropped = Object.values(stats.dropped).reduce((sum, count) => sum + count, 0);
  const { recovered, accepted, split, sent, queueSize } = stats;
  assert.equal(recovered + accepted + split, sent + dropped + queueSize, JSON.stringify(stats));
  return stats;
}
