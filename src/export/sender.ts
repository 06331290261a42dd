/**
 * Sends the requests of one queue, one at a time, which keeps them in order.
 * Its states: idle (nothing to send), sending, waiting (until the next attempt)
 * and stopped. test/models/ has the same as a model.
 */
import { backoffMs, type RetryLimits } from './backoff.ts';
import { type BreakerLimits, type BreakerState, CircuitBreaker } from './circuit-breaker.ts';
import type { Clock } from './clock.ts';
import type { DropReason } from './drops.ts';
import type { Queue, Taken, Warn } from './queue.ts';
import type { Destination, Outcome } from './transport.ts';

export interface SenderLimits {
  readonly retry: RetryLimits;
  readonly breaker: BreakerLimits;
  /** For one attempt; the transport's own limit comes first, usually. */
  readonly timeoutMs: number;
}

/** What it says of itself; the exporter's owner logs it. */
export interface SenderEvents {
  readonly warn: Warn;
  /** The destination answers again. @param failures attempts in a row before this one */
  readonly recovered: (failures: number) => void;
}

/** A peer may say "in a year". */
const MAX_RETRY_AFTER_MS = 3_600_000;

/** What is known of the oldest request, from its first attempt until it leaves. */
interface Attempt {
  readonly sequence: number;
  /** Monotonic time of the first attempt. */
  readonly since: number;
  /** Still to be sent, in order; undefined as long as it is whole. */
  parts: Uint8Array[] | undefined;
}

export class Sender {
  readonly #queue: Queue;
  readonly #destination: Destination;
  readonly #limits: SenderLimits;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #events: SenderEvents;
  readonly #breaker: CircuitBreaker;
  #state: 'idle' | 'sending' | 'waiting' | 'stopped' = 'idle';
  #attempt: Attempt | undefined;
  #cancel: (() => void) | undefined;
  /** Not before: the peer's word holds for closing, too. */
  #forbiddenUntil = 0;
  #closing: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;
  #cancelDeadline: (() => void) | undefined;
  #abort: AbortController | undefined;
  sent = 0;
  sendFailed = 0;
  requestBytes = 0;
  /** Of partial successes, as the peer counts. */
  rejected = 0;
  /** Requests that splitting made, beyond those that were there. */
  split = 0;

  constructor(
    queue: Queue,
    destination: Destination,
    limits: SenderLimits,
    clock: Clock,
    random: () => number,
    events: SenderEvents,
  ) {
    this.#queue = queue;
    this.#destination = destination;
    this.#limits = limits;
    this.#clock = clock;
    this.#random = random;
    this.#events = events;
    this.#breaker = new CircuitBreaker(limits.breaker);
  }

  get breaker(): BreakerState {
    return this.#breaker.state;
  }

  get inFlight(): number {
    return this.#state === 'sending' ? 1 : 0;
  }

