/** Asks a process for its process context and for what its environment says of it. */
import { ParseError } from '../elf/source.ts';
import type { LiveHost } from '../process/host.ts';
import { type Identity, startsAt } from '../process/process.ts';
import type { HostPid, ProcessAddress } from '../units/units.ts';
import { contextMappings, memoryAt } from './context-mapping.ts';
import { CONTEXT_HEADER_BYTES, type ContextHeader, parseContextHeader } from './process-context.ts';
import { type OtelVariables, otelVariables } from './process-environment.ts';

/** A process context as it was found. */
export interface Publication {
  /** Where its header is; 0 in a replay. */
  readonly place: ProcessAddress;
  /** Of the header. */
  readonly publishedAt: bigint;
  readonly payload: Uint8Array;
}

/** Why nothing can be said; `reason` is a stable counter name. */
export interface Rejection {
  readonly reason: string;
}

/** What was found, undefined when there is none. */
export type Answer<Found> =
  | {
      readonly found: Found | undefined;
      /** When it was read, monotonic nanoseconds. */
      readonly readAt: number;
    }
  | Rejection;

export interface ContextSource {
  publication(identity: Identity): Answer<Publication>;
  /** Cheap: whether what was found is what the process still publishes. */
  isCurrent(identity: Identity, known: Publication): boolean;
  environment(identity: Identity): Answer<OtelVariables>;
}

/** What is needed of the machine. */
export type ContextHost = Pick<
  LiveHost,
  'startTime' | 'readAllMaps' | 'readMemory' | 'readEnvironment'
>;

/** A writer that changes its context all the time gets no more. */
const ATTEMPTS = 3;

export class LiveContexts implements ContextSource {
  readonly #host: ContextHost;
  readonly #clock: () => number;

  /** @param clock CLOCK_MONOTONIC in nanoseconds */
  constructor(host: ContextHost, clock: () => number) {
    this.#host = host;
    this.#clock = clock;
  }

  publication(identity: Identity): Answer<Publication> {
    return this.#answer(identity, () => this.#publication(identity.pid));
  }

  isCurrent({ pid }: Identity, { place, publishedAt }: Publication): boolean {
    try {
      return parseContextHeader(this.#header(pid, place)).publishedAt === publishedAt;
    } catch {
      return false;
    }
  }

  environment(identity: Identity): Answer<OtelVariables> {
    return this.#answer(identity, () => {
      const { pid } = identity;
      return otelVariables(attempt('unreadable', () => this.#host.readEnvironment(pid)));
    });
  }

  #answer<Found>(identity: Identity, read: () => Found | undefined): Answer<Found> {
    try {
      const found = read();
      // Looked at afterwards: all that was read is of whom it was asked of.
      if (!startsAt(identity, this.#host.startTime(identity.pid))) return { reason: 'gone' };
      return { found, readAt: this.#clock() };
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      const isGone = this.#host.startTime(identity.pid) === undefined;
      return { reason: isGone ? 'gone' : error.reason };
    }
  }

  #publication(pid: HostPid): Publication | undefined {
    const maps = attempt('unreadable', () => this.#host.readAllMaps(pid));
    let failure: ParseError | undefined;
    for (const place of contextMappings(maps)) {
      try {
        return this.#consistent(pid, place, maps);
      } catch (error) {
        if (!(error instanceof ParseError)) throw error;
        failure ??= error;
      }
    }
    if (failure) throw failure;
    return undefined;
  }

  /** The header is the same before and after: then what lies between was whole. */
  #consistent(pid: HostPid, place: ProcessAddress, maps: string): Publication {
    let failure = new ParseError('changing', 'it changes while it is read');
    for (let i = 0; i < ATTEMPTS; i++) {
      const before = this.#header(pid, place);
      let header: ContextHeader;
      let payload: Uint8Array;
      try {
        header = parseContextHeader(before);
        payload = this.#payload(pid, header, maps);
      } catch (error) {
        if (!(error instanceof ParseError)) throw error;
        // Half of an update looks like anything.
        failure = error;
        continue;
      }
      if (Buffer.compare(this.#header(pid, place), before) === 0) {
        return { place, publishedAt: header.publishedAt, payload };
      }
    }
    throw failure;
  }

  #header(pid: HostPid, place: ProcessAddress): Uint8Array {
    return this.#read(pid, place, CONTEXT_HEADER_BYTES, 'unreadable');
  }

  #payload(pid: HostPid, { payload, size }: ContextHeader, maps: string): Uint8Array {
    if (size === 0) return new Uint8Array();
    const memory = memoryAt(maps, payload, size);
    if (memory !== 'own') {
      const reason = memory === 'file' ? 'payload_in_file' : 'payload_unreadable';
      throw new ParseError(reason, 'the payload lies in no memory of the process');
    }
    return this.#read(pid, payload, size, 'payload_unreadable');
  }

  #read(pid: HostPid, address: number, length: number, reason: string): Uint8Array {
    const bytes = attempt(reason, () => this.#host.readMemory(pid, address, length));
    if (bytes.length < length) throw new ParseError(reason, 'memory ends within it');
    return bytes;
  }
}

function attempt<Value>(reason: string, read: () => Value): Value {
  try {
    return read();
  } catch (cause) {
    throw new ParseError(reason, (cause as Error).message, { cause });
  }
}
