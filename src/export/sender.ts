/**
 * Sends the requests of one queue, one at a time, which keeps them in order.
 * Its states: idle (nothing to send), sending, waiting (until the next attempt)
 * and stopped. test/models/ has the same as a model.
 */
import { backoffMs, type RetryLimits } from './backoff.ts';
import { type BreakerLimits, type BreakerState, CircuitBreaker } from './circuit-breaker.ts';
import type { Clock } from './clock.ts';
import type { DropReason } from './drops.ts';
import type { StandingFault } from './fault.ts';
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
  /** The first request of all has arrived. */
  readonly arrived: () => void;
  /** Nothing is taken until somebody mends this; told when it begins, and when it becomes another. */
  readonly faulty: (fault: StandingFault) => void;
  /** The destination answers again. @param failures attempts in a row before this one */
  readonly recovered: (failures: number) => void;
}

/** A peer may say "in a year". */
const MAX_RETRY_AFTER_MS = 3_600_000;
/** How long a fault holds up the oldest request until another one tries whether it is about that one alone. */
const PROBE_MS = 300_000;
/** An error inside the receiver may be luck: a request that alone meets it gets so many attempts. */
const DOUBTS = 3;
/** Files of credentials are looked at so often while a fault stands. */
const LOOK_MS = 2_000;

/** What is known of the oldest request, from its first attempt until it leaves. */
interface Attempt {
  readonly sequence: number;
  /** Monotonic time of the first attempt. */
  readonly since: number;
  /** Still to be sent, in order; undefined as long as it is whole. */
  parts: Uint8Array[] | undefined;
  /** Monotonic time from when on another request may try; undefined = it has met no fault. */
  probeAt: number | undefined;
  /** Faults that it has met. */
  faults: number;
  /** Another was taken after this one met its fault. */
  isSuspect: boolean;
}