  /** Parts beyond the first of a request that was split: they are not in the queue. */
  get extraParts(): number {
    return (this.#attempt?.parts?.length ?? 1) - 1;
  }

  /** Something was queued. */
  wake(): void {
    if (this.#state === 'idle') this.#next();
  }

  /**
   * Sends what it can for so long, then stops; a destination that does not
   * answer now gets one more attempt. Never rejects.
   */
  close(deadlineMs: number): Promise<void> {
    if (this.#closing !== undefined) return this.#closing.promise;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#closing = { promise, resolve };
    this.#cancelDeadline = this.#clock.after(deadlineMs, () => this.#stop());
    if (this.#state === 'idle' || deadlineMs <= 0) {
      this.#stop();
    } else if (this.#state === 'waiting') {
      this.#cancel?.();
      if (this.#clock.monotonic() < this.#forbiddenUntil) this.#stop();
      else this.#next();
    }
    return promise;
  }

  /** Idle or waiting before: sends the oldest request, if there is one. */
  #next(): void {
    const taken = this.#queue.take();
    this.#forgetOthers(taken);
    if (taken === undefined) {
      this.#state = 'idle';
      if (this.#closing !== undefined) this.#stop();
      return;
    }
    this.#attempt ??= {
      sequence: taken.sequence,
      since: this.#clock.monotonic(),
      parts: undefined,
    };
    this.#send(this.#attempt.parts?.[0] ?? taken.request);
  }

  /** The request of the last attempt gave way, and its parts with it. */
  #forgetOthers(taken: Taken | undefined): void {
    if (this.#attempt === undefined || this.#attempt.sequence === taken?.sequence) return;
    this.#queue.dropped.add('queue_full', this.extraParts);
    this.#attempt = undefined;
  }

  #send(request: Uint8Array): void {
    this.#state = 'sending';
    this.#breaker.attempt();
    this.requestBytes += request.length;
    const abort = new AbortController();
    this.#abort = abort;
    const settle = (outcome: Outcome): void => {
      // Only the first word counts: a late one is of an attempt that was given up.
      if (this.#abort !== abort) return;
      this.#abort = undefined;
      this.#cancel?.();
      this.#settle(outcome, request);
    };
    this.#cancel = this.#clock.after(this.#limits.timeoutMs, () => {
      settle({ kind: 'retry', reason: `no answer within ${this.#limits.timeoutMs} ms` });
      abort.abort();
    });
    const broken = (cause: unknown): void => settle({ kind: 'retry', reason: String(cause) });
    try {
      this.#destination.transport.send(request, abort.signal).then(settle, broken);
    } catch (cause) {
      broken(cause);
    }
  }

  #settle(outcome: Outcome, request: Uint8Array): void {
    if (outcome.kind !== 'retry') this.#answered();
    switch (outcome.kind) {
      case 'delivered':
        this.rejected += outcome.rejected;
        if (outcome.rejected > 0) {
          const what = `the receiver has rejected ${outcome.rejected} of a request`;
          this.#events.warn('partial_success', `${what}: ${outcome.message}`);
        }
        this.#leave('sent');
        return;
      case 'refused':
        this.#events.warn(
          `refused_${outcome.reason}`,
          `the receiver refuses a request, which is dropped: ${outcome.message}`,
        );
        this.#leave('refused');
        return;
      case 'too_large':
        this.#split(request, outcome.message);
        return;
      case 'retry':
        this.#retry(outcome);
    }
  }

  #answered(): void {
    const { failures } = this.#breaker;
    this.#breaker.succeeded();
    if (failures > 0) this.#events.recovered(failures);
  }

  /** The request that was sent, or its first part, has left. */
  #leave(result: 'sent' | DropReason): void {
    const parts = this.#attempt!.parts;
    if (parts !== undefined && parts.length > 1) {
      parts.shift();
      if (result === 'sent') this.sent++;
      else this.#queue.dropped.add(result);
      this.#queue.release(true);
    } else {
      if (result === 'sent') this.sent++;
      this.#attempt = undefined;
      this.#queue.settle(result);
    }
    this.#next();
  }

  #split(request: Uint8Array, message: string): void {
    let parts: readonly Uint8Array[] = [];
    try {
      parts = this.#destination.split(request) ?? [];
    } catch (cause) {
      this.#events.warn('split_failed', `a request cannot be divided: ${String(cause)}`);
    }
    // Smaller each, or it would go on for ever.
    if (parts.length < 2 || parts.some((part) => part.length >= request.length)) {
      this.#events.warn(
        'too_large',
        `the receiver finds a request too large that cannot be divided further; it is dropped: ${message}`,
      );
      this.#leave('too_large');
      return;
    }
    const attempt = this.#attempt!;
    attempt.parts = [...parts, ...(attempt.parts?.slice(1) ?? [])];
    this.split += parts.length - 1;
    this.#queue.release(true);
    this.#next();
  }

  #retry({ reason, afterMs }: Outcome & { readonly kind: 'retry' }): void {
    this.#breaker.failed();
    this.sendFailed++;
    this.#events.warn(
      'send_failed',
      `cannot send: ${reason}; tried again, and what comes meanwhile waits in the queue`,
    );
    const { maxElapsedMs } = this.#limits.retry;
    const now = this.#clock.monotonic();
    if (maxElapsedMs > 0 && now - this.#attempt!.since >= maxElapsedMs) {
      this.#giveUp();
    } else {
      this.#queue.release(this.#attempt!.parts !== undefined);
    }
    this.#state = 'waiting';
    if (this.#closing !== undefined) {
      this.#stop();
      return;
    }
    const random = this.#random();
    const pause =
      this.#breaker.state === 'open'
        ? this.#breaker.pauseMs(random)
        : backoffMs(this.#limits.retry, this.#breaker.failures, random);
    const demanded = Math.min(Math.max(afterMs ?? 0, 0), MAX_RETRY_AFTER_MS);
    this.#forbiddenUntil = now + demanded;
    this.#cancel = this.#clock.after(Math.max(pause, demanded), () => this.#next());
  }

  /** All parts of it; the next request waits as this one would have. */
  #giveUp(): void {
    this.#queue.dropped.add('retries_exhausted', this.extraParts);
    this.#attempt = undefined;
    this.#queue.settle('retries_exhausted');
  }

  #stop(): void {
    if (this.#state === 'stopped') return;
    if (this.#state === 'sending') this.#queue.release();
    this.#state = 'stopped';
    this.#cancel?.();
    this.#cancelDeadline?.();
    const abort = this.#abort;
    this.#abort = undefined;
    abort?.abort();
    this.#closing?.resolve();
  }
}
