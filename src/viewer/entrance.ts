/**
 * Connections until their first request is whole. Here they cost least: no parser, no timer of
 * their own. Of many the oldest gives way to the newest. Whoever has the token passes; of others
 * so many a second, and no more: beyond that probes get the shortest answer there is.
 */
import type { Socket } from 'node:net';
import { type Head, headOf } from './head.ts';
import { RefusalRate } from './refusal-rate.ts';

export const MOST_FRESH = 256;
/** Of requests for what is open to all, in a second: those that are read in the usual way. */
export const OPEN_PER_SECOND = 200;
/** As a server of this kind allows for headers. */
const LONGEST_HEAD = 8_192;
/** For a request to be whole; a browser opens connections that it may need later. */
const HEAD_MS = 5_000;
const SECOND_MS = 1_000;
const END_OF_HEAD = '\r\n\r\n';

export type Standing =
  /** Has the token. */
  | 'known'
  /** May look because all may. */
  | 'guest'
  /** Anybody, for what is open to all. */
  | 'open'
  /** Will be refused. */
  | 'stranger';

export interface EntranceEvents {
  standing(head: Head): Standing;
  /** A request, whole and alone, waits on the socket. */
  onRequest(socket: Socket): void;
  /** @returns the whole answer, after which the connection ends; undefined: there is none so short */
  shortAnswer(head: Head): string | undefined;
}

/** Connections that ended without an answer, by reason. */
export type EntranceDrops = Readonly<Record<'displaced' | 'flood' | 'unfinished', number>>;

interface Fresh {
  readonly since: number;
  bytes: Buffer | undefined;
  /** Its request is whole, and is read later. */
  waiting: NodeJS.Timeout | undefined;
}

export class Entrance {
  readonly #events: EntranceEvents;
  readonly #now: () => number;
  readonly #refusals: RefusalRate;
  /** The oldest first. */
  readonly #fresh = new Map<Socket, Fresh>();
  readonly #sweeper: NodeJS.Timeout;
  readonly #onData: (this: Socket, chunk: Buffer) => void;
  readonly #onGone: (this: Socket) => void;
  readonly #dropped = { displaced: 0, flood: 0, unfinished: 0 };
  #second = Number.NEGATIVE_INFINITY;
  #openInSecond = 0;

  /** @param now milliseconds of a clock that only goes forward */
  constructor(events: EntranceEvents, now: () => number = () => performance.now()) {
    this.#events = events;
    this.#now = now;
    this.#refusals = new RefusalRate(now);
    // The same functions for all of them: thousands may come in a second.
    const read = (socket: Socket, chunk: Buffer): void => this.#read(socket, chunk);
    const drop = (socket: Socket): void => this.#drop(socket);
    this.#onData = function (chunk) {
      read(this, chunk);
    };
    this.#onGone = function () {
      drop(this);
    };
    this.#sweeper = setInterval(() => this.sweep(), SECOND_MS).unref();
  }

  get dropped(): EntranceDrops {
    return { ...this.#dropped };
  }

  open(socket: Socket): void {
    if (this.#fresh.size >= MOST_FRESH) {
      const [oldest] = this.#fresh.keys();
      this.#drop(oldest!, 'displaced');
    }
    this.#fresh.set(socket, { since: this.#now(), bytes: undefined, waiting: undefined });
    // Whoever has said all that it will say before its request is whole has no request.
    socket.on('data', this.#onData).on('end', this.#onGone).on('error', this.#onGone);
    socket.on('close', this.#onGone);
  }

  /** Ends those whose request is not whole in time; called once a second. */
  sweep(): void {
    const latest = this.#now() - HEAD_MS;
    for (const [socket, { since, waiting }] of this.#fresh) {
      if (since > latest) return;
      if (waiting === undefined) this.#drop(socket, 'unfinished');
    }
  }

  close(): void {
    clearInterval(this.#sweeper);
    for (const socket of this.#fresh.keys()) this.#drop(socket);
  }

  #read(socket: Socket, chunk: Buffer): void {
    const fresh = this.#fresh.get(socket);
    // A request that waits is followed by nothing: nobody reads it.
    if (fresh === undefined || fresh.waiting !== undefined) return;
    const { bytes: before } = fresh;
    const bytes = before === undefined ? chunk : Buffer.concat([before, chunk]);
    // What ends in this piece may have begun in the one before.
    const from = Math.max(0, (before?.length ?? 0) - END_OF_HEAD.length);
    const end = bytes.indexOf(END_OF_HEAD, from, 'latin1');
    if (end >= 0 && end <= LONGEST_HEAD) this.#request(socket, fresh, bytes, end);
    else if (bytes.length <= LONGEST_HEAD) fresh.bytes = bytes;
    else this.#drop(socket, 'unfinished');
  }

  #request(socket: Socket, fresh: Fresh, bytes: Buffer, end: number): void {
    const head = headOf(bytes.toString('latin1', 0, end));
    const standing = this.#events.standing(head);
    const mayLook = standing === 'known' || standing === 'guest';
    // Of others one request: what they send after it, by the thousand perhaps, is not read.
    const read = mayLook ? bytes : bytes.subarray(0, end + END_OF_HEAD.length);
    const waitMs = standing === 'stranger' ? this.#refusals.waitMs() : 0;
    if ((standing === 'open' || standing === 'guest') && !this.#isFree())
      this.#answerShortly(socket, head);
    else if (waitMs === undefined) this.#drop(socket, 'flood');
    else if (waitMs === 0) this.#admit(socket, read);
    else {
      fresh.waiting = setTimeout(() => this.#admit(socket, read), waitMs);
      socket.pause();
    }
  }

  #admit(socket: Socket, bytes: Buffer): void {
    this.#release(socket);
    socket.pause();
    socket.unshift(bytes);
    this.#events.onRequest(socket);
    socket.resume();
  }

  #answerShortly(socket: Socket, head: Head): void {
    const answer = this.#events.shortAnswer(head);
    if (answer === undefined) {
      this.#drop(socket, 'flood');
      return;
    }
    this.#release(socket);
    // What may go wrong with it concerns nobody here.
    socket.on('error', () => {}).end(answer, 'latin1', () => socket.destroy());
  }

  #isFree(): boolean {
    const now = this.#now();
    if (now - this.#second >= SECOND_MS) {
      this.#second = now;
      this.#openInSecond = 0;
    }
    return ++this.#openInSecond <= OPEN_PER_SECOND;
  }

  /** Others deal with it from now on. */
  #release(socket: Socket): void {
    this.#forget(socket);
    socket.off('data', this.#onData).off('end', this.#onGone).off('error', this.#onGone);
    socket.off('close', this.#onGone);
  }

  #drop(socket: Socket, reason?: keyof EntranceDrops): void {
    if (reason !== undefined) this.#dropped[reason]++;
    this.#forget(socket);
    socket.destroy();
  }

  #forget(socket: Socket): void {
    clearTimeout(this.#fresh.get(socket)?.waiting);
    this.#fresh.delete(socket);
  }
}