type Retry = Outcome & { readonly kind: 'retry' };

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
  #fault: StandingFault | undefined;
  #hasArrived = false;
  /** Sequence of a request that was delivered before its turn. */
  #delivered: number | undefined;
  /** The peer has refused single requests as if all were meant. */
  #isPicky = false;
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

  /** What keeps everything from being taken, as of the last answer. */
  get fault(): StandingFault | undefined {
    return this.#fault;
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

  /** Something may have been mended: tries now, unless the peer has forbidden that. */
  tryNow(): void {
    if (this.#state !== 'waiting' || this.#clock.monotonic() < this.#forbiddenUntil) return;
    this.#cancel?.();
    this.#next();
  }

  /** Idle or waiting before: sends the oldest request, if there is one. */
  #next(): void {
    let taken = this.#queue.take();
    this.#forgetOthers(taken);
    if (taken !== undefined && taken.sequence === this.#delivered) {
      this.#delivered = undefined;
      this.sent++;
      this.#queue.settle('sent');
      taken = this.#queue.take();
    }
    if (taken === undefined) {
      this.#state = 'idle';
      if (this.#closing !== undefined) this.#stop();
      return;
    }
    this.#attempt ??= {
      sequence: taken.sequence,
      since: this.#clock.monotonic(),
      parts: undefined,
      probeAt: undefined,
      faults: 0,
      isSuspect: false,
    };
    const request = this.#attempt.parts?.[0] ?? taken.request;
    this.#send(request, (outcome) => this.#settle(outcome, request));
  }

  /** The request of the last attempt gave way, and its parts with it. */
  #forgetOthers(taken: Taken | undefined): void {
    if (this.#attempt === undefined || this.#attempt.sequence === taken?.sequence) return;
    this.#queue.dropped.add('queue_full', this.extraParts);
    this.#attempt = undefined;
  }

  #send(request: Uint8Array, settled: (outcome: Outcome) => void): void {
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
      settled(outcome);
    };
    this.#cancel = this.#clock.after(this.#limits.timeoutMs, () => {
      settle({
        kind: 'retry',
        reason: `no answer within ${this.#limits.timeoutMs} ms`,
        mend: 'if the receiver is slow, raise {timeout}',
      });
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
        this.#noteRejected(outcome);
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
        this.#retry(outcome, request);
    }
  }

  #noteRejected({ rejected, message }: Outcome & { readonly kind: 'delivered' }): void {
    if (!this.#hasArrived) this.#events.arrived();
    this.#hasArrived = true;
    this.rejected += rejected;
    if (rejected > 0)
      this.#events.warn(
        'partial_success',
        `the receiver has rejected ${rejected} of a request: ${message}`,
      );
  }

  #answered(): void {
    const { failures } = this.#breaker;
    this.#breaker.succeeded();
    this.#fault = undefined;
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

  #retry(outcome: Retry, request: Uint8Array): void {
    const attempt = this.#attempt!;
    if (outcome.fault === undefined) attempt.isSuspect = false;
    else attempt.faults++;
    if (attempt.isSuspect && attempt.faults >= (outcome.isDoubtful ? DOUBTS : 2)) {
      this.#dropAlone(outcome);
      return;
    }
    this.#noteFailure(outcome);
    if (outcome.fault !== undefined && !attempt.isSuspect && this.#probe(outcome, request)) return;
    this.#pause(outcome);
  }

  #noteFailure({ reason, fault: code, mend }: Retry): void {
    this.#breaker.failed();
    this.sendFailed++;
    if (code === undefined) {
      this.#events.warn(
        'send_failed',
        `${reason}; profiles wait in the queue, and the agent tries again`,
        mend,
      );
      return;
    }
    const isNew = this.#fault?.code !== code;
    const sinceMs = isNew ? this.#clock.now() : this.#fault!.sinceMs;
    this.#fault = { code, reason, mend: mend ?? '', sinceMs };
    if (isNew) this.#events.faulty(this.#fault);
  }

  /**
   * The oldest request has met a fault as if nothing could be taken. Is that so? The one behind
   * it tells: when that is taken, and the oldest then is not, the fault is that one's alone.
   * Otherwise one request that a filter on the way dislikes would hold up all others for ever.
   * @returns whether one is on its way
   */
  #probe({ isDoubtful = false }: Retry, request: Uint8Array): boolean {
    const attempt = this.#attempt!;
    const now = this.#clock.monotonic();
    attempt.probeAt ??= now + (isDoubtful || this.#isPicky ? 0 : PROBE_MS);
    if (this.#closing !== undefined || now < attempt.probeAt) return false;
    const second = this.#queue.peekSecond();
    if (second === undefined) return false;
    this.#send(second.request, (outcome) => {
      if (outcome.kind === 'retry') {
        this.#isPicky = false;
        attempt.probeAt = this.#clock.monotonic() + PROBE_MS;
        this.#noteFailure(outcome);
        this.#pause(outcome);
        return;
      }
      this.#answered();
      if (outcome.kind === 'delivered') {
        this.#noteRejected(outcome);
        this.#delivered = second.sequence;
      }
      attempt.isSuspect = true;
      this.#send(request, (verdict) => this.#settle(verdict, request));
    });
    return true;
  }

  /** Others are taken: the fault is about this request. */
  #dropAlone({ fault, reason }: Retry): void {
    this.#isPicky = true;
    this.#answered();
    this.#events.warn(
      `refused_${fault}`,
      `the receiver takes other requests, but not this one, which is dropped: ${reason}`,
    );
    this.#leave('refused');
  }

  /** Until the next attempt. */
  #pause({ afterMs, fault }: Retry): void {
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
    this.#wait(Math.max(pause, demanded), fault !== undefined);
  }

  /** With files that may be mended: until one of them is another, at most. */
  #wait(ms: number, isFaulty: boolean): void {
    const { transport } = this.#destination;
    const looks = isFaulty && transport.hasNewFiles !== undefined;
    const step = looks ? Math.min(ms, LOOK_MS) : ms;
    this.#cancel = this.#clock.after(step, () => {
      const isMended = looks && this.#clock.monotonic() >= this.#forbiddenUntil;
      if (step >= ms || (isMended && transport.hasNewFiles())) this.#next();
      else this.#wait(ms - step, isFaulty);
    });
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
